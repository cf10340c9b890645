/** The verbs that a rule of a delegated session may have. */
import { nearest } from '../nearest.ts';
import { PATH_VERBS, RESOURCE_VERBS } from '../request/verbs.ts';

const ABOUT_RESOURCES: readonly string[] = [...RESOURCE_VERBS, 'impersonate'];

/** RBAC knows these, and no request has them. */
const INSIDE_REQUESTS: ReadonlySet<string> = new Set([
  'approve',
  'attest',
  'bind',
  'connect',
  'escalate',
  'proxy',
  'request-serviceaccounts-token-audience',
  'sign',
  'unsafe-delete-ignore-read-errors',
  'use',
]);

/** What users write for a verb, and what the request is. */
const MEANT: ReadonlyMap<string, string> = new Map([
  ['read', 'get, list and watch'],
  ['view', 'get, list and watch'],
  ['write', 'create, update, patch and delete'],
  ['edit', 'update and patch'],
  ['apply', 'create and patch'],
  ['post', 'create'],
  ['put', 'update'],
  ['head', 'get'],
  ['exec', 'create of pods/exec'],
  ['attach', 'create of pods/attach'],
  ['portforward', 'create of pods/portforward'],
  ['logs', 'get of pods/log'],
  ['log', 'get of pods/log'],
  ['scale', 'patch of deployments/scale'],
  ['all', '"*"'],
]);

/** @returns a message for the author of the rule if no request has the verb */
export function verbProblem(verb: string, isAboutPaths: boolean): string | undefined {
  const known = isAboutPaths ? PATH_VERBS : ABOUT_RESOURCES;
  if (verb === '*' || known.includes(verb)) return undefined;
  const shown = JSON.stringify(verb);
  const [base = ''] = verb.split(':');
  if (base === 'impersonate' || base === 'impersonate-on') {
    return `${shown} belongs to constrained impersonation, which the cluster itself checks; here it is "impersonate"`;
  }
  if (INSIDE_REQUESTS.has(base)) {
    return `no request has the verb ${shown}: the API server checks it inside a create, update, patch or delete, by the user's own rights; leave it out`;
  }
  const guess = (isAboutPaths ? undefined : MEANT.get(verb.toLowerCase())) ?? nearest(verb, known);
  const about = isAboutPaths ? 'for paths the verbs are methods' : 'the verbs of requests';
  return guess === undefined
    ? `${shown} is not a verb; ${about}: ${known.join(', ')}`
    : `${shown} is not a verb; did you mean ${guess}?`;
}

/**
 * Parses one limit of a delegated session, from rules.yaml, the API, `authorization_details` and the configuration.
 *
 * A user who narrows a session relies on what they wrote. So whatever is not understood is an error with its place, and
 * never ignored: a misspelt member would take nothing away, and a verb that no request has would seem to.
 */
import { nearest } from '../nearest.ts';
import { no, ok, type Result } from '../result.ts';
import { resourceProblem } from './built-in-resources.ts';
import { MOST_LIMIT_BYTES } from './delegation.ts';
import { LIMIT_MEMBERS, RULE_MEMBERS, type RightsLimit, type RightsPreset, type RightsRule } from './rights.ts';
import { PATH_VERBS, RESOURCE_VERBS } from '../request/verbs.ts';

/** An error in a limit. */
export interface LimitProblem {
  /** `rules[0].verbs[1]`; empty for the limit itself. */
  readonly place: string;
  readonly message: string;
}

const PRESETS: readonly RightsPreset[] = ['read-only', 'read-only-with-secrets'];

const MOST_RULES = 64;
const MOST_VALUES = 128;
/** Bytes; Kubernetes' own names have at most 253, a username for impersonation more. */
const MOST_VALUE_BYTES = 1024;

/** Thrown and caught here alone, so that each step is one expression. */
class Invalid extends Error {
  readonly place: string;

  constructor(place: string, message: string) {
    super(message);
    this.place = place;
  }
}

/** @param value as JSON or YAML has it: data of any shape */
export function parseLimit(value: unknown): Result<RightsLimit, LimitProblem> {
  try {
    return ok(limitOf(value));
  } catch (error) {
    if (error instanceof Invalid) return no({ place: error.place, message: error.message });
    throw error;
  }
}

function limitOf(value: unknown): RightsLimit {
  const members = membersOf(value, '', LIMIT_MEMBERS);
  const { preset, namespaces, rules } = members;
  if (Object.keys(members).length === 0) {
    throw new Invalid('', 'an empty limit would limit nothing: give preset, namespaces or rules');
  }
  const limit: RightsLimit = {
    ...(preset === undefined ? {} : { preset: presetOf(preset) }),
    ...(namespaces === undefined ? {} : { namespaces: namespacesOf(namespaces, 'namespaces') }),
    ...(rules === undefined ? {} : { rules: rulesOf(rules) }),
  };
  const bytes = Buffer.byteLength(JSON.stringify(limit));
  if (bytes > MOST_LIMIT_BYTES) throw new Invalid('', `the limit has ${bytes} bytes, and may have ${MOST_LIMIT_BYTES}`);
  return limit;
}

function presetOf(value: unknown): RightsPreset {
  const preset = PRESETS.find((each) => each === value);
  if (preset === undefined) throw new Invalid('preset', `must be ${PRESETS.join(' or ')}`);
  return preset;
}

function rulesOf(value: unknown): readonly RightsRule[] {
  const rules = listOf(value, 'rules', MOST_RULES).map((rule, index) => ruleOf(rule, `rules[${index}]`));
  rejectRepeated(
    rules.map((rule) => JSON.stringify(rule)),
    'rules',
    () => 'the same rule is given twice',
  );
  return rules;
}

function ruleOf(value: unknown, place: string): RightsRule {
  const members = membersOf(value, place, RULE_MEMBERS);
  const isAboutPaths = members['nonResourceURLs'] !== undefined;
  if (members['verbs'] === undefined) throw new Invalid(place, 'a rule needs verbs');
  const verbs = textsOf(members['verbs'], `${place}.verbs`, (verb) => verbProblem(verb, isAboutPaths));
  if (isAboutPaths) {
    const other = ['apiGroups', 'resources', 'resourceNames', 'namespaces'].find((each) => members[each] !== undefined);
    if (other !== undefined) {
      throw new Invalid(
        `${place}.${other}`,
        'a rule is about nonResourceURLs or about resources: make two rules of it',
      );
    }
    return { verbs, nonResourceURLs: textsOf(members['nonResourceURLs'], `${place}.nonResourceURLs`, pathProblem) };
  }
  if (members['resources'] === undefined) throw new Invalid(place, 'a rule needs resources, or nonResourceURLs');
  if (members['apiGroups'] === undefined) {
    throw new Invalid(place, 'a rule about resources needs apiGroups: [""] is the core group, ["*"] is every group');
  }
  const apiGroups = textsOf(members['apiGroups'], `${place}.apiGroups`, groupProblem);
  const { resourceNames, namespaces } = members;
  return {
    verbs,
    apiGroups,
    resources: textsOf(
      members['resources'],
      `${place}.resources`,
      (each) => (each.includes('*') ? undefined : resourceProblem(each, apiGroups)) ?? patternProblem(each),
    ),
    ...(resourceNames === undefined
      ? {}
      : { resourceNames: textsOf(resourceNames, `${place}.resourceNames`, nameProblem) }),
    ...(namespaces === undefined ? {} : { namespaces: namespacesOf(namespaces, `${place}.namespaces`) }),
  };
}

const namespacesOf = (value: unknown, place: string): readonly string[] => textsOf(value, place, namespaceProblem);

function membersOf(value: unknown, place: string, known: readonly string[]): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new Invalid(place, `must be an object with ${known.join(', ')}`);
  }
  const members = new Map(Object.entries(value));
  for (const [member, own] of members) {
    const at = place === '' ? shortened(member) : `${place}.${shortened(member)}`;
    if (!known.includes(member)) {
      const guess = nearest(shortened(member), known);
      throw new Invalid(
        at,
        `is not known here; ${guess === undefined ? `use ${known.join(', ')}` : `did you mean ${guess}?`}`,
      );
    }
    // YAML has null where nothing was written. Absent would be no limit, and an empty list all of it.
    if (own === null || own === undefined) throw new Invalid(at, 'is empty: give a value, or leave it out');
  }
  return Object.fromEntries(members);
}

function listOf(value: unknown, place: string, most: number): readonly unknown[] {
  if (!Array.isArray(value)) throw new Invalid(place, 'must be a list');
  if (value.length > most) throw new Invalid(place, `has ${value.length} entries, and may have ${most}`);
  return Array.from(value);
}

/** @param problem returns a message if a text cannot stand there */
function textsOf(value: unknown, place: string, problem: (text: string) => string | undefined): readonly string[] {
  const texts = listOf(value, place, MOST_VALUES).map((each, index) => {
    const at = `${place}[${index}]`;
    if (typeof each !== 'string') throw new Invalid(at, 'must be a text; quote it if it looks like a number');
    if (Buffer.byteLength(each) > MOST_VALUE_BYTES) throw new Invalid(at, `is longer than ${MOST_VALUE_BYTES} bytes`);
    const message = UNUSABLE.test(each) || !each.isWellFormed() ? 'has a control character' : problem(each);
    if (message !== undefined) throw new Invalid(at, message);
    return each;
  });
  rejectRepeated(texts, place, (text) => `${JSON.stringify(text)} is given twice`);
  return texts;
}

/** Control characters, line separators, and those that change the direction of a text: a list shows it to users. */
const UNUSABLE = /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/u;

function rejectRepeated(texts: readonly string[], place: string, message: (text: string) => string): void {
  const seen = new Set<string>();
  for (const [index, text] of texts.entries()) {
    if (seen.has(text)) throw new Invalid(`${place}[${index}]`, message(text));
    seen.add(text);
  }
}

const LABEL = /^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/;
const SUBDOMAIN = /^[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*$/;
const RESOURCE = /^[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?$/;
const PATH = /^\/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*$/;
const SUBRESOURCE = /^[A-Za-z0-9._:%/-]+$/;

function namespaceProblem(namespace: string): string | undefined {
  if (namespace === '*') return 'namespaces have no "*": leave the list out for all of them';
  return LABEL.test(namespace) ? undefined : `${shown(namespace)} cannot be the name of a namespace`;
}

function groupProblem(group: string): string | undefined {
  if (group === 'core' || group === 'v1') return `the core group is "", not ${shown(group)}`;
  if (group === '' || group === '*' || (SUBDOMAIN.test(group) && group.length <= 253)) return undefined;
  return group.includes('/')
    ? `${shown(group)} has a version; write the group alone`
    : `${shown(group)} cannot be an API group`;
}

/** RBAC has the two patterns `*` and `*` with a subresource; the rest matches literally, so nothing. */
function patternProblem(resource: string): string | undefined {
  const slash = resource.indexOf('/');
  const base = slash === -1 ? resource : resource.slice(0, slash);
  const subresource = slash === -1 ? undefined : resource.slice(slash + 1);
  if (subresource?.includes('*') === true)
    return `${shown(resource)}: name the subresource; "*" covers resources and all their subresources`;
  if (subresource !== undefined && !SUBRESOURCE.test(subresource)) return `${shown(resource)} cannot be a resource`;
  if (base === '*' || RESOURCE.test(base)) return undefined;
  if (base.includes('*')) return `${shown(resource)}: a "*" stands for the whole name only`;
  return RESOURCE.test(base.toLowerCase())
    ? `${shown(resource)} is not a resource: resources are plural and in lower case, such as pods`
    : `${shown(resource)} cannot be a resource`;
}

function nameProblem(name: string): string | undefined {
  if (name === '') return 'a name cannot be empty';
  return name === '*' ? 'resourceNames has no "*": leave the list out for all names' : undefined;
}

function pathProblem(path: string): string | undefined {
  if (path === '*') return undefined;
  if (!path.startsWith('/')) return `${shown(path)} must begin with a slash`;
  if (path.slice(0, -1).includes('*')) return `${shown(path)} may have a "*" at its end only`;
  return PATH.test(path) ? undefined : `${shown(path)} is not a path`;
}

const MOST_SHOWN = 60;
const shortened = (text: string): string => (text.length <= MOST_SHOWN ? text : `${text.slice(0, MOST_SHOWN)}…`);
const shown = (text: string): string => JSON.stringify(shortened(text));

/** The verbs that a rule of a delegated session may have. */
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
function verbProblem(verb: string, isAboutPaths: boolean): string | undefined {
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

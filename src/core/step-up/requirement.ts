/**
 * Whether a request is one of those that need a recent proof.
 *
 * The grammar is RBAC's, and the question is turned round: a limit of a delegated session allows only what is certainly within
 * it, and a step-up rule lets only that pass unasked which is certainly outside. An attacker with a stolen session asks for the
 * same thing in another way, so where a request may have the effect of a rule's, it touches the rule.
 */
import { mayCreate } from '../delegation/creation.ts';
import { effectiveVerb } from '../delegation/effective-verb.ts';
import { isAlwaysAllowed, type RightsRequest } from '../delegation/evaluate.ts';
import type { RightsRule } from '../delegation/rights.ts';
import { RESOURCE_VERBS } from '../request/verbs.ts';
import type { StepUpRule } from './rule.ts';

export interface StepUpRequest {
  readonly info: RightsRequest;
  /** The client asks for WebSocket or SPDY. */
  readonly upgrade: boolean;
  /** Each value of `Content-Type`. */
  readonly contentTypes: readonly string[];
}

/** @returns how recent the proof must be, in seconds: the strictest of the rules that are touched; undefined for none */
export type StepUpAge = (request: StepUpRequest) => number | undefined;

/** Compiles the rules for one cluster. @returns undefined if none is about it */
export function compileStepUp(rules: readonly StepUpRule[], cluster: string): StepUpAge | undefined {
  const compiled = rules
    .filter(({ clusters }) => clusters?.includes(cluster) ?? true)
    .map(({ maxAge, rules: own }) => ({ maxAge, checks: own.map(compileRule) }))
    .toSorted((left, right) => left.maxAge - right.maxAge);
  if (compiled.length === 0) return undefined;
  return (request) => {
    // Discovery and reviews of one's own rights, with which clients begin: they store nothing, and have no objects.
    if (!request.upgrade && isAlwaysAllowed(request.info)) return undefined;
    const question = questionOf(request);
    return compiled.find(({ checks }) => checks.some((touches) => touches(question)))?.maxAge;
  };
}

interface Question {
  readonly info: RightsRequest;
  readonly effects: readonly Effect[];
  readonly subresource: string;
}

/** Something that a request may do. */
interface Effect {
  /** Undefined: it is not known what it does. */
  readonly verbs: readonly string[] | undefined;
  /** `pods`, or `pods/log`; both where it is not certain what is asked. */
  readonly resources: readonly string[];
}

type Touches = (question: Question) => boolean;

/**
 * A list has the objects that a get has, and all of them can be deleted at once, or replaced by an update. The response to a
 * change has the object as well, also to one that changes nothing or is a dry run: `kubectl patch secret db -p '{}'` reads it.
 */
const SAME_EFFECT: ReadonlyMap<string, readonly string[]> = new Map([
  ['list', ['get']],
  ['watch', ['get', 'list']],
  ['delete', ['get']],
  ['deletecollection', ['delete', 'get', 'list']],
  ['update', ['patch', 'get']],
  ['patch', ['update', 'get']],
]);

/**
 * What a request about a part of an object does to all of it: anyone who reads or changes one of these gets the whole object, and
 * an eviction deletes it. `test/cluster/step-up-rules.test.ts` finds others.
 */
const EFFECT_ON_ALL: ReadonlyMap<string, string> = new Map([
  ['approval', 'get'],
  ['ephemeralcontainers', 'get'],
  ['eviction', 'delete'],
  ['finalize', 'get'],
  ['resize', 'get'],
  ['status', 'get'],
]);

/** What is behind these is reached by several methods. An attacker takes the one that no rule names. */
const CONNECTIONS: ReadonlySet<string> = new Set(['attach', 'exec', 'portforward', 'proxy']);

const KNOWN: ReadonlySet<string> = new Set([...RESOURCE_VERBS, 'impersonate']);

/** Verbs of requests that may be about more objects than the one that they name, or name none. */
const OF_MANY: ReadonlySet<string> = new Set(['list', 'watch', 'deletecollection']);

function questionOf({ info, upgrade, contentTypes }: StepUpRequest): Question {
  const { isResourceRequest, verb, resource, subresource } = info;
  if (!isResourceRequest) return { info, effects: [{ verbs: [verb], resources: [] }], subresource };
  // The legacy prefix `/proxy/`, OPTIONS, and what a later Kubernetes adds.
  if (!KNOWN.has(verb)) {
    const part = subresource || verb;
    return { info, effects: [{ verbs: undefined, resources: [resource, `${resource}/${part}`] }], subresource: part };
  }
  // `get pods/exec` opens a shell, and so does `create`; a rule may name either.
  const verbs = [verb, effectiveVerb(info, upgrade), ...(SAME_EFFECT.get(verb) ?? [])];
  if (mayCreate(info, contentTypes)) verbs.push('create');
  if (CONNECTIONS.has(subresource)) verbs.push('get');
  const effect = { verbs, resources: [subresource === '' ? resource : `${resource}/${subresource}`] };
  const onAll = EFFECT_ON_ALL.get(subresource);
  const effects = onAll === undefined ? [effect] : [effect, { verbs: [onAll], resources: [resource] }];
  return { info, effects, subresource };
}

function compileRule({ verbs, nonResourceURLs, ...about }: RightsRule): Touches {
  const named = new Set(verbs);
  const isAbout = nonResourceURLs === undefined ? resourceRule(about) : pathRule(nonResourceURLs);
  const does = ({ verbs: own }: Effect): boolean =>
    named.has('*') || (own?.some((verb) => named.has(verb)) ?? named.size > 0);
  return (question) => question.effects.some((effect) => does(effect) && isAbout(question, effect));
}

/** Whether that is done to something that a rule names. */
type IsAbout = (question: Question, effect: Effect) => boolean;

function pathRule(urls: readonly string[]): IsAbout {
  const patterns = urls.map((url) =>
    url.endsWith('*') ? { start: url.slice(0, -1) } : { whole: withoutSlashes(url) },
  );
  return ({ info: { isResourceRequest, path } }) =>
    !isResourceRequest &&
    patterns.some(({ start, whole }) =>
      start === undefined ? whole === withoutSlashes(path) : path.startsWith(start) || `${path}/` === start,
    );
}

/** An API server serves some paths with and without a slash at the end. */
const withoutSlashes = (path: string): string => {
  let end = path.length;
  while (path[end - 1] === '/') end -= 1;
  return path.slice(0, end);
};

function resourceRule({ apiGroups, resources = [], resourceNames, namespaces }: Omit<RightsRule, 'verbs'>): IsAbout {
  const named = new Set(resources);
  const groups = apiGroups === undefined || apiGroups.includes('*') ? undefined : new Set(apiGroups);
  const names = resourceNames === undefined ? undefined : new Set(resourceNames);
  const within = namespaces === undefined ? undefined : new Set(namespaces);
  return ({ info, subresource }, { resources: full }) => {
    if (!info.isResourceRequest || named.size === 0) return false;
    // A path that has no resource, such as `/api/v1/watch`: only an attacker sends one.
    const isKnown = info.resource !== '';
    const isNamedHere =
      named.has('*') || full.some((each) => named.has(each)) || (subresource !== '' && named.has(`*/${subresource}`));
    if (isKnown && !isNamedHere) return false;
    if (groups !== undefined && !groups.has(info.apiGroup)) return false;
    if (names !== undefined && !isNamed(names, info)) return false;
    // All namespaces, or what is in none: which of the two is known to the cluster alone.
    return within === undefined || (within.size > 0 && (info.namespace === '' || within.has(info.namespace)));
  };
}

/**
 * A list can name one object by a field selector, and an aggregated API may ignore that. A create has the name in its body,
 * which is not read here. Behind a proxy `https:web:443` is what `web` is.
 */
const isNamed = (names: ReadonlySet<string>, { verb, name, subresource }: RightsRequest): boolean =>
  names.size > 0 &&
  (name === '' ||
    OF_MANY.has(verb) ||
    !KNOWN.has(verb) ||
    names.has(name) ||
    (subresource === 'proxy' && name.split(':').some((part) => names.has(part))));

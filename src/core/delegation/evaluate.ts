/**
 * Whether the limits of a delegated session allow a request, by the rules of RBAC (`VerbMatches`, `ResourceMatches` and
 * their like in Kubernetes' `pkg/apis/rbac/v1/evaluation_helpers.go`), with the effective verb.
 *
 * @see https://kubernetes.io/docs/reference/access-authn-authz/rbac/#referring-to-resources
 */
import { effectiveVerb } from './effective-verb.ts';
import { isInPreset, type PresetQuestion } from './presets.ts';
import type { RequestInfo } from '../request/request-info.ts';
import { LIMIT_MEMBERS, RULE_MEMBERS, type RightsLimit, type RightsRule } from './rights.ts';

/** The parts of a request that limits are about. */
export type RightsRequest = Pick<
  RequestInfo,
  'isResourceRequest' | 'path' | 'verb' | 'apiGroup' | 'resource' | 'subresource' | 'namespace' | 'name'
>;

/** @param upgrade the client asks for WebSocket or SPDY; default: no */
export type RightsCheck = (request: RightsRequest, upgrade?: boolean) => boolean;

/** What a limit is asked, with what several rules need made once. */
interface Question extends PresetQuestion {
  readonly request: RightsRequest;
  /** `pods`, or `pods/log`. */
  readonly full: string;
}

type Check = (question: Question) => boolean;

/** Compiles limits, each of which must allow a request; what `isAlwaysAllowed` names, they never take away. */
export function compileLimits(limits: readonly RightsLimit[]): RightsCheck {
  const checks = limits.map(limitCheck);
  return (request, upgrade = false) => {
    // An aggregated API could do anything with a WebSocket at its discovery, and no client asks for one there.
    if (!upgrade && isAlwaysAllowed(request)) return true;
    const { resource } = request;
    // The legacy prefix `/proxy/` reaches what the subresource reaches.
    const subresource = request.verb === 'proxy' ? 'proxy' : request.subresource;
    const full = subresource === '' ? resource : `${resource}/${subresource}`;
    const question = { request, verb: effectiveVerb(request, upgrade), resource, subresource, full };
    return checks.every((check) => check(question));
  };
}

const NOTHING: Check = () => false;

/**
 * While servers are upgraded, a newer one may store a limit that this one does not know. To ignore a part of it would
 * allow more than the user has given, so it allows nothing.
 */
const isKnown = (value: object, members: readonly string[]): boolean =>
  Object.keys(value).every((member) => members.includes(member));

function limitCheck(limit: RightsLimit): Check {
  if (!isKnown(limit, LIMIT_MEMBERS)) return NOTHING;
  const { preset, namespaces, rules } = limit;
  const checks: Check[] = [];
  if (preset !== undefined) checks.push(presetCheck(preset));
  if (namespaces !== undefined) checks.push(namespacesCheck(namespaces));
  if (rules !== undefined) checks.push(rulesCheck(rules));
  return (question) => checks.every((check) => check(question));
}

function presetCheck(preset: NonNullable<RightsLimit['preset']>): Check {
  switch (preset) {
    case 'read-only':
    case 'read-only-with-secrets':
      return (question) => question.request.isResourceRequest && isInPreset(preset, question);
    default:
      return NOTHING;
  }
}

/** A request across all namespaces, or for what is in none, has an empty one, which no list has. */
function namespacesCheck(list: readonly string[]): Check {
  const namespaces = new Set(list);
  return ({ request: { isResourceRequest, namespace } }) =>
    isResourceRequest && namespace !== '' && namespaces.has(namespace);
}

/** By verb, because a session may have many rules, and few of them are about one verb. */
function rulesCheck(rules: readonly RightsRule[]): Check {
  const byVerb = new Map<string, Check[]>();
  for (const rule of rules.filter((each) => isKnown(each, RULE_MEMBERS))) {
    const check = ruleCheck(rule);
    for (const verb of new Set(rule.verbs)) byVerb.set(verb, [...(byVerb.get(verb) ?? []), check]);
  }
  const always = byVerb.get('*') ?? [];
  return (question) =>
    (byVerb.get(question.verb) ?? []).some((check) => check(question)) || always.some((check) => check(question));
}

/** Everything of a rule but its verbs. */
function ruleCheck({ apiGroups, resources, resourceNames, nonResourceURLs, namespaces }: RightsRule): Check {
  const groups = apiGroups === undefined || apiGroups.includes('*') ? undefined : new Set(apiGroups);
  const names = resourceNames === undefined ? undefined : new Set(resourceNames);
  const within = namespaces === undefined ? undefined : namespacesCheck(namespaces);
  const named = new Set(resources);
  const all = named.has('*');
  return (question) => {
    const { request, full, subresource } = question;
    if (!request.isResourceRequest) {
      return within === undefined && nonResourceURLs?.some((url) => isCoveredPath(url, request.path)) === true;
    }
    if (!all && !named.has(full) && !(subresource !== '' && named.has(`*/${subresource}`))) return false;
    if (groups !== undefined && !groups.has(request.apiGroup)) return false;
    // A request without a name, such as a list or a create, is about all names.
    if (names !== undefined && (request.name === '' || !names.has(request.name))) return false;
    return within === undefined || within(question);
  };
}

/** @param pattern of a rule: a path, or the beginning of one with an asterisk */
const isCoveredPath = (pattern: string, path: string): boolean =>
  pattern.endsWith('*') ? path.startsWith(pattern.slice(0, -1)) : pattern === path;

/** Discovery, OpenAPI, version and health: without them no client starts, and they have no objects. */
const ALWAYS_READ =
  /^\/(?:apis?|api\/[^/]+|apis\/[^/]+(?:\/[^/]+)?|version|(?:openapi|healthz|livez|readyz)(?:\/.*)?)\/?$/s;

const SELF_REVIEWS: ReadonlySet<string> = new Set([
  'authentication.k8s.io/selfsubjectreviews',
  'authorization.k8s.io/selfsubjectaccessreviews',
  'authorization.k8s.io/selfsubjectrulesreviews',
]);

/** What every delegated session may do, whatever its limits: that with which clients start. It stores nothing. */
export function isAlwaysAllowed(request: RightsRequest): boolean {
  const { isResourceRequest, verb, path } = request;
  if (!isResourceRequest) return (verb === 'get' || verb === 'head') && ALWAYS_READ.test(path);
  return verb === 'create' && isSelfReview(request);
}

/** True for a review of the caller's own rights, whose answer knows nothing of the session's limits. */
export const isRightsReview = (request: RightsRequest): boolean =>
  request.isResourceRequest &&
  request.verb === 'create' &&
  request.apiGroup === 'authorization.k8s.io' &&
  isSelfReview(request);

const isSelfReview = ({ apiGroup, resource, subresource }: RightsRequest): boolean =>
  subresource === '' && SELF_REVIEWS.has(`${apiGroup}/${resource}`);

/**
 * Decides which requests are audited: rules as in Kubernetes' audit policy, of which the first match decides.
 *
 * An attacker who can change the policy could empty the audit log without editing a file. So only allowed reads of
 * a few paths that probes and every kubectl use all day can be omitted, whatever a rule says, and a rule that
 * claims more is a validation error of the configuration.
 *
 * @see https://kubernetes.io/docs/reference/config-api/apiserver-audit.v1/#audit-k8s-io-v1-Policy
 */
import type { Identity } from '../identity/identity.ts';
import type { RequestInfo } from '../request/request-info.ts';

export interface AuditRule {
  /** Levels above Metadata include bodies, which are never audited. */
  readonly level: 'None' | 'Metadata';
  /** Empty or absent, here and below: any. */
  readonly users?: readonly string[] | undefined;
  readonly userGroups?: readonly string[] | undefined;
  readonly verbs?: readonly string[] | undefined;
  readonly resources?: readonly AuditedResources[] | undefined;
  readonly namespaces?: readonly string[] | undefined;
  /** Paths; a `*` at the end stands for anything. */
  readonly nonResourceURLs?: readonly string[] | undefined;
}

interface AuditedResources {
  readonly group?: string | undefined;
  readonly resources?: readonly string[] | undefined;
  readonly resourceNames?: readonly string[] | undefined;
}

/** An allowed read of these says nothing about any user. */
const QUIET = /^\/(?:livez|readyz|version|openapi)(?:\/|$)/;
const READS: ReadonlySet<string> = new Set(['get', 'head']);

export interface AuditCandidate {
  readonly info: RequestInfo;
  /** HTTP status that the client saw. */
  readonly code: number;
  /** Absent if the client was not identified. */
  readonly identity?: Pick<Identity, 'username' | 'groups'> | undefined;
}

/**
 * Returns whether a request is audited. Allowed reads of `/livez`, `/readyz`, `/version` and `/openapi` are
 * omitted unless a rule includes them; everything else is audited.
 * @param rules in their order; if none matches, as without rules
 */
export function auditedByPolicy(request: AuditCandidate, rules: readonly AuditRule[] = []): boolean {
  if (!isQuiet(request)) return true;
  return rules.find((rule) => matches(rule, request))?.level === 'Metadata';
}

function isQuiet({ info, code }: AuditCandidate): boolean {
  return !info.isResourceRequest && READS.has(info.verb) && code >= 200 && code < 400 && QUIET.test(info.path);
}

/** For a request that is about no resource; a rule about resources or namespaces never matches it. */
function matches(rule: AuditRule, { info, identity }: AuditCandidate): boolean {
  if (some(rule.resources) || some(rule.namespaces)) return false;
  if (some(rule.users) && !rule.users.includes(identity?.username ?? '')) return false;
  if (some(rule.userGroups) && !rule.userGroups.some((group) => identity?.groups.includes(group))) return false;
  if (some(rule.verbs) && !rule.verbs.includes(info.verb)) return false;
  return !some(rule.nonResourceURLs) || rule.nonResourceURLs.some((pattern) => covers(pattern, info.path));
}

const some = <T>(list: readonly T[] | undefined): list is readonly T[] => list !== undefined && list.length > 0;

const covers = (pattern: string, path: string): boolean =>
  pattern.endsWith('*') ? path.startsWith(pattern.slice(0, -1)) : path === pattern;

/**
 * Returns what a rule would omit from the audit log although it must not.
 * @returns the setting that must change, and what it must be; undefined if the rule is valid
 */
export function hiddenBeyondQuiet(
  rule: AuditRule,
): { readonly setting: string; readonly expected: string } | undefined {
  if (rule.level !== 'None') return undefined;
  for (const [setting, list] of Object.entries({ resources: rule.resources, namespaces: rule.namespaces })) {
    if (some<unknown>(list)) return { setting, expected: 'nothing: actions on resources are always audited' };
  }
  if (!some(rule.nonResourceURLs) || !rule.nonResourceURLs.every(isQuietPattern)) {
    const expected =
      'paths of /livez, /readyz, /version and /openapi, such as /livez/*: nothing else may be left out (level None)';
    return { setting: 'nonResourceURLs', expected };
  }
  if (!some(rule.verbs) || !rule.verbs.every((verb) => READS.has(verb))) {
    return { setting: 'verbs', expected: '[get, head]: only reads may be left out (level None)' };
  }
  return undefined;
}

/** `/livez*` would also match `/livezilla`. */
const isQuietPattern = (pattern: string): boolean =>
  QUIET.test(pattern) && !/[?*]/.test(pattern.endsWith('/*') ? pattern.slice(0, -1) : pattern);

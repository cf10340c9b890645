/** Does a rule of RBAC allow a request? Pure; the rules of `rbac.authorization.k8s.io/v1`. */
import type { JsonObject } from '../objects/json.ts';
import { stringsAt } from '../objects/json.ts';

/** What a user wants to do. */
export interface Attributes {
  readonly verb: string;
  readonly resource?: {
    readonly group: string;
    readonly namespace: string;
    readonly resource: string;
    readonly subresource: string;
    readonly name: string;
  };
  /** For what is no resource. */
  readonly path?: string;
}

export interface PolicyRule {
  readonly verbs: readonly string[];
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly resourceNames: readonly string[];
  readonly nonResourceURLs: readonly string[];
}

export const policyRule = (json: JsonObject): PolicyRule => ({
  verbs: stringsAt(json, 'verbs'),
  apiGroups: stringsAt(json, 'apiGroups'),
  resources: stringsAt(json, 'resources'),
  resourceNames: stringsAt(json, 'resourceNames'),
  nonResourceURLs: stringsAt(json, 'nonResourceURLs'),
});

const has = (list: readonly string[], wanted: string): boolean => list.includes('*') || list.includes(wanted);

/** `pods` does not cover `pods/exec`; `*` covers everything, and `*` with a subresource that one of every resource. */
function coversResource(rule: PolicyRule, resource: string, subresource: string): boolean {
  if (subresource === '') return has(rule.resources, resource);
  return has(rule.resources, `${resource}/${subresource}`) || rule.resources.includes(`*/${subresource}`);
}

function coversPath(rule: PolicyRule, path: string): boolean {
  return rule.nonResourceURLs.some((url) => (url.endsWith('*') ? path.startsWith(url.slice(0, -1)) : url === path));
}

export function ruleAllows(rule: PolicyRule, wanted: Attributes): boolean {
  if (!has(rule.verbs, wanted.verb)) return false;
  if (wanted.resource === undefined) return coversPath(rule, wanted.path ?? '');
  const { group, resource, subresource, name } = wanted.resource;
  return (
    has(rule.apiGroups, group) &&
    coversResource(rule, resource, subresource) &&
    (rule.resourceNames.length === 0 || rule.resourceNames.includes(name))
  );
}

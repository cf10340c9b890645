/**
 * Requests that change an object and create it where there is none.
 *
 * For these an API server asks for `create` as well, inside the request and by the user's own rights, which know nothing of
 * a session's limits. So an attacker who directs an agent that may only `patch` would create a pod, by server-side apply,
 * that mounts every Secret of its namespace. Whether the object exists is not known here, so the limits must allow both.
 */
import type { RightsRequest } from './evaluate.ts';

/** What a patch of these types is about must exist. API servers compare what is before a semicolon, byte for byte. */
const CHANGES_ONLY: ReadonlySet<string> = new Set([
  'application/json-patch+json',
  'application/merge-patch+json',
  'application/strategic-merge-patch+json',
]);

/** Of Kubernetes' own groups, up to 1.36 (`AllowCreateOnUpdate`); `test/cluster/delegated-creation.test.ts` finds others. */
const CREATED_BY_UPDATE: ReadonlySet<string> = new Set([
  '/endpoints',
  '/events',
  '/limitranges',
  '/services',
  'coordination.k8s.io/leasecandidates',
  'coordination.k8s.io/leases',
  'events.k8s.io/events',
  'node.k8s.io/runtimeclasses',
  'rbac.authorization.k8s.io/clusterrolebindings',
  'rbac.authorization.k8s.io/clusterroles',
  'rbac.authorization.k8s.io/rolebindings',
  'rbac.authorization.k8s.io/roles',
]);

/** @param contentTypes each value of `Content-Type`: which one the API server uses is up to it */
export function mayCreate(
  { isResourceRequest, verb, apiGroup, resource, subresource }: RightsRequest,
  contentTypes: readonly string[],
): boolean {
  // No subresource creates its object.
  if (!isResourceRequest || subresource !== '') return false;
  if (verb === 'update') return CREATED_BY_UPDATE.has(`${apiGroup}/${resource}`);
  return verb === 'patch' && (contentTypes.length === 0 || !contentTypes.every(onlyChanges));
}

const onlyChanges = (contentType: string): boolean => CHANGES_ONLY.has(contentType.split(';', 1)[0] ?? '');

/**
 * No user grants rights that they do not have. A real API server compares the role with the rights of the user who binds it, rule by rule; here
 * only a user with every right may change roles and bindings, which is stricter and as safe.
 * @see https://kubernetes.io/docs/reference/access-authn-authz/rbac/#privilege-escalation-prevention-and-bootstrapping
 */
import { qualified, StatusError } from '../objects/status.ts';
import { RBAC } from '../resources.ts';
import type { ClusterParts, ResourceCall } from './call.ts';

/** @throws StatusError 403 */
export function checkEscalation(parts: ClusterParts, { user, resource }: ResourceCall): void {
  if (resource.group !== RBAC) return;
  const everything = parts.authorizer
    .rulesFor(user, '')
    .some(({ verbs, apiGroups, resources }) => [verbs, apiGroups, resources].every((list) => list.includes('*')));
  if (everything) return;
  const what = qualified(resource.group, resource.resource);
  const message = `${what} is forbidden: user "${user.username}" is attempting to grant RBAC permissions not currently held`;
  throw new StatusError(403, 'Forbidden', message, { group: resource.group, kind: resource.resource });
}

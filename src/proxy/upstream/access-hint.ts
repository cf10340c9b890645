/**
 * Says to a user whom the cluster has denied something which role they could ask for: as a `Warning`, which kubectl
 * prints below the error. Whether the role would have helped is not known here: RBAC is the cluster's.
 */
import { isForCluster, mayRequest, type AccessRole } from '../../core/access/role.ts';
import { isConsoleClient } from '../../core/core.ts';
import type { Caller } from '../../core/credential/credential.ts';
import { isBelowProxy } from '../../core/request/request-info.ts';
import type { Admitted } from '../admission/admission.ts';
import type { ApiListenerDeps } from '../dependencies.ts';
import { loginAddress } from '../rejections.ts';

/** Names of roles in one warning. */
const MOST_NAMES = 3;

/**
 * @param request.caller undefined: a service account with its own token
 * @param request.impersonates whom the client acts as, if it does: then the denial is about another user
 * @returns the text of a `Warning` header, in ASCII without quotes; undefined where there is no role to ask for
 */
export function accessHint(
  { access, ...messages }: Pick<ApiListenerDeps, 'publicUrl' | 'thirdParties' | 'access'>,
  request: { readonly caller: Caller | undefined; readonly impersonates: boolean },
  { cluster, info }: { readonly cluster: Pick<Admitted['cluster'], 'name'>; readonly info: Admitted['info'] },
): string | undefined {
  const { caller, impersonates } = request;
  if (access === undefined || caller === undefined || caller.delegation !== undefined || impersonates) return undefined;
  const { client, provider } = caller.credential;
  // A pod behind …/proxy responds itself. A console's backend shows no headers to its user.
  if (isBelowProxy(info) || isConsoleClient(client) || access.workloads.has(provider)) return undefined;
  const names = access.roles.filter((role) => isWorthAsking(role, caller, cluster.name)).map(({ name }) => name);
  const [first] = names;
  if (first === undefined) return undefined;
  const address = loginAddress(messages, client);
  if (address === undefined) return `you may ask for ${listed(names)} at ${messages.publicUrl}/access`;
  const command = `portcullis access request ${first}`;
  return names.length === 1
    ? `you may ask for ${listed(names)}: ${command}`
    : `you may ask for ${listed(names)}, for example: ${command}`;
}

function isWorthAsking(
  role: AccessRole,
  { identity, ownIdentity = identity, grants }: Caller,
  cluster: string,
): boolean {
  const { approval, groups, name } = role;
  return (
    mayRequest(role, ownIdentity) &&
    isForCluster(role, cluster) &&
    // No one could approve it.
    (approval === 'none' || approval.groups.length > 0) &&
    grants?.some((grant) => grant.role === name) !== true &&
    groups.some((group) => !identity.groups.includes(group))
  );
}

/** Names of roles are DNS labels: nothing of them needs escaping. */
function listed(names: readonly string[]): string {
  const shown = names.slice(0, MOST_NAMES);
  if (names.length > MOST_NAMES) return `the roles ${shown.join(', ')} and others`;
  const last = shown.at(-1) ?? '';
  return names.length === 1 ? `the role ${last}` : `the roles ${shown.slice(0, -1).join(', ')} or ${last}`;
}

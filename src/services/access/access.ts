/**
 * Access requests: users ask for groups for a while, and colleagues approve (docs/decisions/0046-access-requests.md).
 *
 * Owns: who may ask, approve, deny and end; the order in which a request becomes a grant, so that nothing is half-granted;
 * the end of each grant with its receipt; who is told; and the audit events of all this. Must not know: how groups reach a
 * cluster (module `proxy`), how a revocation reaches the replicas (module `revocation`), pages and paths (`web`, `api`), or
 * Redis.
 */
import type { AccessRequests } from './access-requests.ts';
import { type RevocationResults, createRevocationResults } from '../admin/admin.ts';
import type { AccessDeps } from './dependencies.ts';
import { createEndGrant } from './end-grant.ts';
import { createEndings, type Endings } from './endings.ts';
import { createAccessRequests } from './requests.ts';

export { createRoleUsageCount, type RoleUsageCount } from './role-usage.ts';
export { createAccessNotices, type AccessNotices, type NoticeReceiver } from './notify/notify.ts';
export type {
  AccessAction,
  AccessCaller,
  AccessPage,
  AccessRequests,
  OfferedRole,
  RequesterBackground,
} from './access-requests.ts';
export { accessRequestView, type AccessRequestView } from './access-view.ts';
export type { AccessDeps } from './dependencies.ts';
export { judgeSession } from './users.ts';
export { createWaiters } from './waiters.ts';

export interface Access {
  readonly requests: AccessRequests;
  readonly endings: Endings;
  /** Receipts of all revocations; the admin service keeps its own there too. */
  readonly results: RevocationResults;
}

export function createAccess(deps: AccessDeps): Access {
  const results = createRevocationResults(deps);
  const endGrant = createEndGrant(deps, results);
  return { results, requests: createAccessRequests(deps, endGrant), endings: createEndings(deps, endGrant) };
}

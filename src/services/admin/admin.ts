/**
 * Admin: what admins and auditors may do, for the admin pages, for programs, and for the server's own shell.
 *
 * Owns: roles and the freshness of an admin's sign-in, the second admin's approval, revocations with their receipts, locks and
 * drills, the filters of sessions and of the audit log, and the audit events of all this. Must not know: pages and cookies
 * (module `web`), paths and methods (module `api`), how a revocation reaches the replicas (module `revocation`), or Redis.
 */
export type * from './dependencies.ts';
export * from './audit-log.ts';
export { isConfirmed, recheckedRecord, type RecheckUser } from './confirmed-user.ts';
export { createDrills, type DrillResult, type RunDrill } from './drills.ts';
export * from './fresh-sign-ins.ts';
export * from './freshness.ts';
export * from './locks.ts';
export * from './open-streams.ts';
export { planOf, type RevocationPlan, type RevocationRequest } from './revocation-request.ts';
export {
  createRevocationResults,
  isFollowed,
  receiptsOf,
  type RevocationReceipt,
  type RevocationResults,
} from './revocation-results.ts';
export * from './revocation-scope.ts';
export * from './revoke.ts';
export * from './roles.ts';
export { createSessionList, listQuery, type ListSessions, type SessionQuery } from './session-query.ts';

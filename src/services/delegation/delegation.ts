/**
 * Delegated sessions: a user gives a script or an AI agent less than they have themselves
 * (docs/decisions/0044-delegated-sessions.md).
 *
 * Owns: which delegated session may be made from which session, opening one so that nothing is half-made, who may see and end
 * it, and the audit events of this. Must not know: how tokens are minted or refreshed (module `oauth`, through `contracts`),
 * what a right allows (`core`), paths and methods (`api`), Kubernetes requests, or Redis.
 */
export type { DelegationDeps, DelegationOutcome } from './dependencies.ts';
export { createDelegations, type Delegations } from './open.ts';

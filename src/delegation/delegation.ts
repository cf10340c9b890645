/**
 * Delegated sessions: a user gives a script or an AI agent less than they have themselves
 * (docs/decisions/0044-delegated-sessions.md).
 *
 * Owns: which delegated session may be made from which session, opening one so that nothing is half-made, the API for
 * programs at `/-/delegations`, and the audit events of both. Must not know: how tokens are minted or refreshed (module
 * `oauth`, through `contracts`), what a right allows (`core`), Kubernetes requests, or Redis.
 */
export { createDelegations } from './open.ts';
export { delegationsApi } from './api.ts';
export type { DelegationOutcome } from './dependencies.ts';

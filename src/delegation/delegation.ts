/**
 * Delegated sessions: a user gives a script or an AI agent less than they have themselves
 * (docs/decisions/0044-delegated-sessions.md).
 *
 * Owns: which delegated session may be made from which session, opening one so that nothing is half-made, the API for
 * programs at `/-/delegations`, and the audit events of both. Must not know: how tokens are minted or refreshed (module
 * `oauth`, through `contracts`), what a right allows (`core`), Kubernetes requests, or Redis.
 *
 * - `open.ts`: opens a session, in the order in which a failure leaves nothing behind
 * - `judge.ts`: whether what is asked for may be made from the sessions above; `rejections.ts`: every reason why not
 * - `api.ts`: the API for programs; `view.ts`: its JSON
 * - `dependencies.ts`: what the module `server` gives
 * - `audit-events.ts`: audit events and the count of what was decided
 */
export { createDelegations } from './open.ts';
export { delegationsApi } from './api.ts';
export type { DelegationOutcome } from './dependencies.ts';

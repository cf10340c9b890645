/**
 * Revocation: may this credential be used right now, and how is it made to stop?
 *
 * Owns: the view (the log's live entries in memory), the lease that keeps the view fresh, the registry of what is in flight, the
 * cut, and the revocation itself with its answer. Must not know: HTTP, tokens' encoding, Redis commands (room `store`), or who
 * may revoke whom (room `web`).
 *
 * Fail closed: without a fresh lease this replica is *fenced*. `check` then refuses everything and everything in flight has been cut.
 */
export type * from './types.ts';
export { createRevocationGuard } from './guard.ts';

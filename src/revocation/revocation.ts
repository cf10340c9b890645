/**
 * Revocation: decides whether a credential may be used right now, and stops its use.
 *
 * Owns: the view (the log's live entries in memory), the lease that keeps the view fresh, the registry of what is
 * in flight, the cut, and the revocation itself with its result. Must not know: HTTP, the encoding of tokens, Redis
 * commands (module `store`), or who may revoke whom (module `services`).
 *
 * Fails closed: without a fresh lease this replica is *fenced*. Then `check` rejects everything, and everything in
 * flight has been cut.
 */
export type * from './types.ts';
export { revokeAudited, type RevocationFacts } from './audited.ts';
export { createRevocationGuard } from './guard.ts';
export { RESULT_KEPT_SECONDS } from './revocations.ts';

/**
 * Revocation: decides whether a credential may be used right now, and stops its use.
 *
 * Owns: the view (the log's live entries in memory), the lease that keeps the view fresh, the registry of what is
 * in flight, the cut, and the revocation itself with its result. Must not know: HTTP, the encoding of tokens, Redis
 * commands (module `store`), or who may revoke whom (module `admin`).
 *
 * - `guard.ts`: assembles the parts. `local-guard.ts`: targets that are held here before anything is written.
 * - `follower.ts`, `lease.ts`, `clocks.ts`: follow the log and renew the lease. `view.ts`, `digest-marks.ts`: the view.
 * - `registry.ts`: what is in flight, and the cut. `session-endings.ts`: sessions that end by themselves.
 *   `grant-endings.ts`: grants that do.
 * - `revocations.ts`, `revocation-progress.ts`, `proof.ts`: a revocation up to its proof.
 * - `peers.ts`, `replicas.ts`: the other replicas, as seen here and as shown. `types.ts`: the types of the module.
 *
 * Fails closed: without a fresh lease this replica is *fenced*. Then `check` rejects everything, and everything in
 * flight has been cut.
 */
export type * from './types.ts';
export { createRevocationGuard } from './guard.ts';
export { RESULT_KEPT_SECONDS } from './revocations.ts';

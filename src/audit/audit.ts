/**
 * Audit: from an event to disk and to the servers that collect it.
 *
 * Owns the sinks (stdout, file, webhook), the order of their lines, and the reaction to a failing sink. Must not
 * know how an event came about, who may read the audit log, or anything of a request. The shape of an event
 * belongs to `core`.
 *
 * - `trail.ts`, `chained-sinks.ts`, `encode-line.ts`: an event becomes a line in every sink
 * - `sinks/`: the sinks, their rotation, compression and spool
 * - `chain/`: the hash chain, its signatures and its anchors
 * - `verify/`: the verifier of files; `query/`: reads events from files, for the command and for pages
 * - `live/`: live views; `recent/`: recent requests of a session; `rejections/`: limits events of rejections
 * - `types.ts`: the shapes of this module
 */
export { startAnchors } from './chain/anchors.ts';
export { createLiveAuditLog } from './live/live.ts';
export { createLiveTails } from './live/live-tails.ts';
export { limitRejections } from './rejections/rejections.ts';
export { createAuditHistory, type AuditHistory } from './query/history.ts';
export { createRecentRequests } from './recent/recent.ts';
export { createAuditTrail } from './trail.ts';
export type * from './types.ts';

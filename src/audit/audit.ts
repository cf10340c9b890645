/**
 * Audit: from an event to disk and to the servers that collect it.
 *
 * Owns the sinks (stdout, file, webhook), the order of their lines, and the reaction to a failing sink. Must not
 * know how an event came about, who may read the audit log, or anything of a request. The shape of an event
 * belongs to `core`.
 */
export { startAnchors } from './chain/anchors.ts';
export { createLiveAuditLog } from './live/live.ts';
export { createLiveTails } from './live/live-tails.ts';
export { createReplicaQuestions, type Answerers, type ReplicaQuestions } from './live/replica-questions.ts';
export { limitRejections } from './rejections/rejections.ts';
export { createAuditHistory, type AuditHistory } from './query/history.ts';
export { answersSearches, searchesAllReplicas } from './query/all-replicas.ts';
export { createRecentRequests } from './recent/recent.ts';
export { createAuditTrail } from './trail.ts';
export type * from './types.ts';

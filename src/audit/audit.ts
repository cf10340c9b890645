/**
 * Audit: from event to disk and to who collects it.
 *
 * Owns: the sinks (stdout, file, webhook), the order of lines, and what happens when a sink fails. Must not know: how an event came
 * about, who may read the record, or anything of a request. The shape of an event is core's.
 */
export { startAnchors } from './chain/anchors.ts';
export { createLiveAuditLog } from './live/live.ts';
export { createLiveTails } from './live/live-tails.ts';
export { limitRejections } from './rejections/rejections.ts';
export { createRecentRequests } from './recent/recent.ts';
export { createAuditTrail } from './trail.ts';
export type * from './types.ts';

/** The server's context: its logger, metrics, keys, audit log, store and revocation guard. */
import { uptime } from 'node:os';
import {
  answersSearches,
  createAuditHistory,
  createAuditTrail,
  createLiveAuditLog,
  createLiveTails,
  createReplicaQuestions,
  searchesAllReplicas,
  createRecentRequests,
  limitRejections,
  startAnchors,
} from '../audit/audit.ts';
import type { Config } from '../config/config.ts';
import { AppError } from '../core/errors.ts';
import { openStore } from './dependencies.ts';
import { followServerKeys, type KeyTiming } from './keys.ts';
import { createFenceAudit, recordServerEvent, recordSessionEnded, type ServerEvent } from './server-events.ts';
import { createReloading } from './reload.ts';
import { createRevocationGuard } from '../revocation/revocation.ts';
import { displacedSignIns, observeAuditLog, observeStore, serverMetrics } from './server-metrics.ts';
import { answersStreams } from '../services/admin/admin.ts';
import { createEndingReasons } from '../store/ending-reasons.ts';
import type { Store } from '../store/store.ts';
import { createLogger } from '../telemetry/telemetry.ts';

const UNSUITABLE: ReadonlySet<string> = new Set([
  'redis_cluster_mode',
  'redis_too_old',
  'redis_evicts',
  'redis_incomplete',
]);

export type ServerContext = Awaited<ReturnType<typeof openContext>>;

/**
 * Creates what every module depends on: the logger, the metrics, the keys, the audit log, the store and the
 * revocation guard.
 */
export async function openContext(
  config: Config,
  replica: string,
  opening: AsyncDisposableStack,
  keyTiming: KeyTiming = {},
) {
  const clock = { nowMs: Date.now };
  const logger = createLogger({ level: config.telemetry.logLevel });
  const metrics = serverMetrics(config);
  const audited = (...about: ServerEvent): void => recordServerEvent({ audit, clock, replica }, ...about);
  const keys = await followServerKeys(
    config,
    { clock, logger, metrics, changed: (directory) => audited('files-reloaded', { files: directory }) },
    keyTiming,
  );
  opening.defer(() => keys.stop());
  const reloading = createReloading({
    logger,
    metrics,
    reloaded: (files) => audited('files-reloaded', { files: files.join(' ') }),
  });
  opening.defer(() => reloading.stop());
  const store = openStore(config, keys.sealing, logger, {
    reloading,
    onEpoch: ({ why, knowsLocks }) => audited('epoch-began', { reason: why, survivor: String(knowsLocks) }),
    onDisplaced: displacedSignIns(metrics, clock, (facts) => audited('sign-ins-displaced', facts)),
  });
  opening.defer(() => store.close());
  const { sinks, onFailure, writeAhead, rejectionsPerMinute } = config.audit;
  const files = createAuditHistory(sinks);
  const answerers = new Map<string, (question: unknown) => unknown>([answersSearches(files)]);
  const live = createLiveAuditLog({ metrics, logger, answerers });
  const chain = keys.withAuditKey({ replica });
  const syncAhead = writeAhead === 'sync';
  const trail = createAuditTrail({ sinks, onFailure, syncAhead, metrics, logger, chain });
  observeAuditLog(metrics, trail);
  const recent = createRecentRequests({ logger });
  // Outermost, so that live views are limited like files.
  const audit = limitRejections(recent.wrap(live.wrap(trail)), {
    perMinute: rejectionsPerMinute,
    metrics,
    nowMs: clock.nowMs,
  });
  // Closed after the audit trail, so that the last anchor covers all of it.
  opening.defer(startAnchors(keys.withAuditKey({ trail, replica, store: store.anchors, logger })));
  opening.defer(() => audit.close());
  // Before it: the event of a file that is read again as the server stops would be lost.
  opening.defer(() => {
    keys.stop();
    reloading.stop();
  });
  await rejectUnsuitableStore(store);
  recent.start(store.recent);
  const fences = createFenceAudit({ audit, clock, replica });
  const guard = createRevocationGuard({
    log: store.log,
    sessions: store.sessions,
    stalenessSeconds: config.revocation.staleness,
    replicaName: replica,
    monotonicMs: () => performance.now(),
    clock,
    uptimeMs: () => uptime() * 1000,
    isFirstGeneration: config.store.kind === 'memory',
    longestTokenSeconds: config.sessions.accessToken,
    keys: keys.ofReplicas,
    logger,
    metrics,
    onFenced: (fence) => fences.servingAgain(fence),
    onSessionEnded: (ended) => recordSessionEnded({ audit, clock, replica }, ended),
  });
  for (const [kind, answer] of answersStreams(guard)) answerers.set(kind, answer);
  live.start(store.live, guard.incarnation);
  guard.onChange((change) => fences.observed(change === undefined && guard.fenced));
  observeStore(metrics, store);
  metrics.observeView(() => ({ stalenessSeconds: guard.stalenessSeconds, fenced: guard.fenced }));
  const tails = createLiveTails(store.live);
  const questions = createReplicaQuestions({
    channel: store.live,
    incarnation: guard.incarnation,
    replicas: () => guard.replicas,
  });
  const history = searchesAllReplicas({ own: files, questions });
  opening.defer(async () => void (await Promise.all([live.stop(), recent.stop()])));
  const endings = createEndingReasons(store.artefacts, clock.nowMs);
  return {
    replica,
    clock,
    logger,
    metrics,
    keys,
    reloading,
    audit,
    tails,
    questions,
    history,
    store,
    guard,
    fences,
    endings,
  };
}

/**
 * Rejects a store that can never be used, which is a mistake that an operator should see immediately. An
 * unavailable store is waited for.
 * @throws AppError `store_unavailable` for Redis Cluster, a server that is too old, or one that evicts data that
 * must be kept
 */
async function rejectUnsuitableStore(store: Store): Promise<void> {
  const error = await store.ping().catch((thrown: unknown) => thrown);
  if (error instanceof AppError && UNSUITABLE.has(error.reason)) throw error;
}

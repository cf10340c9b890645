/**
 * The store on Redis, which replicas share. docs/reference/store-schema.md lists every key.
 *
 * Four connections: `main` for requests, `lease` for renewals (nothing may delay them), `writes` for whatever
 * followers must confirm, `news` for notifications about entries. None of them queues or resends: a command is
 * sent immediately or fails.
 */
import { performance } from 'node:perf_hooks';

import { AppError } from '../../core/errors.ts';
import type { Clock } from '../../contracts/clock.ts';
import { CLOCK_SKEW_SECONDS, FRESH_TOLERANCE_SECONDS } from '../lifetimes.ts';
import { PENDING_BYTES, type Displaced } from '../pending.ts';
import type { Store } from '../store.ts';
import { RedisAccess } from './access.ts';
import { RedisAnchors } from './anchors.ts';
import { RedisArtefacts } from './artefacts.ts';
import { connect } from './connections.ts';
import { RedisFreshSignIns } from './fresh-sign-ins.ts';
import { createKeys } from './keys.ts';
import { RedisLive } from './live.ts';
import { RedisLocks } from './locks.ts';
import { RedisLog } from './log.ts';
import { News } from './news.ts';
import type { RedisParts } from './parts.ts';
import { RedisRecent } from './recent.ts';
import { RedisSealedValues } from './reencrypt.ts';
import { Runner, type EpochEvent } from './runner.ts';
import { createSealer, type SealingKeys } from './sealer.ts';
import { RedisSessions } from './sessions.ts';
import { fullnessOf } from './server-check.ts';
import type { RedisSettings } from './settings.ts';
import { Settlement } from './settlement.ts';
import { KnownLocks } from './known-locks.ts';

export type { EpochEvent } from './runner.ts';
export type { RedisSettings } from './settings.ts';
export type { SealingKeys } from './sealer.ts';

export interface RedisStoreOptions {
  readonly config: RedisSettings;
  /** Read at each use, because keys are rotated. */
  readonly sealingKeys: SealingKeys;
  readonly clock: Clock;
  /** Milliseconds of a clock that is never set back. Default: the process' own. */
  readonly monotonicMs?: () => number;
  /**
   * Largest difference between this clock and the store's; with a larger one, no script serves this replica.
   * Default: a minute.
   */
  readonly clockSkewSeconds?: number;
  /**
   * Largest error of a provider's clock when `auth_time` is compared with a revocation (seconds). Default: a
   * minute.
   */
  readonly providerClockSkew?: number;
  /** Whether a process that has never been in an epoch may begin one in a store that has none. Default: init. */
  readonly emptyStore?: 'init' | 'refuse';
  /**
   * Receives what an operator should know: a connection lost, a server that evicts, a sealed value that was
   * tampered with. Never a secret.
   */
  readonly onError?: (error: AppError) => void;
  /** Called in the one replica that began a new epoch: all users sign in again, and it must be audited. */
  readonly onEpoch?: (event: EpochEvent) => void;
  /** Called when login transactions were displaced by others. */
  readonly onDisplaced?: (displaced: Displaced) => void;
  /** Bytes of the budget of login transactions. Default: `PENDING_BYTES`. */
  readonly pendingBytes?: number;
}

/**
 * Begins to connect and returns immediately. While Redis is unavailable, each method throws AppError
 * `store_unavailable` within 250 ms (500 ms where followers must confirm), or later by as long as this process was
 * busy (timing.ts) or a write had others before it (batches.ts). An unsuitable server (Redis Cluster, older than 7)
 * is rejected until it has been changed, and `ping` gives the cause in `cause`.
 *
 * @throws RangeError for a URL, prefix or sealing key that cannot work
 */
export function createRedisStore(options: RedisStoreOptions): Store {
  const { config, sealingKeys, clock, onError = (): void => {}, onEpoch = (): void => {} } = options;
  const keys = createKeys(config.prefix);
  const sealer = createSealer(sealingKeys);
  const connections = connect(config, onError);
  const { main, writes } = connections;
  const news = new News(connections.news, `${keys.base}news`);
  const runner = new Runner({
    base: keys.base,
    clock,
    clockSkewMs: (options.clockSkewSeconds ?? CLOCK_SKEW_SECONDS) * 1000,
    writes,
    emptyStore: options.emptyStore ?? 'init',
    onEpoch,
  });
  const reportTampered = (what: string): void => onError(tampered(what));
  const { pendingBytes = PENDING_BYTES, onDisplaced: reportDisplaced = (): void => {} } = options;
  const { providerClockSkew = FRESH_TOLERANCE_SECONDS } = options;
  const shared = { clock, keys, sealer, runner, main };
  const parts: RedisParts = { ...shared, reportTampered, pendingBytes, reportDisplaced, providerClockSkew };
  const knownLocks = new KnownLocks({ runner, main, writes, clock });
  const settlement = new Settlement(options.monotonicMs ?? (() => performance.now()));

  return {
    artefacts: new RedisArtefacts(parts),
    sessions: new RedisSessions(parts),
    log: new RedisLog({ ...parts, connections, news, knownLocks, settlement }),
    locks: new RedisLocks(parts),
    freshSignIns: new RedisFreshSignIns(parts),
    live: new RedisLive({ ...parts, news }),
    anchors: new RedisAnchors(parts),
    recent: new RedisRecent(parts),
    access: new RedisAccess(parts),
    sealed: new RedisSealedValues(parts, knownLocks),
    async ping() {
      // All three: a store whose leases cannot be renewed, or in which nothing can be revoked, is of no use.
      await Promise.all([main, connections.lease, writes].map((connection) => connection.run((redis) => redis.ping())));
    },
    fullness: () => main.run(async (redis) => fullnessOf(await redis.info('memory'))),
    async close() {
      connections.close();
      news.wake();
    },
  };
}

const tampered = (what: string): AppError =>
  new AppError(
    'internal',
    `A value in Redis (${what}) cannot be read. It was changed, moved, or sealed by a key that no longer exists.`,
    { reason: 'sealed_value_unreadable' },
  );

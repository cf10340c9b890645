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
import { CLOCK_SKEW_SECONDS } from '../lifetimes.ts';
import { PENDING_BYTES, type Displaced } from '../pending.ts';
import type { Store, AnchorStore, FreshSignIns, RecentRequest, RecentStore } from '../store.ts';
import { RedisAccess } from './access.ts';
import { RedisArtefacts } from './artefacts.ts';
import { connect } from './connections.ts';
import { createKeys, accountDigest, sessionDigest } from './keys.ts';
import { RedisLive } from './live.ts';
import { RedisLocks } from './locks.ts';
import { RedisLog } from './log.ts';
import { News } from './news.ts';
import { type RedisParts, cleanUpAfter } from './parts.ts';
import { RedisSealedValues } from './reencrypt.ts';
import { Runner, type EpochEvent, type ChainPosition } from './runner.ts';
import { createSealer, type SealingKeys } from './sealer.ts';
import { RedisSessions } from './sessions.ts';
import { fullnessOf } from './server-check.ts';
import type { RedisSettings } from './settings.ts';
import { Settlement } from './settlement.ts';
import { KnownLocks } from './known-locks.ts';
import { pairs, text, list } from './reply.ts';
import * as scripts from './scripts.ts';
import { MOST_RECENT, newestOf, newestSeconds } from '../recent.ts';

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
  const shared = { clock, keys, sealer, runner, main };
  const parts: RedisParts = { ...shared, reportTampered, pendingBytes, reportDisplaced };
  const knownLocks = new KnownLocks({ runner, main, writes, clock });
  const settlement = new Settlement(options.monotonicMs ?? (() => performance.now()));

  return {
    artefacts: new RedisArtefacts(parts),
    sessions: new RedisSessions(parts),
    log: new RedisLog({ ...parts, connections, news, knownLocks, settlement }),
    locks: new RedisLocks(parts),
    freshSignIns: freshSignInsIn(parts),
    live: new RedisLive({ ...parts, news }),
    anchors: anchorsIn(parts),
    recent: recentIn(parts),
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

const MOST_CHAINS = 1000;

const NO_POSITION: ChainPosition = { epoch: '', number: 0, hash: '' };

/** The anchors of the audit log. */
const anchorsIn = ({ runner, main }: RedisParts): AnchorStore => ({
  async put(chain, anchor) {
    await runner.runOnce(main, scripts.putAnchor, [chain, anchor, MOST_CHAINS], NO_POSITION);
  },
  async list() {
    const [, ...flat] = await runner.runOnce(main, scripts.listAnchors, [], NO_POSITION);
    return pairs(flat).map(([, anchor]) => anchor);
  },
});

/**
 * Accounts whose next sign-in must be a fresh one: the sorted set `fresh`. A revocation writes it, and the script that opens a
 * session reads it.
 */
const freshSignInsIn = ({ runner, main }: RedisParts): FreshSignIns => ({
  async find(account) {
    const mark = text((await runner.run(main, scripts.findFreshSignIn, [accountDigest(account)]))[1]);
    return mark === '' ? undefined : Number(mark);
  },
  async lift(account, upTo) {
    const outcome = text((await runner.run(main, scripts.liftFreshSignIn, [accountDigest(account), upTo ?? '']))[1]);
    return outcome === 'lifted' || outcome === 'newer' ? outcome : 'none';
  },
});

/** Recent requests of sessions. */
function recentIn({ runner, main, sealer, keys, reportTampered }: RedisParts): RecentStore {
  async function open(hash: string, sealed: string): Promise<readonly RecentRequest[]> {
    const opened = await sealer.open(sealed, keys.sealedRecent(hash));
    if (Array.isArray(opened)) return opened as readonly RecentRequest[];
    reportTampered('recent requests');
    return [];
  }
  async function readEach(sessions: readonly string[], most?: number): Promise<readonly (readonly RecentRequest[])[]> {
    const hashes = sessions.map((session) => sessionDigest(session));
    const [, each] = await runner.run(main, scripts.readRecent, [hashes.join(' '), most ?? '']);
    return await Promise.all(
      list(each).map(async (blobs, index) => {
        const opened = await Promise.all(list(blobs).map((sealed) => open(hashes[index] ?? '', text(sealed))));
        return newestOf(opened.flat()).slice(0, most);
      }),
    );
  }
  return {
    async add(session, requests) {
      const kept = requests.slice(-MOST_RECENT);
      if (kept.length === 0) return;
      const hash = sessionDigest(session);
      const sealed = await sealer.seal(kept, keys.sealedRecent(hash));
      const newest = newestSeconds(kept);
      await runner.run(main, scripts.addRecent, [hash, sealed, kept.length, MOST_RECENT, cleanUpAfter(0), newest]);
    },
    read: async (session, most) => (await readEach([session], most))[0] ?? [],
    readEach,
  };
}

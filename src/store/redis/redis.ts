/**
 * The store on Redis: what replicas share. docs/reference/store-schema.md lists every key.
 *
 * Three connections: `main` for requests, `lease` for renewals (nothing may stand before them), `news` that listens for entries.
 * None of them queues or resends: a command acts now or fails.
 */
import { AppError } from '../../core/errors.ts';
import type { Clock } from '../clock.ts';
import type { Store } from '../store.ts';
import { RedisArtefacts } from './artefacts.ts';
import { Connection } from './connection.ts';
import { createKeys } from './keys.ts';
import { RedisLog } from './log.ts';
import { News } from './news.ts';
import type { RedisParts } from './parts.ts';
import { Runner } from './runner.ts';
import { createSealer, type SealingKeys } from './sealer.ts';
import { RedisSessions } from './sessions.ts';
import type { RedisSettings } from './settings.ts';

export type { RedisSettings } from './settings.ts';
export type { SealingKeys } from './sealer.ts';

export interface RedisStoreOptions {
  readonly config: RedisSettings;
  readonly sealingKeys: SealingKeys;
  readonly clock: Clock;
  /** What an operator should know: a connection lost, a server that evicts, a sealed value that was tampered with. Never a secret. */
  readonly onError?: (error: AppError) => void;
}

/**
 * Begins to connect and returns at once. While Redis is away, each method throws AppError `store_unavailable` within 250 ms; a
 * server that is unfit (Redis Cluster, older than 7) refuses for good, and `ping` says why in `cause`.
 *
 * @throws RangeError for a URL, prefix or sealing key that cannot work
 */
export function createRedisStore({ config, sealingKeys, clock, onError }: RedisStoreOptions): Store {
  const report = onError ?? ((): void => {});
  const keys = createKeys(config.prefix);
  const sealer = createSealer(sealingKeys);
  const main = new Connection(config, 'main', report);
  const lease = new Connection(config, 'lease', () => {});
  const tail = new Connection(config, 'news', () => {});
  const news = new News(tail, `${keys.base}news`);
  const reportTampered = (what: string): void =>
    report(
      new AppError(
        'internal',
        `A sealed value in Redis (${what}) does not open. It was changed, moved, or sealed by a key that is gone.`,
        {
          reason: 'sealed_value_unreadable',
        },
      ),
    );
  const parts: RedisParts = { clock, keys, sealer, runner: new Runner(keys.base, clock), main, reportTampered };

  return {
    artefacts: new RedisArtefacts(parts),
    sessions: new RedisSessions(parts),
    log: new RedisLog({ ...parts, lease, news }),
    async ping() {
      // Both: a store whose leases cannot be renewed is no store.
      await Promise.all([main, lease].map((connection) => connection.run((redis) => redis.ping())));
    },
    async close() {
      for (const connection of [main, lease, tail]) connection.close();
      news.wake();
    },
  };
}

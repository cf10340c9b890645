/** The connections of one replica to Redis. */
import { Connection, type Report } from './connection.ts';
import { confirmed, type RedisSettings } from './settings.ts';

/**
 * The connections of one replica. WAIT blocks whatever is behind it on its connection, so commands that use it
 * have a connection of their own.
 */
export interface Connections {
  /** For requests. */
  readonly main: Connection;
  /** For joins and renewals: nothing else may delay them. */
  readonly lease: Connection;
  /** For revocations, and whatever else followers must confirm. */
  readonly writes: Connection;
  /** Receives notifications about entries. */
  readonly news: Connection;
  /** Asks the Sentinels again which server is the primary. Does nothing without Sentinels. */
  reconsider(): void;
  close(): void;
}

/** @throws RangeError for settings that cannot work */
export function connect(settings: RedisSettings, report: Report): Connections {
  const nodes = settings.nodes ?? 1;
  // A primary that was cut off and replaced would go on granting leases to replicas that still reach it, so
  // followers must confirm.
  if (settings.sentinel !== undefined && nodes === 1) throw new RangeError('Sentinel needs store.redis.nodes: 3');
  const limits = confirmed(nodes);
  const quietly: Report = () => {};
  const main = new Connection(settings, 'main', report);
  const lease = new Connection(settings, 'lease', quietly, limits);
  const writes = new Connection(settings, 'writes', quietly, limits);
  const news = new Connection(settings, 'news', quietly);
  // Nothing is ever sent on `news`, so it would listen forever to a server that has vanished. It follows the lease
  // connection, which notices that.
  let again = false;
  lease.onUp(() => {
    if (again) news.reconnect();
    again = true;
  });
  const all = [main, lease, writes, news];
  return {
    main,
    lease,
    writes,
    news,
    reconsider() {
      if (settings.sentinel !== undefined) for (const connection of all) connection.reconnect();
    },
    close() {
      for (const connection of all) connection.close();
    },
  };
}

import { Connection, type Report } from './connection.ts';
import { confirmed, type RedisSettings } from './settings.ts';

/** The connections of one replica. WAIT holds up whatever stands behind it on its connection, so who waits stands alone. */
export interface Connections {
  /** Requests. */
  readonly main: Connection;
  /** Joins and renewals: nothing else may stand before them. */
  readonly lease: Connection;
  /** Revocations, and what else followers must confirm. */
  readonly writes: Connection;
  /** Listens for entries. */
  readonly news: Connection;
  /** Asks the Sentinels again who the primary is; without Sentinels there is nobody to ask, and nothing happens. */
  reconsider(): void;
  close(): void;
}

/** @throws RangeError for settings that cannot work */
export function connect(settings: RedisSettings, report: Report): Connections {
  const nodes = settings.nodes ?? 1;
  // Threat: a master that was cut off and replaced would go on granting leases to who still talks to it.
  if (settings.sentinel !== undefined && nodes === 1) throw new RangeError('Sentinel needs store.redis.nodes: 3');
  const limits = confirmed(nodes);
  const quietly: Report = () => {};
  const main = new Connection(settings, 'main', report);
  const lease = new Connection(settings, 'lease', quietly, limits);
  const writes = new Connection(settings, 'writes', quietly, limits);
  const news = new Connection(settings, 'news', quietly);
  // Nothing is ever sent to `news`, so it would listen for ever to a server that vanished: it follows the lease, which notices.
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

/**
 * What carries requests to the API servers: two transports for each cluster. Long-running requests have their own
 * connections, so that thousands of watches do not keep a short request from a free connection.
 */
import type { ProxyTiming, UpstreamCluster } from '../dependencies.ts';
import { parseServer } from './connect.ts';
import type { UpstreamAddress } from './connect.ts';
import { Http1Pool } from './http1-pool.ts';
import { Http2Transport } from './http2-transport.ts';
import type { UpstreamTransport } from './transport.ts';

/** More at once would only queue in the API server's own priority and fairness. */
const SHORT_CONNECTIONS = 256;
/** At least twice as many as one user may have in flight. How they are shared out: `fair-queue.ts`. */
const shortConnections = (perUser: number): number => Math.max(SHORT_CONNECTIONS, 2 * perUser);

export interface ClusterPools {
  /** `https://host:port`. */
  readonly origin: string;
  /** `Host` towards the API server. */
  readonly hostHeader: string;
  readonly address: UpstreamAddress;
  /** For requests that end by themselves. */
  readonly short: UpstreamTransport;
  /** For watches, logs, and whatever else lasts as long as its client likes. */
  readonly streams: UpstreamTransport;
  close(): void;
}

/** @param perUser requests that one user may have in flight; absent if the pool serves no users */
export function createPools(cluster: UpstreamCluster, timing: ProxyTiming, perUser = 0): ClusterPools {
  const { origin, host, port } = parseServer(cluster.server);
  const address: UpstreamAddress = {
    host,
    port,
    // Read for each connection, because the file may have been replaced.
    get ca() {
      return cluster.ca;
    },
    connectMs: timing.connectMs,
  };
  const hostHeader = new URL(origin).host;
  const short = new Http1Pool({ address, hostHeader, most: shortConnections(perUser), waitMs: timing.waitMs });
  const fallback = new Http1Pool({ address, hostHeader });
  const streams = new Http2Transport({ address, origin, pingMs: timing.pingMs, fallback });
  return {
    origin,
    hostHeader,
    address,
    short,
    streams,
    close: () => {
      short.close();
      streams.close();
    },
  };
}

/**
 * Keep-alive pools towards the API servers: two kinds for each cluster.
 *
 * HTTP/1.1 only. undici's HTTP/2 joins two `Impersonate-Group` lines into one value, which would make up a group
 * that has no members, so it is turned off explicitly, whatever its default. Long-running requests have their own
 * connections, so that thousands of watches do not keep a short request from a free connection.
 */
import type { Socket } from 'node:net';
import { Client, Pool } from 'undici';
import type { Dispatcher } from 'undici';
import type { ProxyTiming, UpstreamCluster } from '../dependencies.ts';
import { StreamConnections } from './stream-connections.ts';
import { connectUpstream, parseServer } from './connect.ts';
import type { UpstreamAddress } from './connect.ts';

/** More at once would only queue in the API server's own priority and fairness. */
const SHORT_CONNECTIONS = 256;
/**
 * An attacker could hold all of them, by uploads that never come or responses that are never read, and every other
 * request would wait without end. So there are twice as many as one user may have in flight.
 */
const shortConnections = (perUser: number): number => Math.max(SHORT_CONNECTIONS, 2 * perUser);
/** API servers close idle connections after minutes. Ours is shorter, so that they hardly ever close first. */
const KEEP_ALIVE_MS = 30_000;

/** undici's options, with a callback for the TCP socket that the request goes out on. */
export interface LinkedDispatch extends Dispatcher.DispatchOptions {
  /**
   * Called when a connection has been chosen. `socket` returns its TCP socket once the request has been started on
   * it.
   */
  readonly onConnection: (socket: () => Socket | undefined) => void;
}

/**
 * One connection at a time, one request at a time on it. So from `onRequestStart` until its end, the client's TCP
 * socket is the one that carries the request. This is the reliable way to reach it, because undici itself exposes
 * the TLS socket at most.
 */
class LinkedClient extends Client {
  readonly #link: { raw: Socket | undefined };

  constructor(origin: URL, options: Client.Options, link: { raw: Socket | undefined }) {
    super(origin, options);
    this.#link = link;
  }

  override dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    (options as Partial<LinkedDispatch>).onConnection?.(() => this.#link.raw);
    return super.dispatch(options, handler);
  }
}

export interface ClusterPools {
  /** `https://host:port`. */
  readonly origin: string;
  /** `Host` towards the API server. */
  readonly hostHeader: string;
  readonly address: UpstreamAddress;
  dispatch(options: LinkedDispatch, handler: Dispatcher.DispatchHandler, longRunning: boolean): void;
  close(): Promise<void>;
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
  const factory = (base: URL, options: object): Client => {
    const link: { raw: Socket | undefined } = { raw: undefined };
    const connect: Client.Options['connect'] = (_options, callback) => {
      connectUpstream(address, (error, opened) => {
        link.raw = opened?.raw;
        if (error === null && opened !== undefined) callback(null, opened.tls);
        else callback(error ?? new Error('no connection'), null);
      });
    };
    return new LinkedClient(base, { ...options, connect, allowH2: false, pipelining: 1 }, link);
  };
  const keptAlive = { keepAliveTimeout: KEEP_ALIVE_MS };
  const http1 = { allowH2: false, pipelining: 1 };
  const short = new Pool(origin, { connections: shortConnections(perUser), factory, ...http1, ...keptAlive });
  const streams = new StreamConnections(() => factory(new URL(origin), keptAlive));
  return {
    origin,
    hostHeader: new URL(origin).host,
    address,
    dispatch: (options, handler, longRunning) => void (longRunning ? streams : short).dispatch(options, handler),
    close: async () => {
      await Promise.all([short.destroy(), streams.destroy()]);
    },
  };
}

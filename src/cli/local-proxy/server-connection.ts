/**
 * Connections to the cluster's address at the server: TLS with the session's certificate, directly or through a
 * company's proxy.
 */
import { Agent, request, type AgentOptions, type RequestOptions } from 'node:https';
import type { ClientRequest } from 'node:http';
import type { Duplex } from 'node:stream';
import type { ConnectionOptions } from 'node:tls';
import { trustedCas } from '../http/certificate-authorities.ts';
import { readNetwork, type NetworkEnvironment } from '../environment.ts';
import { proxyFor } from '../http/proxy.ts';
import type { Binding, ReachableCluster } from '../session/session.ts';
import { insideTunnel, openTunnel } from '../http/tunnel.ts';

/** Milliseconds for the proxy to open a tunnel, and for the server to accept a connection and prove its identity. */
const [TUNNEL_MS, CONNECT_MS] = [15_000, 30_000];

/** All connections that present one certificate. */
export interface ServerPool {
  readonly url: URL;
  readonly proxy: URL | undefined;
  readonly network: NetworkEnvironment;
  /** The CA of the server is of this cluster alone, and not of the system. */
  readonly pinned: boolean;
  /**
   * Begins a request; nothing is sent before its end or its first write.
   * @param fresh on a separate connection, for an upgrade: it is not reused
   * @throws where the target cannot be written into a request
   */
  request(parts: {
    readonly method: string;
    readonly target: string;
    readonly headers: readonly string[];
    readonly fresh: boolean;
  }): ClientRequest;
  /** Called when a newer certificate has replaced this one: open connections stay until they end. */
  retire(): void;
  /** Cuts everything. */
  destroy(): void;
}

/** @throws AppError `bad_request` when the proxy of the environment cannot be used */
export function createServerPool(
  cluster: ReachableCluster,
  binding: Binding,
  network: NetworkEnvironment = readNetwork(),
): ServerPool {
  const url = new URL(cluster.server);
  const proxy = proxyFor(url, network);
  const tls: ConnectionOptions = {
    ca: cluster.caData ?? trustedCas(network),
    cert: binding.certificate,
    key: binding.privateKey,
    // Node lets NODE_TLS_REJECT_UNAUTHORIZED switch the check off, which a user may have set for another program.
    rejectUnauthorized: true,
    minVersion: 'TLSv1.2',
  };
  const connect = proxy === undefined ? undefined : throughProxy({ proxy, url, tls, network });
  const kept = new ServerAgent({ ...tls, keepAlive: true }, connect);
  const single = new ServerAgent({ ...tls, keepAlive: false }, connect);
  const prefix = url.pathname.replace(/\/+$/, '');
  return {
    url,
    proxy,
    network,
    pinned: cluster.caData !== undefined,
    request: ({ method, target, headers, fresh }) => {
      const options: RequestOptions = {
        method,
        path: `${prefix}${target}`,
        headers,
        agent: fresh ? single : kept,
        host: url.hostname.replace(/^\[|\]$/g, ''),
        port: url.port === '' ? 443 : Number(url.port),
      };
      const sent = request(options);
      limitConnecting(sent);
      return sent;
    },
    retire: () => {
      kept.maxFreeSockets = 0;
      for (const sockets of Object.values(kept.freeSockets)) for (const socket of sockets ?? []) socket.destroy();
    },
    destroy: () => {
      for (const agent of [kept, single]) agent.destroy();
    },
  };
}

/** A response, which may be a watch, has no time limit; a connection has one. */
function limitConnecting(sent: ClientRequest): void {
  sent.once('socket', (socket) => {
    if (sent.reusedSocket) return;
    const late = Object.assign(new Error('no connection in time'), { code: 'ETIMEDOUT' });
    const timer = setTimeout(() => sent.destroy(late), CONNECT_MS);
    for (const event of ['secureConnect', 'close']) socket.once(event, () => clearTimeout(timer));
  });
}

type Connected = (error: Error | null, socket?: Duplex) => void;

/** An agent that may open its connections through a proxy. */
class ServerAgent extends Agent {
  readonly #connect: ((done: Connected) => void) | undefined;

  constructor(options: AgentOptions, connect: ((done: Connected) => void) | undefined) {
    super(options);
    this.#connect = connect;
  }

  override createConnection(
    options: RequestOptions,
    done?: (error: Error | null, stream: Duplex) => void,
  ): Duplex | null | undefined {
    if (this.#connect === undefined) return super.createConnection(options, done);
    this.#connect(done as Connected);
    return undefined;
  }
}

function throughProxy(route: {
  readonly proxy: URL;
  readonly url: URL;
  readonly tls: ConnectionOptions;
  readonly network: NetworkEnvironment;
}): (done: Connected) => void {
  const { proxy, url, tls, network } = route;
  return (done) => {
    const limit = new AbortController();
    const timer = setTimeout(() => limit.abort(), TUNNEL_MS);
    void (async () => {
      try {
        const socket = await openTunnel(proxy, url, { signal: limit.signal, trustedCas: () => trustedCas(network) });
        done(null, insideTunnel(socket, url, tls));
      } catch (error) {
        done(error instanceof Error ? error : new Error('no way through the proxy'));
      } finally {
        clearTimeout(timer);
      }
    })();
  };
}

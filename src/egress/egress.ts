/**
 * Egress: connections to the hosts outside that the server asks or reports to, directly or through a proxy.
 *
 * Owns the rules of `NO_PROXY`, the tunnel through a proxy, the dispatchers of identity providers, directories and
 * webhooks, and how a webhook is called, and when again. Must not know what is asked there, which hosts are allowed, or
 * where the settings come from. API servers, Redis and web consoles are not reached through it: a proxy in between would
 * see who uses which cluster, and a revocation could not reset what it holds open.
 */
import type { Socket } from 'node:net';
import { Agent, buildConnector } from 'undici';
import type { OutboundProxy } from '../contracts/outbound-proxy.ts';
import { ProxyError } from '../core/http/proxy-error.ts';
import { TLS_12 } from '../core/http/tls-options.ts';
import { noteEachRead } from '../timing/reader.ts';
import { timeoutSignal } from '../timing/timing.ts';
import { readInTurns } from '../timing/upstream-reading.ts';
import { isProxied } from './no-proxy.ts';
import { openTunnel } from './tunnel.ts';

/** A proxy with what its files hold now. */
export interface EgressProxy extends Pick<OutboundProxy, 'url' | 'setting' | 'noProxy'> {
  /** `NAME:PASSWORD`; called for each tunnel. */
  readonly credentials: () => string | undefined;
  /** PEM; called for each tunnel to a proxy that is reached by https. */
  readonly ca: () => string | undefined;
}

/** @param read how files are read: each use calls the function that it returns */
export function egressProxy(
  { url, setting, noProxy, credentials, credentialsFile, caFile }: OutboundProxy,
  read: { readonly secret: (file: string) => () => string; readonly caBundle: (file: string) => () => string },
): EgressProxy {
  return {
    url,
    setting,
    noProxy,
    credentials: credentialsFile === undefined ? () => credentials?.() : read.secret(credentialsFile),
    ca: caFile === undefined ? () => undefined : read.caBundle(caFile),
  };
}

/** What to connect with; the connector's time limit is that of a tunnel too. */
export type EgressOptions = Omit<Agent.Options, 'connect'> & {
  readonly connect: buildConnector.BuildOptions & { readonly timeout: number };
};

export interface Egress {
  readonly dispatcher: Agent;
  /**
   * Returns the proxy's error for a request that ran into its time limit while a tunnel to its host was being opened;
   * undefined for any other.
   */
  timedOut(error: unknown, url: URL): ProxyError | undefined;
}

/** @param proxy absent: every host is reached directly */
export function createEgress({ connect: given, ...options }: EgressOptions, proxy: EgressProxy | undefined): Egress {
  // Frames and header tables of HTTP/2 would be further things to count, and nothing here needs them.
  const connect = { ...TLS_12, ...given, allowH2: false };
  const toHost = buildConnector(connect);
  const directly: buildConnector.connector = (to, callback) =>
    toHost(to, (...made) => {
      const [error, socket] = made;
      if (error === null) shareReading(socket, to.hostname);
      callback(...made);
    });
  const agentOf = (connector: buildConnector.connector): Agent =>
    new Agent({ ...options, allowH2: false, connect: connector });
  if (proxy === undefined) return { dispatcher: agentOf(directly), timedOut: () => undefined };
  /** Destinations whose tunnels are being opened. */
  const opening = new Set<URL>();
  const throughTunnel = async (
    to: buildConnector.Options,
    target: URL,
    callback: buildConnector.Callback,
  ): Promise<void> => {
    opening.add(target);
    const tunnel = await tunnelTo(target, proxy, connect.timeout).catch(errorOf);
    opening.delete(target);
    if (tunnel instanceof Error) return callback(tunnel, null);
    try {
      directly({ ...to, httpSocket: tunnel }, callback);
    } catch (error) {
      // Such as a certificate and a key that do not belong together. No caller is left that could catch it.
      tunnel.destroy();
      callback(errorOf(error), null);
    }
  };
  const connector: buildConnector.connector = (to, callback) => {
    const target = new URL(`${to.protocol}//${to.host ?? to.hostname}`);
    if (isProxied(target, proxy.noProxy)) void throughTunnel(to, target, callback);
    else directly(to, callback);
  };
  return {
    dispatcher: agentOf(connector),
    timedOut(error, { host }) {
      const target = [...opening].find((each) => each.host === host);
      const isTimeout = error instanceof Error && error.name === 'TimeoutError';
      return target !== undefined && isTimeout ? late(proxy, target, error) : undefined;
    },
  };
}

/** Chunks of one byte have six with their lengths and line breaks, and each takes undici four times as long as our parser. */
const BYTES_OF_A_CHUNK = 6 / 4;

/**
 * An attacker answers in the place of a provider, and begins sixty sign-ins: what it holds back for each it sends in one
 * instant, in chunks of one byte or as key updates of TLS. The lease lapses where all of that is read in one turn.
 */
function shareReading(socket: Socket, host: string): void {
  const shared = readInTurns(socket, { share: `egress ${host}`, reset: () => socket.destroy() });
  noteEachRead(socket, (bytes) => shared.took(bytes, bytes / BYTES_OF_A_CHUNK));
}

const errorOf = (thrown: unknown): Error => (thrown instanceof Error ? thrown : new Error(String(thrown)));

async function tunnelTo(target: URL, proxy: EgressProxy, timeoutMs: number): Promise<Socket> {
  const signal = timeoutSignal(timeoutMs);
  try {
    return await openTunnel(target, {
      proxy: new URL(proxy.url),
      credentials: proxy.credentials(),
      ca: proxy.ca,
      setting: proxy.setting,
      userAgent: 'portcullis',
      signal,
    });
  } catch (error) {
    throw signal.aborted ? late(proxy, target, error) : error;
  }
}

function late({ url, setting }: EgressProxy, target: URL, cause: unknown): ProxyError {
  const { host } = new URL(url);
  return new ProxyError(
    { code: 'PROXY_TIMEOUT', proxy: host, target: `${target.hostname}:${target.port || '443'}`, detail: '', setting },
    cause,
  );
}

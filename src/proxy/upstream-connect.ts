/**
 * A connection to an API server that can be reset: a TCP socket of our own with TLS over it, so that the socket which alone can send an
 * RST is at hand.
 */
import { connect as connectTcp, isIP } from 'node:net';
import type { Socket } from 'node:net';
import { connect as connectTls, createSecureContext } from 'node:tls';
import type { SecureContext, TLSSocket } from 'node:tls';
import { KEEP_ALIVE_MS } from './connection.ts';

export interface UpstreamAddress {
  readonly host: string;
  readonly port: number;
  /** PEM; undefined: the system's authorities. */
  readonly ca: string | undefined;
  readonly connectMs: number;
}

export interface UpstreamLink {
  readonly tls: TLSSocket;
  readonly raw: Socket;
}

export class UpstreamConnectError extends Error {
  readonly code = 'UPSTREAM_CONNECT';
  readonly kind: 'connect' | 'tls' | 'timeout';

  constructor(kind: 'connect' | 'tls' | 'timeout', cause?: unknown) {
    super(`the API server could not be reached (${kind})`, cause === undefined ? undefined : { cause });
    this.name = 'UpstreamConnectError';
    this.kind = kind;
  }
}

/** By address, so that it goes when the cluster goes; made anew when the authorities have changed. */
const contexts = new WeakMap<UpstreamAddress, { readonly ca: string | undefined; readonly context: SecureContext }>();

/** Reading the authorities costs milliseconds and tens of kilobytes: once for a cluster, not for each connection. */
function contextOf(address: UpstreamAddress): SecureContext {
  const { ca } = address;
  const known = contexts.get(address);
  if (known !== undefined && known.ca === ca) return known.context;
  const context = createSecureContext({ minVersion: 'TLSv1.2', ...(ca === undefined ? {} : { ca }) });
  contexts.set(address, { ca, context });
  return context;
}

/**
 * Connects and verifies the server's certificate against its name. `done` is called exactly once.
 * @returns a function that gives the attempt up
 */
export function connectUpstream(
  address: UpstreamAddress,
  done: (error: UpstreamConnectError | null, link?: UpstreamLink) => void,
): () => void {
  const { host, port, connectMs } = address;
  const raw = connectTcp({ host, port, noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS });
  let settled = false;
  const settle = (error: UpstreamConnectError | null, link?: UpstreamLink): void => {
    if (settled) return;
    settled = true;
    clearTimeout(timer);
    if (error !== null) raw.destroy();
    done(error, link);
  };
  const timer = setTimeout(() => settle(new UpstreamConnectError('timeout')), connectMs);
  raw.on('error', (cause) => settle(new UpstreamConnectError('connect', cause)));
  raw.once('connect', () => {
    const tls = connectTls({
      socket: raw,
      host,
      // An address is no server name (RFC 6066 §3); the certificate is then judged against `host`.
      servername: isIP(host) === 0 ? host : '',
      ALPNProtocols: ['http/1.1'],
      secureContext: contextOf(address),
      // Written out: an environment variable of Node's would turn the default off for the whole process.
      rejectUnauthorized: true,
    });
    tls.on('error', (cause) => {
      if (!settled) settle(new UpstreamConnectError('tls', cause));
    });
    tls.once('close', () => {
      // Every connection closes some day. An error for that would cost its stack each time, a thousand times over in a cut.
      if (!settled) settle(new UpstreamConnectError('tls'));
    });
    tls.once('secureConnect', () => settle(null, { tls, raw }));
  });
  return () => settle(new UpstreamConnectError('connect'));
}

/** Host and port of a `https:` URL without a path. Throws on anything else: a wrong address must fail at the start. */
export function parseServer(server: string): { readonly origin: string; readonly host: string; readonly port: number } {
  const url = new URL(server);
  if (url.protocol !== 'https:' || url.pathname !== '/' || url.search !== '' || url.username !== '') {
    throw new Error('the address of an API server is https://host[:port], without a path');
  }
  const host = url.hostname.startsWith('[') ? url.hostname.slice(1, -1) : url.hostname;
  return { origin: url.origin, host, port: url.port === '' ? 443 : Number(url.port) };
}

/**
 * A connection to an API server that can be reset: a TCP socket of our own with TLS over it, because only the TCP
 * socket can send an RST.
 */
import { connect as connectTcp, isIP } from 'node:net';
import type { Socket } from 'node:net';
import { connect as connectTls, createSecureContext } from 'node:tls';
import type { SecureContext, TLSSocket } from 'node:tls';
import { createTurns, timeLimit } from '../../timing/timing.ts';
import { KEEP_ALIVE_MS } from '../listener/connection.ts';

export interface UpstreamAddress {
  readonly host: string;
  readonly port: number;
  /** PEM; undefined: the CAs of the system. */
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

/** By address, so that a context goes when its cluster goes; created again when the CAs have changed. */
const contexts = new WeakMap<UpstreamAddress, { readonly ca: string | undefined; readonly context: SecureContext }>();

/** Reading the CAs costs milliseconds and tens of kilobytes: once for a cluster, not for each connection. */
function contextOf(address: UpstreamAddress): SecureContext {
  const { ca } = address;
  const known = contexts.get(address);
  if (known !== undefined && known.ca === ca) return known.context;
  const context = createSecureContext({ minVersion: 'TLSv1.2', ...(ca === undefined ? {} : { ca }) });
  contexts.set(address, { ca, context });
  return context;
}

/**
 * A handshake takes a millisecond or two of this process at each of its ends.
 *
 * An attacker opens thousands of watches in one instant. If all their handshakes started in one turn, no renewal
 * would be sent for longer than a lease, and the fence would cut every other user's streams as well. So only some
 * start in a turn, and then timers and sockets have theirs.
 */
const HANDSHAKES_PER_TURN = 16;
const handshakes = createTurns(HANDSHAKES_PER_TURN);

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
  let stopTimer: (() => void) | undefined;
  let giveUpTurn: (() => void) | undefined;
  let settled = false;
  const settle: Settle = (error, link) => {
    if (settled) return;
    settled = true;
    stopTimer?.();
    giveUpTurn?.();
    if (error !== null) raw.destroy();
    done(error, link);
  };
  const startTimer = (): void => {
    stopTimer = timeLimit(connectMs, () => settle(new UpstreamConnectError('timeout')));
  };
  startTimer();
  raw.on('error', (cause) => settle(new UpstreamConnectError('connect', cause)));
  raw.once('connect', () => {
    // The wait for a turn is this process' own, and does not count against the API server.
    stopTimer?.();
    giveUpTurn = handshakes.do(() => {
      startTimer();
      handshake(address, raw, settle);
    });
  });
  return () => settle(new UpstreamConnectError('connect'));
}

type Settle = (error: UpstreamConnectError | null, link?: UpstreamLink) => void;

/** @param settle may be called again: only the first call counts */
function handshake(address: UpstreamAddress, raw: Socket, settle: Settle): void {
  const { host } = address;
  const tls = connectTls({
    socket: raw,
    host,
    // An address is no server name (RFC 6066 §3). The certificate is then verified against `host`.
    servername: isIP(host) === 0 ? host : '',
    ALPNProtocols: ['http/1.1'],
    secureContext: contextOf(address),
    // Explicit, because an environment variable of Node's would turn the default off for the whole process.
    rejectUnauthorized: true,
  });
  let done = false;
  const end = (error: UpstreamConnectError | null): void => {
    done = true;
    settle(error, error === null ? { tls, raw } : undefined);
  };
  tls.on('error', (cause) => {
    if (!done) end(new UpstreamConnectError('tls', cause));
  });
  tls.once('close', () => {
    // Every connection closes some day. An error for that would cost its stack each time, a thousand times over in
    // a cut.
    if (!done) end(new UpstreamConnectError('tls'));
  });
  tls.once('secureConnect', () => end(null));
}

/**
 * Returns the host and port of a `https:` URL without a path. Throws on anything else: a wrong address must fail at
 * the start.
 */
export function parseServer(server: string): { readonly origin: string; readonly host: string; readonly port: number } {
  const url = new URL(server);
  if (url.protocol !== 'https:' || url.pathname !== '/' || url.search !== '' || url.username !== '') {
    throw new Error('the address of an API server is https://host[:port], without a path');
  }
  const host = url.hostname.startsWith('[') ? url.hostname.slice(1, -1) : url.hostname;
  return { origin: url.origin, host, port: url.port === '' ? 443 : Number(url.port) };
}

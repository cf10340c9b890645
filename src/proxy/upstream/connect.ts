/** A connection to an API server. */
import { isIP } from 'node:net';
import { connect as connectTls, createSecureContext } from 'node:tls';
import type { ConnectionOptions, SecureContext, TLSSocket } from 'node:tls';
import { resetConnection } from '../../core/http/connection-reset.ts';
import { TLS_12 } from '../../core/http/tls-options.ts';
import { createTurns, timeLimit } from '../../timing/timing.ts';
import { KEEP_ALIVE_MS } from '../listener/connection.ts';
import { flightOf, SecondFlights, type Flight } from '../listener/second-flights.ts';

export interface UpstreamAddress {
  readonly host: string;
  readonly port: number;
  /** PEM; undefined: the CAs of the system. */
  readonly ca: string | undefined;
  readonly connectMs: number;
}

export interface UpstreamLink {
  readonly tls: TLSSocket;
  /** RST: what waits to be sent is dropped, and the API server does not take what it has for the whole. */
  reset(): void;
}

/** Memory that is read into, in place of `data` events: nothing is allocated for what is read. */
export interface UpstreamReader {
  readonly buffer: Buffer;
  /** @param length bytes at the start of `buffer`, valid during the call. @returns false: read no more for now */
  onBytes(length: number): boolean;
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
  const context = createSecureContext({ ...TLS_12, ...(ca === undefined ? {} : { ca }) });
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
 * An attacker answers in the place of one cluster's API server, with certificates whose keys are dear to check: 0.27 s for
 * each of twenty requests, in one turn. So it is read as what a client sends is, and is no longer than this.
 */
const MOST_HANDSHAKE_BYTES = 32_768;
const USUAL_HANDSHAKE_BYTES = 8_192;
const flights = new SecondFlights();

/**
 * Connects and verifies the server's certificate against its name. `done` is called exactly once, and not before this
 * has returned.
 * @param alpn the protocols that are offered (RFC 7301)
 * @returns a function that gives the attempt up
 */
export function connectUpstream(
  address: UpstreamAddress,
  done: (error: UpstreamConnectError | null, link?: UpstreamLink) => void,
  { reader, alpn = ['http/1.1'] }: { readonly reader?: UpstreamReader; readonly alpn?: readonly string[] } = {},
): () => void {
  let tls: TLSSocket | undefined;
  let flight: Flight | undefined;
  let stopTimer: (() => void) | undefined;
  let isSettled = false;
  const settle = (error: UpstreamConnectError | null): void => {
    if (isSettled) return;
    isSettled = true;
    stopTimer?.();
    giveUpTurn();
    if (flight !== undefined) flights.remove(flight);
    if (error === null && tls !== undefined) {
      const socket = tls;
      done(null, { tls: socket, reset: () => resetConnection(socket) });
    } else {
      tls?.destroy();
      done(error);
    }
  };
  const startTimer = (): void => {
    stopTimer?.();
    stopTimer = timeLimit(address.connectMs, () => settle(new UpstreamConnectError('timeout')));
  };
  const start = (): void => {
    let kind: 'connect' | 'tls' = 'connect';
    const socket = connectTls(tlsOptions(address, alpn, reader));
    tls = socket;
    tls.setNoDelay(true);
    tls.setKeepAlive(true, KEEP_ALIVE_MS);
    startTimer();
    tls.once('connect', () => {
      kind = 'tls';
      startTimer();
      flight = flightOf(socket, {
        tls: socket,
        site: `${address.host}:${address.port}`,
        most: MOST_HANDSHAKE_BYTES,
        usual: USUAL_HANDSHAKE_BYTES,
        onTooLarge: () => settle(new UpstreamConnectError('tls', new Error('its certificates are too long'))),
      });
      flights.add(flight);
    });
    tls.on('error', (cause) => settle(new UpstreamConnectError(kind, cause)));
    // Every connection closes some day. An error for that would cost its stack each time, a thousand times over in a
    // cut.
    tls.once('close', () => isSettled || settle(new UpstreamConnectError(kind)));
    tls.once('secureConnect', () => settle(null));
  };
  const giveUpTurn = handshakes.do(start);
  return () => settle(new UpstreamConnectError('connect'));
}

function tlsOptions(
  address: UpstreamAddress,
  alpn: readonly string[],
  reader: UpstreamReader | undefined,
): ConnectionOptions {
  const { host, port } = address;
  const options: ConnectionOptions = {
    host,
    port,
    // An address is no server name (RFC 6066 §3). The certificate is then verified against `host`.
    servername: isIP(host) === 0 ? host : '',
    ALPNProtocols: [...alpn],
    secureContext: contextOf(address),
    // Explicit, because an environment variable of Node's would turn the default off for the whole process.
    rejectUnauthorized: true,
  };
  if (reader === undefined) return options;
  const onread = { buffer: reader.buffer, callback: (length: number) => reader.onBytes(length) };
  // An option of net.Socket, which a TLS socket that connects itself passes on.
  return Object.assign(options, { onread });
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

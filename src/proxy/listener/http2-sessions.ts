/**
 * HTTP/2 connections: their limits, their PINGs, and their end.
 *
 * In principle a session carries the streams of many users, and in practice those of one, so nothing here ever cuts
 * a stream: the exchange does, by resetting its own. A whole connection ends because the peer is gone, because of a
 * flood, by a cut that its bytes would outlive, by its age and when idle; the last two by GOAWAY, after which streams in
 * progress go on.
 */
import { performServerHandshake } from 'node:http2';
import type { ServerHttp2Session, ServerHttp2Stream, SecureServerOptions } from 'node:http2';
import { randomInt } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import { holdsBytes } from '../../core/http/connection-reset.ts';
import { http2ReadsOf, type Http2Reads } from '../../timing/http2-reads.ts';
import { keepPinging } from '../http2-pings.ts';
import type { ClientConnection } from './connection.ts';
import type { OnDropped } from './drops.ts';
import { HeadSizes } from './framing.ts';
import type { SharedConnection } from './http2-client.ts';

/** Of a connection on which a credential was accepted. */
const STREAMS = 250;
/**
 * Of one on which none was accepted yet. An attacker sends hundreds of requests right behind each handshake, and a new
 * user's first one waits until they are read and rejected: 8 to 12 s at 120 connections a second from 200 addresses.
 * nghttp2 itself resets what is beyond (REFUSED_STREAM, RFC 9113 §5.1.2), for a microsecond each; client-go sends it
 * again.
 */
const UNKNOWN_STREAMS = 32;

/** How long a client may take to close after a GOAWAY. */
const LEAVE_MS = 2_000;
/** Between two looks at whether the system has taken what was written to a connection. */
const LOOK_MS = 50;
/** Until Node's HTTP/2 knows what has been taken. */
const WRITTEN_MS = 1;

export interface Http2Limits {
  readonly headerBytes: number;
  /** Until the first request. */
  readonly firstRequestMs: number;
  /** Without any request. */
  readonly idleMs: number;
  /** Between two PINGs. */
  readonly pingMs: number;
  /** A connection gets its GOAWAY at random between this age and twice it. */
  readonly ageMs: number;
}

export interface Http2Request {
  readonly stream: ServerHttp2Stream;
  /** The head, flat, with its pseudo-headers. */
  readonly raw: readonly string[];
  /** The head is beyond the limits, and the request must be rejected. */
  readonly isTooLarge: boolean;
  readonly connection: ClientConnection;
  readonly socket: TLSSocket;
  readonly shared: SharedConnection;
}

export type OnStream = (request: Http2Request) => void;

export interface Http2Ends {
  /** Called when a connection is reset because of its oversized heads. */
  readonly onHeadFlood: (connection: ClientConnection) => void;
  /** Called when one ends because no request came in time, or because of what came. */
  readonly onDropped: OnDropped;
}

export class Http2Sessions {
  readonly #limits: Http2Limits;
  readonly #onStream: OnStream;
  readonly #sessions = new Set<Http2Connection>();
  readonly #ends: Http2Ends;
  #retired = false;

  constructor(limits: Http2Limits, onStream: OnStream, ends: Http2Ends) {
    this.#limits = limits;
    this.#onStream = onStream;
    this.#ends = ends;
  }

  serve(socket: TLSSocket, connection: ClientConnection): void {
    const reads = http2ReadsOf(socket, (_bytes, deliver) => connection.readHttp2(deliver), 'dropped');
    const session = performServerHandshake(reads.stream, sessionOptions(this.#limits));
    reads.writesFor(session);
    const served = new Http2Connection({
      session,
      socket,
      reads,
      connection,
      limits: this.#limits,
      onDropped: this.#ends.onDropped,
    });
    this.#sessions.add(served);
    connection.closesBy(() => served.retire());
    connection.whenAccepted(() => {
      if (!session.destroyed) session.settings({ maxConcurrentStreams: STREAMS });
    });
    session.on('close', () => this.#sessions.delete(served));
    const sizes = new HeadSizes(this.#limits.headerBytes);
    session.on('stream', (stream, _headers, _flags, raw) => {
      served.streamOpened(stream);
      // Heads that were read together with the one that ended it.
      if (connection.ended) return;
      const size = sizes.judge(raw);
      if (size === 'flood') {
        this.#ends.onHeadFlood(connection);
        return served.reset();
      }
      this.#onStream({ stream, raw, isTooLarge: size === 'too_large', connection, socket, shared: served });
    });
    if (this.#retired) served.retire();
  }

  /** Sends GOAWAY on each session, and on each that is still to come. */
  retireAll(): void {
    this.#retired = true;
    for (const session of this.#sessions) session.retire();
  }

  /**
   * Ends each session after its streams have been reset. The resets still go out, because a client that lost its
   * connection after a GOAWAY may take that for an orderly end.
   */
  endAll(): void {
    for (const session of this.#sessions) session.end();
  }

  resetAll(): void {
    for (const session of this.#sessions) session.reset();
  }
}

/**
 * Each bound stops one flood. nghttp2 itself bounds streams that a client opens and resets (CVE-2023-44487),
 * control frames that ask for responses, CONTINUATION without end, and dependency trees. These are the bounds that
 * are tighter than its defaults or need to be explicit.
 */
function sessionOptions({ headerBytes }: Http2Limits): SecureServerOptions {
  return {
    settings: {
      maxConcurrentStreams: UNKNOWN_STREAMS,
      maxHeaderListSize: headerBytes,
      enablePush: false,
      // Extended CONNECT (RFC 8441) is not offered: upgrades stay on HTTP/1.1.
      enableConnectProtocol: false,
    },
    // A client-go that ends resets all its watches at once. No honest client resets hundreds and goes on.
    streamResetBurst: 500,
    streamResetRate: 33,
    maxSessionInvalidFrames: 100,
    maxSessionRejectedStreams: 100,
    // Several hundred `Impersonate-Group` lines pass. A request with more is rejected as a whole, never cut short.
    maxHeaderListPairs: 1024,
    // Otherwise nghttp2 silently drops a header with a space at an edge of its value: `kubectl --as=' limited'`
    // would run with the user's full rights.
    strictFieldWhitespaceValidation: false,
    // A response that has a header twice is relayed unchanged, as over HTTP/1.1; Node would otherwise throw in the
    // middle of it.
    strictSingleValueFields: false,
    // Megabytes. Enough for 250 slow readers with one piece each. Above it new streams are rejected and the open
    // ones go on.
    maxSessionMemory: 32,
  };
}

interface Http2ConnectionOptions {
  readonly session: ServerHttp2Session;
  readonly socket: TLSSocket;
  readonly reads: Http2Reads;
  readonly connection: ClientConnection;
  readonly limits: Http2Limits;
  readonly onDropped: OnDropped;
}

class Http2Connection implements SharedConnection {
  readonly #options: Http2ConnectionOptions;
  readonly #stopPings: () => void;
  readonly #age: NodeJS.Timeout;
  #idle: NodeJS.Timeout | undefined;
  /** No more than there were streams: Node reads nothing from a connection that has bytes to send. */
  #sending: (() => void)[] = [];
  #look: NodeJS.Timeout | undefined;
  #open = 0;

  constructor(options: Http2ConnectionOptions) {
    this.#options = options;
    const { session, socket, connection, limits, onDropped } = options;
    // Node's servers for HTTP/1.1 leave half-open a connection that the client has closed, and over HTTP/2 nothing
    // more can come of it.
    socket.once('end', () => socket.destroySoon());
    // Whatever the error, the session is over and its streams are closed with it.
    session.on('error', ({ code }: NodeJS.ErrnoException) => {
      if (code === 'ERR_HTTP2_ERROR') onDropped('http2_error', connection.address);
    });
    session.on('close', () => this.#stop());
    // None is unref'd. Node keeps a list of timers for each length of time, and drops an empty list immediately
    // only if its timers were not: each connection's own age would leave a list behind for minutes.
    this.#stopPings = keepPinging(session, {
      socket,
      everyMs: limits.pingMs,
      onGone: () => this.reset(),
      isIdle: () => this.#open === 0,
    });
    this.#age = setTimeout(() => this.retire(), randomInt(limits.ageMs, 2 * limits.ageMs));
    this.#idle = setTimeout(() => {
      onDropped('first_request_late', connection.address);
      this.reset();
    }, limits.firstRequestMs);
  }

  streamOpened(stream: ServerHttp2Stream): void {
    this.#open += 1;
    clearTimeout(this.#idle);
    // A stream that is reset, by us or by the client, reports that as an error; `close` follows.
    stream.on('error', () => undefined);
    stream.once('close', () => {
      this.#open -= 1;
      if (this.#open === 0) this.#becameIdle();
    });
  }

  /**
   * Sends GOAWAY (RFC 9113 §6.8): it names the last request that is served. A request that crossed it on its way is
   * above that, so its client knows that nothing was done with it and sends it again elsewhere. Not in two steps,
   * as the RFC suggests: after any GOAWAY of Node's, nghttp2 ignores new streams, and a first one that excludes
   * nothing would leave such a request without a response forever.
   */
  retire(): void {
    const { session } = this.#options;
    if (session.destroyed || session.closed) return;
    session.close();
    if (this.#open === 0) this.#becameIdle();
  }

  end(): void {
    const { session } = this.#options;
    session.close();
    session.destroy();
  }

  reset(): void {
    const { connection, session } = this.#options;
    connection.reset();
    // With its streams, and not left to Node, for the same reason as those of HTTP/1.1.
    process.nextTick(() => session.destroy());
  }

  resetIfHolding(): void {
    if (holdsBytes(this.#options.socket)) this.reset();
  }

  whenSent(listener: () => void): void {
    // Not now: a stream may close in the step that writes its last bytes.
    if (this.#sending.push(listener) === 1) setImmediate(() => this.#lookAtSocket());
  }

  #lookAtSocket(): void {
    const { reads, socket } = this.#options;
    if (holdsBytes(socket)) this.#look = setTimeout(() => this.#lookAtSocket(), LOOK_MS);
    else if (reads.isWriting) this.#look = setTimeout(() => this.#lookAtSocket(), WRITTEN_MS);
    else this.#allSent();
  }

  #allSent(): void {
    clearTimeout(this.#look);
    for (const listener of this.#sending.splice(0)) listener();
  }

  #becameIdle(): void {
    const { session, limits } = this.#options;
    if (session.destroyed) return;
    clearTimeout(this.#idle);
    // After a GOAWAY and the last response the client should close; one that does not is not waited for.
    this.#idle = session.closed
      ? setTimeout(() => this.reset(), LEAVE_MS)
      : setTimeout(() => this.retire(), limits.idleMs);
  }

  #stop(): void {
    this.#allSent();
    this.#stopPings();
    clearTimeout(this.#age);
    clearTimeout(this.#idle);
  }
}

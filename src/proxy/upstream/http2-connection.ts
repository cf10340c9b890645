/** One connection to an API server over HTTP/2: how many streams it carries, what it takes now, and its end. */
import { connect, constants } from 'node:http2';
import type { ClientHttp2Session, ClientHttp2Stream } from 'node:http2';
import type { TLSSocket } from 'node:tls';
import { holdsBytes } from '../../core/http/connection-reset.ts';
import { keepPinging } from '../http2-pings.ts';
import { http2ReadsOf } from '../../timing/http2-reads.ts';
import { limitKeyUpdates } from '../../timing/key-updates.ts';
import { readerOf } from '../../timing/reader.ts';
import type { UpstreamLink } from './connect.ts';
import { UpstreamError } from './upstream-error.ts';
import { upstreamReading } from '../../timing/upstream-reading.ts';
import type { SharedReader } from '../../timing/upstream-reading.ts';

/** API servers allow as many by default (`--http2-max-streams-per-connection`), or more. */
export const MAX_STREAMS = 100;
/** A connection without a stream is closed after this time. */
const IDLE_MS = 30_000;
/**
 * Streams of one connection that we reset. An attacker opens and leaves watches without end, and a server that counts
 * resets (nghttp2: 33 a second and 1,000 beyond; Envoy: half of 500) ends the connection, with up to a hundred streams
 * of other users. So it gets no further stream in good time.
 */
const MAX_RESETS = 200;
/** Megabytes. A hundred streams that are not read hold 64 kB each. */
const MAX_SESSION_MEMORY = 32;
/**
 * Characters of heads that a connection is handed in one turn of the event loop, but for the last of them: all that can
 * lie in this process behind bytes that the server does not read. Some ten heads of watches.
 */
const MAX_HANDED = 16_384;
/**
 * A frame costs as much as so many chunks of HTTP/1.1: it has an event and a write for the client of its own. An attacker's
 * API server sends them with one byte each, on a connection for each of one account's watches.
 */
const CHUNKS_OF_A_FRAME = 128;
/** Between two looks at whether the system has taken what was written to a connection, while requests wait for that. */
const LOOK_MS = 5;

interface ConnectionEvents {
  readonly onSpace: () => void;
  /** The server allows no stream. */
  readonly onUseless: () => void;
  readonly onLost: () => void;
}

export class Http2Connection {
  readonly hostHeader: string;
  readonly #session: ClientHttp2Session;
  readonly #tls: TLSSocket;
  readonly #events: ConnectionEvents;
  readonly #shared: SharedReader;
  #open = 0;
  /** Characters of heads in this turn. */
  #handed = 0;
  #look: NodeJS.Timeout | undefined;
  /**
   * None before the server has said how many: beyond its limit, requests would wait for the end of others without a
   * sign of it.
   */
  #most = 0;
  #isRetired = false;
  #resets = 0;
  #idle: NodeJS.Timeout | undefined;

  constructor(
    { tls }: UpstreamLink,
    { origin, pingMs }: { readonly origin: string; readonly pingMs: number },
    events: ConnectionEvents,
  ) {
    this.hostHeader = new URL(origin).host;
    this.#events = events;
    this.#tls = tls;
    // Its streams are of many accounts, and no one of them can be read alone. So those of one API server have one share: one
    // that allows a stream a connection had hundreds, and the others' connections waited behind them for seconds.
    this.#shared = upstreamReading.join(origin, readerOf(tls));
    const reads = http2ReadsOf(tls, (_bytes, deliver) => this.#shared.timed(deliver), 'handed over');
    this.#session = connect(origin, {
      createConnection: () => reads.stream,
      settings: { enablePush: false },
      maxSessionMemory: MAX_SESSION_MEMORY,
    });
    reads.writesFor(this.#session);
    limitKeyUpdates(
      tls,
      () => this.#shared.keyUpdated(),
      () => this.close(),
    );
    this.#session.on('remoteSettings', ({ maxConcurrentStreams = MAX_STREAMS }) => {
      this.#most = Math.min(MAX_STREAMS, maxConcurrentStreams);
      if (this.#most === 0) return events.onUseless();
      clearTimeout(this.#idle);
      this.#startIdleTimer();
      this.#noteSpace();
    });
    // One that has gone without a word would keep a hundred requests waiting, and get each further one.
    const stopPings = keepPinging(this.#session, { socket: tls, everyMs: pingMs, onGone: () => this.close() });
    // The server shuts down or has had enough: open streams go on, and no further one begins.
    this.#session.on('goaway', () => (this.#isRetired = true));
    // `close` follows, and each stream has its own end.
    this.#session.on('error', () => undefined);
    this.#session.on('close', () => {
      stopPings();
      this.#shared.leave();
      clearTimeout(this.#idle);
      clearTimeout(this.#look);
      this.#isRetired = true;
      events.onLost();
    });
  }

  /** Streams that it carries besides those it has, now or when what was written to it is with the system. */
  get space(): number {
    const { closed, destroyed } = this.#session;
    return this.#isRetired || closed || destroyed ? 0 : Math.max(0, this.#most - this.#open);
  }

  /** True if a head would leave now. If not although there is space, `onSpace` follows. */
  takesHead(): boolean {
    if (this.space === 0 || this.#handed >= MAX_HANDED) return false;
    if (!holdsBytes(this.#tls)) return true;
    this.#look ??= setTimeout(() => {
      this.#look = undefined;
      this.#noteSpace();
    }, LOOK_MS);
    return false;
  }

  /** @throws if the session takes no request */
  request(head: string[]): ClientHttp2Stream {
    const stream = this.#session.request(head, { endStream: true });
    this.#open += 1;
    clearTimeout(this.#idle);
    // Node writes in the next turn, before this.
    if (this.#handed === 0) {
      setImmediate(() => {
        this.#handed = 0;
        this.#noteSpace();
      });
    }
    this.#handed += head.reduce((sum, { length }) => sum + length, 0);
    stream.once('close', () => this.#closed(stream.rstCode));
    return stream;
  }

  /** Counts a piece of a response, or a head of one, that was read on it. */
  took(bytes: number): void {
    this.#shared.took(bytes, CHUNKS_OF_A_FRAME);
  }

  /** Ends it and what is open on it. With an error, because Node would otherwise report each stream as whole. */
  close(): void {
    this.#session.destroy(new UpstreamError('reset', 'the connection was ended here'));
  }

  #closed(rstCode: number): void {
    this.#open -= 1;
    if (rstCode !== constants.NGHTTP2_NO_ERROR) this.#resets += 1;
    this.#isRetired ||= this.#resets >= MAX_RESETS;
    this.#startIdleTimer();
    this.#noteSpace();
  }

  #noteSpace(): void {
    if (this.space > 0) this.#events.onSpace();
  }

  #startIdleTimer(): void {
    if (this.#open === 0 && !this.#session.destroyed) this.#idle = setTimeout(() => this.close(), IDLE_MS).unref();
  }
}

/**
 * Keep-alive connections to one API server over HTTP/1.1, each with one request at a time.
 *
 * Not pipelined: a small request would wait behind a long list.
 */
import type { UpstreamAddress } from './connect.ts';
import { openHttp1 } from './http1-connection.ts';
import type { Http1Connection, Http1ConnectionOwner } from './http1-connection.ts';
import type { UpstreamHandler, UpstreamRequest, UpstreamStream, UpstreamTransport } from './transport.ts';
import { UpstreamError } from './upstream-error.ts';

/** API servers close idle connections after minutes. Ours is shorter, so that they hardly ever close first. */
const KEEP_ALIVE_MS = 30_000;
const SWEEP_MS = 1_000;

export interface Http1PoolOptions {
  readonly address: UpstreamAddress;
  readonly hostHeader: string;
  /** Connections at most; further requests wait. Absent: as many as there are requests. */
  readonly most?: number;
}

export class Http1Pool implements UpstreamTransport, Http1ConnectionOwner {
  readonly #options: Http1PoolOptions;
  readonly #all = new Set<Http1Connection>();
  /** Free for a turn at least, with the time since when. The last one is used first, so that the others can go. */
  readonly #free: { readonly connection: Http1Connection; readonly sinceMs: number }[] = [];
  /** Whose response has ended in this very turn. */
  #resting: Http1Connection[] = [];
  readonly #waiting = new Set<PooledRequest>();
  /** Attempts under way, by what gives them up. */
  readonly #opening = new Set<() => void>();
  #isAwake = false;
  #isClosed = false;
  readonly #sweepTimer: NodeJS.Timeout;

  constructor(options: Http1PoolOptions) {
    this.#options = options;
    // After a poll of the sockets: a response that has arrived is not late because this process was busy.
    this.#sweepTimer = setInterval(() => setImmediate(() => this.#sweep()), SWEEP_MS);
    this.#sweepTimer.unref();
  }

  send(request: UpstreamRequest, handler: UpstreamHandler): UpstreamStream {
    const pooled = new PooledRequest(request, handler, (given) => this.#takeBack(given));
    const connection = this.#waiting.size === 0 ? this.#takeFree() : undefined;
    if (connection !== undefined) this.#start(pooled, connection);
    else {
      this.#waiting.add(pooled);
      if (this.#free.length > 0 || this.#resting.length === 0) this.#serve();
      else this.#wake();
    }
    return pooled;
  }

  close(): void {
    this.#isClosed = true;
    clearInterval(this.#sweepTimer);
    const opening = [...this.#opening];
    this.#opening.clear();
    for (const giveUp of opening) giveUp();
    for (const connection of this.#all) connection.close();
    for (const pooled of this.#waiting) pooled.fail(new UpstreamError('reset', 'closed here'));
    this.#waiting.clear();
  }

  /**
   * The response before may have more bytes behind it that are on their way, and an attacker who can write them would
   * choose the next user's response. So a connection is used again only after the next poll of the sockets, in which
   * such bytes end it.
   */
  onFree(connection: Http1Connection): void {
    this.#resting.push(connection);
    this.#wake();
  }

  onLost(connection: Http1Connection): void {
    this.#all.delete(connection);
    const at = this.#free.findIndex((free) => free.connection === connection);
    if (at !== -1) this.#free.splice(at, 1);
    this.#wake();
  }

  #wake(): void {
    if (this.#isAwake || this.#isClosed) return;
    this.#isAwake = true;
    setImmediate(() => {
      this.#isAwake = false;
      const sinceMs = performance.now();
      for (const connection of this.#resting) if (!connection.isLost) this.#free.push({ connection, sinceMs });
      this.#resting = [];
      this.#serve();
    });
  }

  /** Gives waiting requests a connection each, and opens as many as are missing. */
  #serve(): void {
    for (const pooled of this.#waiting) {
      const connection = this.#takeFree();
      if (connection === undefined) break;
      this.#waiting.delete(pooled);
      this.#start(pooled, connection);
    }
    const most = this.#options.most ?? Number.POSITIVE_INFINITY;
    while (this.#opening.size < this.#waiting.size && this.#all.size + this.#opening.size < most) this.#open();
  }

  #start(pooled: PooledRequest, connection: Http1Connection): void {
    if (!pooled.start(connection)) connection.close();
  }

  #takeFree(): Http1Connection | undefined {
    for (let free = this.#free.pop(); free !== undefined; free = this.#free.pop()) {
      if (!free.connection.isLost) return free.connection;
    }
    return undefined;
  }

  #open(): void {
    const { address, hostHeader } = this.#options;
    const giveUp = openHttp1(address, { hostHeader, owner: this }, (error, connection) => {
      // Given up.
      if (!this.#opening.delete(giveUp)) return;
      if (connection === undefined) return this.#failed(error ?? new UpstreamError('connect', 'no connection'));
      this.#all.add(connection);
      this.#free.push({ connection, sinceMs: performance.now() });
      this.#serve();
    });
    this.#opening.add(giveUp);
  }

  /** Nothing is connected for a request that has gone. */
  #takeBack(pooled: PooledRequest): void {
    if (!this.#waiting.delete(pooled)) return;
    for (const giveUp of this.#opening) {
      if (this.#opening.size <= this.#waiting.size) return;
      this.#opening.delete(giveUp);
      giveUp();
    }
  }

  /** The attempt was made for one of those that wait. */
  #failed(error: Error): void {
    const [first] = this.#waiting;
    if (first === undefined) return;
    this.#waiting.delete(first);
    first.fail(error);
    this.#serve();
  }

  #sweep(): void {
    const nowMs = performance.now();
    for (const connection of this.#all) connection.sweep(nowMs);
    const idle = this.#free.filter(({ sinceMs }) => nowMs - sinceMs > KEEP_ALIVE_MS);
    for (const { connection } of idle) connection.close();
  }
}

/** From its handler's side. It waits first, and is then on a connection. */
class PooledRequest implements UpstreamStream {
  readonly #request: UpstreamRequest;
  readonly #handler: UpstreamHandler;
  readonly #takeBack: (pooled: PooledRequest) => void;
  #connection: Http1Connection | undefined;

  constructor(request: UpstreamRequest, handler: UpstreamHandler, takeBack: (pooled: PooledRequest) => void) {
    this.#request = request;
    this.#handler = handler;
    this.#takeBack = takeBack;
  }

  start(connection: Http1Connection): boolean {
    this.#connection = connection;
    return connection.send(this.#request, this.#handler);
  }

  fail(error: Error): void {
    this.#handler.onError(error);
  }

  pause(): void {
    this.#carrier?.pause();
  }

  resume(): void {
    this.#carrier?.resume();
  }

  abort(): void {
    if (this.#connection === undefined) this.#takeBack(this);
    else this.#carrier?.reset();
  }

  get gone(): boolean {
    return this.#connection !== undefined && (this.#carrier === undefined || this.#carrier.isLost);
  }

  get paused(): boolean {
    return this.#carrier?.isPaused === true;
  }

  /** Undefined once the connection belongs to another request. */
  get #carrier(): Http1Connection | undefined {
    return this.#connection?.handler === this.#handler ? this.#connection : undefined;
  }
}

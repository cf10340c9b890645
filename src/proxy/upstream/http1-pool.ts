/**
 * Keep-alive connections to one API server over HTTP/1.1, each with one request at a time.
 *
 * Not pipelined: a small request would wait behind a long list.
 */
import { timeLimit } from '../../timing/timing.ts';
import type { UpstreamAddress } from './connect.ts';
import { FairQueue } from './fair-queue.ts';
import { openHttp1 } from './http1-connection.ts';
import type { Http1Connection, Http1ConnectionOwner } from './http1-connection.ts';
import type {
  RequestClient,
  UpstreamHandler,
  UpstreamRequest,
  UpstreamStream,
  UpstreamTransport,
} from './transport.ts';
import { UpstreamError } from './upstream-error.ts';

/** API servers close idle connections after minutes. Ours is shorter, so that they hardly ever close first. */
const KEEP_ALIVE_MS = 30_000;
const SWEEP_MS = 1_000;
/** Between two searches for requests that may give way: each looks at every connection. */
const SEARCH_AGAIN_MS = 100;

export interface Http1PoolOptions {
  readonly address: UpstreamAddress;
  readonly hostHeader: string;
  /** Connections at most; further requests wait. Absent: as many as there are requests. */
  readonly most?: number;
  /** How long a request waits for a connection. Milliseconds; absent: as long as its client likes. */
  readonly waitMs?: number;
}

export class Http1Pool implements UpstreamTransport, Http1ConnectionOwner {
  readonly #options: Http1PoolOptions;
  readonly #all = new Set<Http1Connection>();
  /** Free for a turn at least, with the time since when. The last one is used first, so that the others can go. */
  readonly #free: { readonly connection: Http1Connection; readonly sinceMs: number }[] = [];
  /** Whose response has ended in this very turn. */
  #resting: Http1Connection[] = [];
  readonly #queue: FairQueue<PooledRequest>;
  /** Attempts under way, by what gives them up. */
  readonly #opening = new Set<() => void>();
  /** Set while a search for requests that may give way is to come. */
  #stopSearch: (() => void) | undefined;
  #isAwake = false;
  #isClosed = false;
  readonly #sweepTimer: NodeJS.Timeout;

  constructor(options: Http1PoolOptions) {
    this.#options = options;
    this.#queue = new FairQueue(options.most ?? Number.POSITIVE_INFINITY);
    // After a poll of the sockets: a response that has arrived is not late because this process was busy.
    this.#sweepTimer = setInterval(() => setImmediate(() => this.#sweep()), SWEEP_MS);
    this.#sweepTimer.unref();
  }

  send(request: UpstreamRequest, handler: UpstreamHandler): UpstreamStream {
    const pooled = new PooledRequest(request, handler, (given) => this.#takeBack(given));
    const connection = this.#queue.mayPass(request.account) ? this.#takeFree() : undefined;
    if (connection !== undefined) this.#start(pooled, connection);
    else {
      this.#queue.add(pooled);
      if (this.#free.length > 0 || this.#resting.length === 0) this.#serve();
      else this.#wake();
    }
    return pooled;
  }

  close(): void {
    this.#isClosed = true;
    clearInterval(this.#sweepTimer);
    this.#stopSearch?.();
    const opening = [...this.#opening];
    this.#opening.clear();
    for (const giveUp of opening) giveUp();
    for (const connection of this.#all) connection.close();
    for (const pooled of this.#queue.takeAll()) pooled.fail(new UpstreamError('reset', 'closed here'));
  }

  /**
   * The response before may have more bytes behind it that are on their way, and an attacker who can write them would
   * choose the next user's response. So a connection is used again only after the next poll of the sockets, in which
   * such bytes end it.
   */
  onFree(connection: Http1Connection): void {
    this.#release(connection);
    this.#resting.push(connection);
    this.#wake();
  }

  onLost(connection: Http1Connection): void {
    this.#release(connection);
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
    while (this.#queue.size > 0) {
      const connection = this.#takeFree();
      if (connection === undefined) break;
      const pooled = this.#queue.take();
      if (pooled === undefined) {
        this.#free.push({ connection, sinceMs: performance.now() });
        break;
      }
      this.#start(pooled, connection);
    }
    if (this.#queue.size === 0) return;
    this.#openMissing();
    // After the next poll of the sockets: the client whose bytes have arrived is not late.
    if (this.#lacksAny && !this.#isClosed) this.#stopSearch ??= timeLimit(0, () => this.#makeWay());
  }

  #openMissing(): void {
    const { wanted } = this.#queue;
    const most = this.#options.most ?? Number.POSITIVE_INFINITY;
    while (this.#opening.size < wanted && this.#all.size + this.#opening.size < most) this.#open();
  }

  /** True if an account has no connection, and there will be none in a moment that it could get. */
  get #lacksAny(): boolean {
    return this.#queue.withoutAny > this.#opening.size + this.#resting.length;
  }

  /**
   * Attackers with many accounts hold every connection by requests that trickle. So for each account that has none, one
   * whose client is late gives way, and its connection ends with it. It is one of the account that holds the most, so
   * that a user with a slow network and few requests is hardly ever met; of these, the latest.
   */
  #makeWay(): void {
    this.#stopSearch = undefined;
    const late = this.#lacksAny ? this.#lateHolders() : [];
    while (late.length > 0 && this.#lacksAny) {
      const held = ({ holder }: LateHolder): number => this.#queue.heldBy(holder.account);
      const first = late.reduce((a, b) => ((held(b) - held(a) || b.lateMs - a.lateMs) > 0 ? b : a));
      late.splice(late.indexOf(first), 1);
      first.holder.client?.giveWay();
      this.#openMissing();
    }
    if (this.#lacksAny) this.#stopSearch = timeLimit(SEARCH_AGAIN_MS, () => this.#makeWay());
  }

  #lateHolders(): LateHolder[] {
    const nowMs = performance.now();
    const late: LateHolder[] = [];
    for (const { holder } of this.#all) {
      const lateMs = holder?.client?.lateMs(nowMs) ?? 0;
      if (holder !== undefined && lateMs > 0) late.push({ holder, lateMs });
    }
    return late;
  }

  #start(pooled: PooledRequest, connection: Http1Connection): void {
    this.#queue.hold(pooled.account);
    connection.holder = pooled;
    if (!pooled.start(connection)) connection.close();
  }

  /** The connection is no account's any more. */
  #release(connection: Http1Connection): void {
    const { holder } = connection;
    if (holder === undefined) return;
    connection.holder = undefined;
    this.#queue.release(holder.account);
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
    if (!this.#queue.remove(pooled)) return;
    const { wanted } = this.#queue;
    for (const giveUp of this.#opening) {
      if (this.#opening.size <= wanted) return;
      this.#opening.delete(giveUp);
      giveUp();
    }
  }

  /** The attempt was made for one of those that wait. */
  #failed(error: Error): void {
    const first = this.#queue.take();
    if (first === undefined) return;
    first.fail(error);
    this.#serve();
  }

  #sweep(): void {
    const nowMs = performance.now();
    for (const connection of this.#all) connection.sweep(nowMs);
    const idle = this.#free.filter(({ sinceMs }) => nowMs - sinceMs > KEEP_ALIVE_MS);
    for (const { connection } of idle) connection.close();
    const { waitMs } = this.#options;
    if (waitMs === undefined || this.#queue.size === 0) return;
    for (const pooled of this.#queue.takeOlder(nowMs - waitMs)) {
      pooled.fail(new UpstreamError('busy', 'no connection was free in time'));
    }
  }
}

interface LateHolder {
  readonly holder: NonNullable<Http1Connection['holder']>;
  readonly lateMs: number;
}

/** From its handler's side. It waits first, and is then on a connection. */
class PooledRequest implements UpstreamStream {
  readonly account: string | undefined;
  readonly client: RequestClient | undefined;
  readonly sinceMs = performance.now();
  readonly #request: UpstreamRequest;
  readonly #handler: UpstreamHandler;
  readonly #takeBack: (pooled: PooledRequest) => void;
  #connection: Http1Connection | undefined;

  constructor(request: UpstreamRequest, handler: UpstreamHandler, takeBack: (pooled: PooledRequest) => void) {
    this.account = request.account;
    this.client = request.client;
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

  get endpoints(): string | undefined {
    return this.#carrier?.endpoints;
  }

  /** Undefined once the connection belongs to another request. */
  get #carrier(): Http1Connection | undefined {
    return this.#connection?.handler === this.#handler ? this.#connection : undefined;
  }
}

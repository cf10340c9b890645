/**
 * One connection to an API server over HTTP/1.1: its bytes, its requests one after another, its end.
 *
 * A request is over with the end of its response, by a failure of either side, by its time limit or by `abort`,
 * whichever is first; the handler is told at most once, and the connection then belongs to the next request.
 */
import type { TLSSocket } from 'node:tls';
import { endpointsOf } from '../listener/system-buffers.ts';
import { connectUpstream } from './connect.ts';
import type { UpstreamAddress, UpstreamLink } from './connect.ts';
import { Gathering } from './gathering.ts';
import { endOfHead, judgeFraming, requestHead } from './http1-framing.ts';
import { MAX_PIECE, ResponseParser } from './response-parser.ts';
import type { Parsed, ResponseHead } from './response-parser.ts';
import { isWritable, MOST_INTERIM } from './transport.ts';
import type { RequestClient, UpstreamHandler, UpstreamRequest } from './transport.ts';
import { limitKeyUpdates } from '../../timing/key-updates.ts';
import { upstreamReading } from '../../timing/upstream-reading.ts';
import type { SharedReader } from '../../timing/upstream-reading.ts';
import { tooManyInterim, UpstreamError } from './upstream-error.ts';

/**
 * Every connection reads into this memory, and nothing of it is kept after the call that reports the bytes.
 * @see https://nodejs.org/api/net.html#new-netsocketoptions `onread`
 */
const READ_BUFFER = Buffer.allocUnsafeSlow(MAX_PIECE);
/** Reads into it so far. */
let reads = 0;
/**
 * Bytes. Of a socket that has more, libuv reads 32 times 64 kB in one poll and leaves the rest to the next one; what is
 * fewer in many records has had its share of the turn by then (`timing/upstream-reading.ts`).
 */
const READ_AT_ONCE = 1_048_576;
export interface Http1ConnectionOwner {
  /** The response is whole, and another request may follow. */
  onFree(connection: Http1Connection): void;
  /** It carries no further request. Called once. */
  onLost(connection: Http1Connection): void;
}

interface Http1ConnectionOptions {
  readonly hostHeader: string;
  readonly owner: Http1ConnectionOwner;
}

/**
 * Opens a connection. `done` is called exactly once, and not before this has returned.
 * @returns a function that gives the attempt up
 */
export function openHttp1(
  address: UpstreamAddress,
  options: Http1ConnectionOptions,
  done: (error: Error | null, connection?: Http1Connection) => void,
): () => void {
  let connection: Http1Connection | undefined;
  let isTooEarly = false;
  const onBytes = (length: number): boolean => {
    isTooEarly ||= connection === undefined;
    return connection?.take(READ_BUFFER.subarray(0, length)) ?? false;
  };
  const opened = (error: Error | null, link?: UpstreamLink): void => {
    if (link === undefined) return done(error);
    if (isTooEarly) {
      link.reset();
      return done(new UpstreamError('protocol', 'bytes before any request'));
    }
    connection = new Http1Connection(link, options);
    done(null, connection);
  };
  return connectUpstream(address, opened, { reader: { buffer: READ_BUFFER, onBytes } });
}

export class Http1Connection {
  /** The request that a pool has given it to. */
  holder: { readonly account: string | undefined; readonly client: RequestClient | undefined } | undefined;
  /** The two ends of it (`listener/system-buffers.ts`). */
  readonly endpoints: string;
  readonly #owner: Http1ConnectionOwner;
  readonly #hostHeader: string;
  readonly #link: UpstreamLink;
  readonly #tls: TLSSocket;
  readonly #parser = new ResponseParser();
  #handler: UpstreamHandler | undefined;
  #method = '';
  #readNumber = 0;
  #limits = { headMs: 0, pieceMs: 0 };
  #isUpgrade = false;
  /** It has another protocol now, whose bytes are handed on as they are. */
  #isTunnel = false;
  #hasHead = false;
  #interim = 0;
  #mayKeep = false;
  #isSent = false;
  #isPaused = false;
  /** Among the connections that have a request under way. */
  #shared: SharedReader | undefined;
  /** It waits for a later turn. */
  #isStopped = false;
  #stoppedAt = 0;
  /** Bytes of this response. */
  #received = 0;
  #isLost = false;
  #waitingSince = 0;
  readonly #gathering = new Gathering({
    hand: (piece, slab) => this.#handler?.onPiece(piece, slab),
    later: (step) => this.#attempt(step),
  });

  constructor(link: UpstreamLink, { hostHeader, owner }: Http1ConnectionOptions) {
    this.#link = link;
    this.#tls = link.tls;
    this.endpoints = endpointsOf(link.tls);
    this.#hostHeader = hostHeader;
    this.#owner = owner;
    limitKeyUpdates(
      link.tls,
      () => this.#shared?.keyUpdated(),
      () => this.#attempt(() => this.close()),
    );
    for (const event of ['end', 'close', 'error']) link.tls.on(event, () => this.#attempt(() => this.#ended()));
  }

  get isLost(): boolean {
    return this.#isLost || this.#tls.destroyed;
  }

  get isPaused(): boolean {
    return this.#isPaused;
  }

  /** The handler whose request is under way. */
  get handler(): UpstreamHandler | undefined {
    return this.#handler;
  }

  /** @returns false if the handler has taken its request back, and nothing was sent */
  send(request: UpstreamRequest, handler: UpstreamHandler): boolean {
    if (!handler.maySend()) return false;
    const { method, body, bodyLength } = request;
    this.#handler = handler;
    this.#method = method;
    this.#limits = request;
    this.#isUpgrade = request.isUpgrade === true;
    this.#hasHead = false;
    this.#interim = 0;
    this.#isPaused = false;
    this.#isSent = body === undefined;
    this.#waitingSince = performance.now();
    this.#received = 0;
    this.#parser.expect(method);
    this.#shared = upstreamReading.join(request.account, this);
    if (!isWritable(request)) {
      this.#fail(new UpstreamError('internal', 'a request that cannot be written'));
      return true;
    }
    const head = requestHead(request, this.#hostHeader);
    if (body === undefined) this.#tls.write(`${head}${endOfHead(method)}`, 'latin1');
    else void this.#sendBody(head, body, { length: bodyLength, handler });
    return true;
  }

  pause(): void {
    if (this.#isPaused) return;
    this.#isPaused = true;
    this.#tls.pause();
  }

  stopReading(): void {
    this.#isStopped = true;
    this.#stoppedAt = performance.now();
    this.#tls.pause();
  }

  /** Not while the client is waited for, whose `drain` must not let it go on before its turn either. */
  goOnReading(): void {
    const nowMs = performance.now();
    this.#isStopped = false;
    // What was not read is not late.
    this.#waitingSince = Math.min(nowMs, this.#waitingSince + nowMs - this.#stoppedAt);
    if (!this.#isPaused && !this.#isLost) this.#tls.resume();
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#waitingSince = performance.now();
    if (!this.#isStopped) this.#tls.resume();
  }

  /** Ends the connection by an RST. The handler is told of nothing more. */
  reset(): void {
    this.#handler = undefined;
    this.#lose('reset');
  }

  /** Ends a connection that carries no request. */
  close(): void {
    if (this.#handler === undefined) this.#lose();
    else this.#fail(new UpstreamError('reset', 'closed here'));
  }

  /** Ends the request if its time is over. @param nowMs monotonic */
  sweep(nowMs: number): void {
    if (this.#handler === undefined || this.#isPaused || this.#isStopped) return;
    if (this.#tls.destroyed) return this.#attempt(() => this.#ended());
    const { headMs, pieceMs } = this.#limits;
    // While the client still sends its body, the API server is not waited for, unless it takes nothing of it.
    const awaitsHead = this.#isSent || this.#tls.writableNeedDrain;
    const limitMs = this.#hasHead ? pieceMs : awaitsHead ? headMs : 0;
    if (limitMs > 0 && nowMs - this.#waitingSince > limitMs) {
      this.#attempt(() => this.#fail(new UpstreamError('timeout', 'the API server was silent for too long')));
    }
  }

  /** Takes what has been read. @returns false: read no more for now */
  take(piece: Buffer): boolean {
    this.#readNumber = reads += 1;
    if (this.#handler === undefined) {
      // Bytes that were not requested. The next request on this connection would get them as its response.
      this.#lose();
      return false;
    }
    const shared = this.#shared;
    let chunks = 0;
    this.#received += piece.length;
    this.#attempt(() => {
      let at = 0;
      while (at < piece.length && this.#handler !== undefined && !this.#isLost) {
        this.#checkPiece();
        if (this.#isTunnel) return this.#deliver(piece, at, piece.length);
        const parsed = this.#parser.parse(piece, at);
        at = parsed.end;
        chunks += parsed.chunks;
        this.#hand(piece, parsed, at < piece.length);
        this.#parser.forget();
      }
    });
    shared?.took(piece.length, chunks);
    return !this.#isPaused && !this.#isStopped && !this.#isLost;
  }

  /**
   * Another connection must not read while this one still has to look at its piece: the bytes would be another user's.
   * Node reads from its loop only, so it does not happen; if it did, the response would end here.
   */
  #checkPiece(): void {
    if (this.#readNumber !== reads) throw new Error('the memory of a piece was used again');
  }

  /** An API server that makes a handler throw, by a header that cannot be passed on, ends its request and nothing else. */
  #attempt(step: () => void): void {
    try {
      step();
    } catch (cause) {
      this.#fail(new UpstreamError('internal', 'the response could not be passed on', cause));
    }
  }

  #hand(piece: Buffer, { head, body, error, isComplete }: Parsed, isMore: boolean): void {
    const handler = this.#handler;
    if (head !== undefined) {
      this.#hasHead = head.status >= 200;
      const framing = judgeFraming(this.#method, head, this.#isUpgrade);
      if (typeof framing === 'object') return this.#fail(new UpstreamError('protocol', framing.error));
      if (framing === 'upgrade') return this.#upgrade(head);
      this.#mayKeep = framing === 'keep';
      if (this.#hasHead) handler?.onHead(head.status, head.raw);
      else if ((this.#interim += 1) > MOST_INTERIM) return this.#fail(tooManyInterim());
    }
    // Not before: a head that comes byte by byte, or after interim responses without end, has its time all the same.
    if (this.#hasHead) this.#waitingSince = performance.now();
    for (let index = 0; index + 1 < body.length && this.#handler === handler; index += 2) {
      this.#deliver(piece, body[index] ?? 0, body[index + 1] ?? 0);
    }
    if (this.#handler !== handler) return;
    if (error !== undefined) return this.#fail(new UpstreamError('protocol', error));
    if (isComplete && this.#hasHead) this.#complete(isMore);
  }

  #upgrade({ raw }: ResponseHead): void {
    this.#isTunnel = true;
    this.#parser.free();
    this.#handler?.onUpgrade?.(raw, this.#tls);
  }

  #deliver(piece: Buffer, from: number, to: number): void {
    this.#checkPiece();
    this.#gathering.take(piece, from, to);
  }

  #complete(isMore: boolean): void {
    this.#gathering.flush();
    const handler = this.#handler;
    if (handler === undefined) return;
    this.#handler = undefined;
    // What is behind the response, and was not read in its turn, must end the connection before another request has it.
    const mayHaveMore = this.#isStopped || this.#received >= READ_AT_ONCE;
    this.#leaveShared();
    // The rest of a request body would be read as the next request, and the rest of this piece as the next response.
    if (!this.#isSent || isMore || !this.#mayKeep || !this.#parser.keepsAlive || this.isLost) this.#lose();
    else if (this.#isPaused) this.resume();
    if (mayHaveMore) setImmediate(() => this.#free());
    else this.#free();
    handler.onEnd();
  }

  #free(): void {
    if (!this.#isLost) this.#owner.onFree(this);
  }

  #leaveShared(): void {
    const shared = this.#shared;
    this.#shared = undefined;
    shared?.leave();
  }

  #ended(): void {
    if (this.#isLost) return;
    if (this.#isTunnel) {
      // Half of it may go on.
      this.#gathering.flush();
      if (this.#tls.destroyed) this.#lose();
      return;
    }
    // A response without a length ends with its connection (RFC 9112 §6.3).
    if (this.#handler !== undefined && this.#hasHead && this.#tls.readableEnded && this.#parser.finish()) {
      this.#complete(true);
    } else if (this.#handler === undefined) this.#lose();
    else this.#fail(new UpstreamError('reset', 'the connection was lost within a response'));
  }

  #fail(error: UpstreamError): void {
    this.#gathering.flush();
    const handler = this.#handler;
    this.#handler = undefined;
    this.#lose('reset');
    handler?.onError(error);
  }

  #lose(how: 'close' | 'reset' = 'close'): void {
    if (this.#isLost) return;
    this.#isLost = true;
    this.#leaveShared();
    this.#gathering.drop();
    this.#parser.free();
    if (how === 'reset') this.#link.reset();
    else this.#tls.destroy();
    this.#owner.onLost(this);
  }

  /** The head goes out with the first piece. */
  async #sendBody(
    head: string,
    body: AsyncIterable<Buffer>,
    { length, handler }: { readonly length: number | undefined; readonly handler: UpstreamHandler },
  ): Promise<void> {
    const isChunked = length === undefined;
    const isOurs = (): boolean => this.#handler === handler && !this.isLost;
    let before = `${head}${isChunked ? 'Transfer-Encoding: chunked' : `Content-Length: ${length}`}\r\n\r\n`;
    let left = length ?? Number.POSITIVE_INFINITY;
    try {
      for await (const piece of body) {
        if (piece.length === 0) continue;
        if (!isOurs() || !handler.maySend()) return;
        left -= piece.length;
        // An attacker sends more than was announced, and the API server would read the rest as the next request,
        // under whichever user comes next.
        if (left < 0) throw new UpstreamError('internal', 'a body that is longer than announced');
        const hasSpace = this.#writePiece(before, piece, isChunked);
        this.#waitingSince = performance.now();
        before = '';
        if (!hasSpace) await this.#drained();
      }
      if (!isOurs()) return;
      if (left > 0 && !isChunked) throw new UpstreamError('internal', 'a body that is shorter than announced');
      if (before !== '') this.#tls.write(`${head}${endOfHead(this.#method)}`, 'latin1');
      else if (isChunked) this.#tls.write('0\r\n\r\n', 'latin1');
      this.#isSent = true;
      this.#waitingSince = performance.now();
    } catch (error) {
      if (isOurs())
        this.#fail(
          error instanceof UpstreamError ? error : new UpstreamError('internal', 'a body that broke off', error),
        );
    }
  }

  /** @param head of the request, before its first piece; empty before the others */
  #writePiece(head: string, piece: Buffer, isChunked: boolean): boolean {
    const tls = this.#tls;
    const before = isChunked ? `${head}${piece.length.toString(16)}\r\n` : head;
    tls.cork();
    if (before !== '') tls.write(before, 'latin1');
    let hasSpace = tls.write(piece);
    if (isChunked) hasSpace = tls.write('\r\n', 'latin1');
    tls.uncork();
    return hasSpace;
  }

  #drained(): Promise<void> {
    const tls = this.#tls;
    if (!tls.writableNeedDrain || tls.destroyed) return Promise.resolve();
    return new Promise((resolve) => {
      const go = (): void => {
        tls.off('drain', go).off('close', go);
        resolve();
      };
      tls.on('drain', go).on('close', go);
    });
  }
}

/**
 * A request over HTTP/2 and its response: one of Node's core streams behind the interfaces of client.ts.
 *
 * Two of Node's habits would let half a message look whole, both measured on Node 24. A stream that ends by
 * `close(code)` or `destroy()` ends its response in an orderly way: only `destroy(error)` sends RST_STREAM. And a
 * client's RST_STREAM with the code 0 ends the request's body as its real end does.
 */
import { constants } from 'node:http2';
import type { ServerHttp2Stream } from 'node:http2';
import { pairs } from '../../core/http/header-names.ts';
import { PendingBody } from '../../core/http/pending-body.ts';
import { ifWritten } from './client.ts';
import type { Client, ClientResponse, ClientRequest } from './client.ts';
import { valuesOf } from '../raw-headers.ts';
import { withoutStacks } from './stackless.ts';

/**
 * RFC 9113 §8.2.2: they mean nothing here, and a client that receives one treats the whole response as malformed.
 */
const CONNECTION_SPECIFIC = new Set(['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade']);

/** What a response asks of its connection, which other streams share. */
export interface SharedConnection {
  /** Makes it take no further requests. */
  retire(): void;
  /** Resets it if bytes that were written to it lie in this process. */
  resetIfHolding(): void;
  /** Calls back when none of what has been written to it by now lies in this process, or when it has ended. */
  whenSent(listener: () => void): void;
}

/** @param raw the head as Node gives it: flat, with the pseudo-headers */
export function http2Client(stream: ServerHttp2Stream, raw: readonly string[], connection: SharedConnection): Client {
  return { request: new Http2Request(stream, raw), response: new Http2Response(stream, connection) };
}

class Http2Request implements ClientRequest {
  readonly method: string;
  readonly target: string;
  readonly raw: readonly string[];
  readonly leftover = false;
  readonly #stream: ServerHttp2Stream;

  constructor(stream: ServerHttp2Stream, raw: readonly string[]) {
    this.#stream = stream;
    const pseudo = (name: string): string => valuesOf(raw, name)[0] ?? '';
    this.method = pseudo(':method');
    this.target = pseudo(':path');
    this.raw = withHost(raw);
  }

  get hasBody(): boolean {
    return !this.#stream.endAfterHeaders;
  }

  get complete(): boolean {
    return !this.hasBody || this.#stream.readableEnded;
  }

  get expectsContinue(): boolean {
    return valuesOf(this.raw, 'expect')[0]?.toLowerCase() === '100-continue';
  }

  async *pieces(): AsyncGenerator<Buffer, void> {
    yield* this.#stream.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>;
    // A body that was broken off must not be ended towards the API server as if it were whole.
    if (this.#isBrokenOff) throw new Error('the client broke the body off');
  }

  whenWhole(most: number, done: (body: Buffer | undefined) => void): void {
    const stream = this.#stream;
    const body = new PendingBody(most);
    const end = (whole: Buffer | undefined): void => {
      stream.off('data', onData);
      stream.off('end', onEnd);
      // Nothing more of it is read; the stream's window closes.
      stream.pause();
      if (!this.#isBrokenOff) done(whole);
    };
    const onData = (piece: Buffer): void => {
      if (!body.add(piece)) end(undefined);
    };
    const onEnd = (): void => end(body.whole);
    stream.on('data', onData);
    stream.on('end', onEnd);
  }

  get #isBrokenOff(): boolean {
    return this.#stream.aborted || this.#stream.closed;
  }
}

/** Puts `:authority` in the place of `Host` (RFC 9113 §8.3.1), so that both are judged as two Host lines are. */
function withHost(raw: readonly string[]): readonly string[] {
  const headers: string[] = [];
  for (const [name, value] of pairs(raw)) {
    if (name === ':authority') headers.unshift('host', value);
    else if (!name.startsWith(':')) headers.push(name, value);
  }
  return headers;
}

class Http2Response implements ClientResponse {
  readonly #stream: ServerHttp2Stream;
  readonly #connection: SharedConnection;
  #onFinished: (() => void) | undefined;

  constructor(stream: ServerHttp2Stream, connection: SharedConnection) {
    this.#stream = stream;
    this.#connection = connection;
  }

  get started(): boolean {
    return this.#stream.headersSent;
  }

  get gone(): boolean {
    return this.#stream.destroyed || this.#stream.closed;
  }

  get idle(): boolean {
    const { headersSent, writableEnded, writableLength } = this.#stream;
    return headersSent && !writableEnded && writableLength === 0;
  }

  get finished(): boolean {
    return this.#stream.writableEnded;
  }

  get waiting(): number {
    return this.#stream.writableLength;
  }

  writeContinue(): void {
    if (!this.gone) this.#stream.additionalHeaders({ ':status': 100 });
  }

  start(status: number, headers: readonly string[]): void {
    if (this.gone) return;
    const head = [':status', String(status)];
    for (const [name, value] of pairs(headers)) {
      const lower = name.toLowerCase();
      if (!CONNECTION_SPECIFIC.has(lower)) head.push(lower, value);
      else if (lower === 'connection' && value.toLowerCase() === 'close') this.#connection.retire();
    }
    this.#stream.respond(head);
  }

  write(chunk: Buffer, written?: () => void): boolean {
    // A response that cannot have a body (HEAD, 204, 304) has ended with its head.
    if (this.gone || this.#stream.writableEnded) return true;
    return this.#stream.write(chunk, ifWritten(this.#stream, written));
  }

  writeNow(chunk: Buffer): void {
    // Leaves before the RST_STREAM that follows, in the same write.
    this.write(chunk);
  }

  onDrain(listener: () => void): void {
    this.#stream.once('drain', listener);
  }

  end(body?: Buffer): void {
    if (this.gone) return;
    const stream = this.#stream;
    if (!stream.writableEnded) stream.end(body);
    this.#onFinished?.();
    this.#onFinished = undefined;
    // A client that has ended its side has nothing more to send, and the stream closes by itself.
    if (stream.endAfterHeaders) return;
    // RFC 9113 §8.1: the response is whole, and the rest of the body is not wanted. Without this the stream stays
    // for as long as the client likes.
    if (stream.writableFinished) this.#stopReading();
    else stream.once('finish', () => this.#stopReading());
  }

  refuse(): void {
    this.#stream.close(constants.NGHTTP2_REFUSED_STREAM);
  }

  reset(): void {
    // A new error for each: streams that share an error are not closed.
    withoutStacks(() => this.#stream.destroy(new Error('reset')));
  }

  /**
   * A user opens the windows of a hundred streams and takes nothing from the TCP connection, so that their batch of
   * many megabytes lies in its socket. The RST_STREAM is behind it, and they would take all of it after the cut. After
   * the stream, because Node writes what waits before it writes the RST_STREAM.
   */
  cut(): void {
    this.reset();
    this.#connection.resetIfHolding();
  }

  /**
   * An attacker takes no byte of a response and resets its stream with the code 0. Node waits for the bytes to leave
   * before it lets go of the stream, which never happens; the stream no longer counts as one for nghttp2; and the
   * connection is never idle.
   */
  discard(): void {
    if (!this.#stream.destroyed) this.reset();
  }

  onFinished(listener: () => void): void {
    this.#onFinished = listener;
  }

  onClose(listener: () => void): void {
    if (this.#stream.destroyed) listener();
    else this.#stream.once('close', listener);
  }

  /** The same user has a pod break the responses off: the streams are over, and the batch still lies there. */
  whenSent(listener: () => void): void {
    // Node reports a write when the system has all of it.
    if (this.#stream.writableFinished) listener();
    else this.#connection.whenSent(listener);
  }

  /**
   * Not in this turn: while bytes of the client are still being parsed, Node 26 sends the reset first, and the head of
   * a response without a body, which is "finished" before it has left, would never be sent.
   */
  #stopReading(): void {
    setImmediate(() => {
      if (!this.#stream.readableEnded && !this.gone) this.#stream.close(constants.NGHTTP2_NO_ERROR);
    });
  }
}

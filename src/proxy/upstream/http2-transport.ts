/**
 * HTTP/2 to an API server, for reads that last: up to a hundred of them share one connection, where HTTP/1.1 needs one
 * each.
 *
 * A cut is a RST_STREAM, which is behind whatever the connection still has to send: an attacker's POSTs to `…/proxy`
 * ran after the revocation because the API server had read slowly. So whatever may change something has a
 * connection of its own, by the fallback, which a cut resets; a reset here would end the watches of a hundred others.
 * And a head is handed over only when those before it are with the system.
 *
 * Each header line is sent as it is: clients that join equal names would turn two `Impersonate-Group` lines into one
 * group that has no members. Where the server does not offer HTTP/2, the fallback is used.
 */
import { constants } from 'node:http2';
import type { ClientHttp2Stream } from 'node:http2';
import { flatHeaders } from '../../core/http/upstream-headers.ts';
import { timeLimit } from '../../timing/timing.ts';
import { connectUpstream } from './connect.ts';
import type { UpstreamAddress, UpstreamLink } from './connect.ts';
import { Http2Connection, MAX_STREAMS } from './http2-connection.ts';
import { isWritable, MOST_INTERIM } from './transport.ts';
import type { UpstreamHandler, UpstreamRequest, UpstreamStream, UpstreamTransport } from './transport.ts';
import { tooManyInterim, UpstreamError } from './upstream-error.ts';

/** A server that has not offered HTTP/2 is asked again after this time. */
const ASK_AGAIN_MS = 600_000;
export interface Http2TransportOptions {
  readonly address: UpstreamAddress;
  /** `https://host:port`. */
  readonly origin: string;
  /** Between two PINGs on a connection. Milliseconds. */
  readonly pingMs: number;
  readonly fallback: UpstreamTransport;
}

export class Http2Transport implements UpstreamTransport {
  readonly #options: Http2TransportOptions;
  readonly #connections = new Set<Http2Connection>();
  readonly #waiting = new Set<Http2Request>();
  /** Attempts under way, by what gives them up. One is over when the server has said how many streams it allows. */
  readonly #opening = new Set<() => void>();
  #fallsBackUntilMs = 0;

  constructor(options: Http2TransportOptions) {
    this.#options = options;
  }

  send(request: UpstreamRequest, handler: UpstreamHandler): UpstreamStream {
    if (request.isRead !== true || performance.now() < this.#fallsBackUntilMs) {
      return this.#options.fallback.send(request, handler);
    }
    const waiting = new Http2Request(request, handler, (given) => this.#waiting.delete(given));
    this.#waiting.add(waiting);
    this.#serve();
    return waiting;
  }

  close(): void {
    const opening = [...this.#opening];
    this.#opening.clear();
    for (const giveUp of opening) giveUp();
    for (const connection of this.#connections) connection.close();
    for (const waiting of this.#waiting) waiting.fail(new UpstreamError('reset', 'closed here'));
    this.#waiting.clear();
    this.#options.fallback.close();
  }

  #serve(): void {
    let space = 0;
    for (const connection of this.#connections) {
      for (const waiting of this.#waiting) {
        if (!connection.takesHead()) break;
        this.#waiting.delete(waiting);
        waiting.start(connection);
      }
      space += connection.space;
    }
    while (space + this.#opening.size * MAX_STREAMS < this.#waiting.size) this.#open();
  }

  #open(): void {
    const giveUp = connectUpstream(
      this.#options.address,
      (error, link) => {
        const isWanted = this.#opening.delete(giveUp);
        if (link === undefined) {
          if (isWanted) this.#failed(error ?? new UpstreamError('connect', 'no connection'));
        } else if (link.tls.alpnProtocol === 'h2') this.#opened(link);
        else {
          link.tls.destroy();
          this.#fallBack();
        }
      },
      { alpn: ['h2', 'http/1.1'] },
    );
    this.#opening.add(giveUp);
  }

  #opened(link: UpstreamLink): void {
    const stopTimer = timeLimit(this.#options.address.connectMs, () => connection.close());
    const giveUp = (): void => connection.close();
    const settled = (): boolean => {
      stopTimer();
      return this.#opening.delete(giveUp);
    };
    const connection: Http2Connection = new Http2Connection(link, this.#options, {
      onSpace: () => {
        settled();
        this.#serve();
      },
      onUseless: () => {
        settled();
        this.#fallBack();
        connection.close();
      },
      onLost: () => {
        this.#connections.delete(connection);
        if (settled()) this.#failed(new UpstreamError('reset', 'the connection was lost before it could be used'));
        else this.#serve();
      },
    });
    this.#opening.add(giveUp);
    this.#connections.add(connection);
  }

  #fallBack(): void {
    this.#fallsBackUntilMs = performance.now() + ASK_AGAIN_MS;
    for (const waiting of this.#waiting) waiting.sendOver(this.#options.fallback);
    this.#waiting.clear();
  }

  /** The attempt was made for as many as one connection carries. */
  #failed(error: Error): void {
    for (const waiting of [...this.#waiting].slice(0, MAX_STREAMS)) {
      this.#waiting.delete(waiting);
      waiting.fail(error);
    }
    this.#serve();
  }
}

/** One request, from its handler's side. */
class Http2Request implements UpstreamStream {
  readonly #request: UpstreamRequest;
  readonly #handler: UpstreamHandler;
  readonly #takeBack: (request: Http2Request) => void;
  #stream: ClientHttp2Stream | undefined;
  /** Set where the server has not offered HTTP/2. */
  #other: UpstreamStream | undefined;
  #isPaused = false;
  #isOver = false;

  constructor(request: UpstreamRequest, handler: UpstreamHandler, takeBack: (request: Http2Request) => void) {
    this.#request = request;
    this.#handler = handler;
    this.#takeBack = takeBack;
  }

  start(connection: Http2Connection): void {
    if (!this.#handler.maySend()) {
      this.#isOver = true;
      return;
    }
    if (!isWritable(this.#request)) {
      return this.fail(new UpstreamError('internal', 'a request that cannot be written'));
    }
    try {
      this.#listen(connection, connection.request(requestHead(this.#request, connection.hostHeader)));
    } catch (error) {
      this.fail(new UpstreamError('reset', 'the connection takes no request', error));
    }
  }

  sendOver(transport: UpstreamTransport): void {
    this.#other = transport.send(this.#request, this.#handler);
  }

  fail(error: Error): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#handler.onError(error);
  }

  pause(): void {
    this.#isPaused = true;
    (this.#other ?? this.#stream)?.pause();
  }

  resume(): void {
    this.#isPaused = false;
    (this.#other ?? this.#stream)?.resume();
  }

  abort(): void {
    if (this.#other !== undefined) return this.#other.abort();
    if (this.#isOver) return;
    this.#isOver = true;
    if (this.#stream === undefined) this.#takeBack(this);
    else this.#stream.close(constants.NGHTTP2_CANCEL);
  }

  get gone(): boolean {
    return this.#other?.gone ?? (this.#isOver || this.#stream?.destroyed === true);
  }

  get paused(): boolean {
    return this.#other?.paused ?? this.#isPaused;
  }

  get endpoints(): string | undefined {
    return this.#other?.endpoints;
  }

  #listen(connection: Http2Connection, stream: ClientHttp2Stream): void {
    this.#stream = stream;
    stream.on('error', () => undefined);
    stream.on('response', (_headers: unknown, _flags: number, raw?: readonly string[]) => {
      const { status, headers } = responseHead(raw ?? []);
      connection.took(0);
      this.#attempt(() => this.#handler.onHead(status, headers));
      // Not before: Node reports a head a little after its arrival, and a piece immediately if it is listened for.
      stream.on('data', (piece: Buffer) => {
        connection.took(piece.length);
        this.#attempt(() => this.#handler.onPiece(piece, undefined));
      });
    });
    let interim = 0;
    stream.on('headers', () => {
      connection.took(0);
      interim += 1;
      if (interim <= MOST_INTERIM) return;
      stream.close(constants.NGHTTP2_CANCEL);
      this.fail(tooManyInterim());
    });
    const hasEnded = notesEnd(stream);
    // The order of Node's events: `end` before `close`.
    stream.once('close', () => {
      if (this.#isOver) return;
      const isReset = stream.rstCode !== constants.NGHTTP2_NO_ERROR || stream.errored !== null;
      if (isReset || !hasEnded() || !stream.readableEnded) {
        this.fail(new UpstreamError('reset', `the stream was lost within a response (${stream.rstCode})`));
        return;
      }
      this.#attempt(() => {
        this.#isOver = true;
        this.#handler.onEnd();
      });
    });
  }

  /** As over HTTP/1.1: what a handler throws ends its request and nothing else. */
  #attempt(step: () => void): void {
    if (this.#isOver) return;
    try {
      step();
    } catch (cause) {
      this.#stream?.close(constants.NGHTTP2_CANCEL);
      this.fail(new UpstreamError('internal', 'the response could not be passed on', cause));
    }
  }
}

/**
 * Returns whether the server has ended its side. Node ends a stream that is reset with the code 0 as if it were whole,
 * and half a response would look complete; but it has closed the stream by then. Go's servers reset so after the end.
 */
function notesEnd(stream: ClientHttp2Stream): () => boolean {
  let hasEnded = false;
  const push = stream.push.bind(stream);
  stream.push = (chunk: unknown, encoding?: BufferEncoding): boolean => {
    hasEnded ||= chunk === null && !stream.closed;
    return push(chunk, encoding);
  };
  return () => hasEnded;
}

/** Node keeps `authorization` out of the table by which all users of the connection compress: others could guess it. */
function requestHead({ method, target, headers: parts }: UpstreamRequest, hostHeader: string): string[] {
  const headers = flatHeaders(parts);
  const head = [':method', method, ':path', target, ':scheme', 'https', ':authority', hostHeader];
  for (let index = 0; index + 1 < headers.length; index += 2) {
    head.push((headers[index] ?? '').toLowerCase(), headers[index + 1] ?? '');
  }
  return head;
}

function responseHead(raw: readonly string[]): { readonly status: number; readonly headers: readonly string[] } {
  const headers: string[] = [];
  let status = 0;
  for (let index = 0; index + 1 < raw.length; index += 2) {
    const name = raw[index] ?? '';
    if (name === ':status') status = Number(raw[index + 1]);
    else headers.push(name, raw[index + 1] ?? '');
  }
  return { status, headers };
}

/**
 * A request over HTTP/1.1 and its response: Node's `IncomingMessage` and `ServerResponse` behind the interfaces of
 * client.ts.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { whenWhole } from '../../core/http/pending-body.ts';
import { ifWritten } from './client.ts';
import type { Client, ClientResponse, ClientRequest } from './client.ts';
import type { ClientConnection } from './connection.ts';

/** @param connection the connection of the request; a reset always ends all of it */
export function http1Client(req: IncomingMessage, res: ServerResponse, connection: ClientConnection): Client {
  return { request: new Http1Request(req), response: new Http1Response(req, res, connection) };
}

class Http1Request implements ClientRequest {
  readonly #req: IncomingMessage;

  constructor(req: IncomingMessage) {
    this.#req = req;
  }

  get method(): string {
    return this.#req.method ?? '';
  }

  get target(): string {
    return this.#req.url ?? '';
  }

  get raw(): readonly string[] {
    return this.#req.rawHeaders;
  }

  /** RFC 9112 §6.3. */
  get hasBody(): boolean {
    const { headers } = this.#req;
    return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? '0') > 0;
  }

  get complete(): boolean {
    return this.#req.complete;
  }

  get leftover(): boolean {
    return !this.#req.complete;
  }

  get expectsContinue(): boolean {
    return this.#req.headers.expect?.toLowerCase() === '100-continue';
  }

  pieces(): AsyncIterable<Buffer> {
    // When the API server ends early, this must not destroy the request: the client's connection still has to carry
    // the answer.
    return this.#req.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>;
  }

  whenWhole(most: number, done: (body: Buffer | undefined) => void): void {
    whenWhole(this.#req, most, done);
  }
}

class Http1Response implements ClientResponse {
  readonly #req: IncomingMessage;
  readonly #res: ServerResponse;
  readonly #connection: ClientConnection;

  constructor(req: IncomingMessage, res: ServerResponse, connection: ClientConnection) {
    this.#req = req;
    this.#res = res;
    this.#connection = connection;
    // Writing to a client that has gone is no error; `close` follows.
    res.on('error', () => undefined);
  }

  get started(): boolean {
    return this.#res.headersSent;
  }

  get gone(): boolean {
    return this.#req.socket.destroyed;
  }

  get idle(): boolean {
    const { headersSent, writableEnded, writableLength, socket } = this.#res;
    return headersSent && !writableEnded && writableLength === 0 && (socket?.writableLength ?? 1) === 0;
  }

  get finished(): boolean {
    return this.#res.writableEnded;
  }

  get waiting(): number {
    return this.#res.writableLength;
  }

  writeContinue(): void {
    this.#res.writeContinue();
  }

  start(status: number, headers: readonly string[], { early }: { readonly early: boolean }): void {
    this.#res.writeHead(status, [...headers]);
    if (early) this.#res.flushHeaders();
  }

  write(chunk: Buffer, written?: () => void): boolean {
    return this.#res.write(chunk, ifWritten(this.#req.socket, written));
  }

  writeNow(chunk: Buffer): void {
    const { socket } = this.#res;
    // Node holds a write back until the end of the tick, in the response or in its socket, and the reset comes before
    // that. A cork of ours, which is the first, lets all of it go in one write.
    socket?.cork();
    this.#res.cork();
    this.#res.write(chunk);
    this.#res.uncork();
    socket?.uncork();
  }

  onDrain(listener: () => void): void {
    this.#res.once('drain', listener);
  }

  /**
   * Ends the response. The unwanted rest of a body would otherwise be read and thrown away for as long as it lasts.
   */
  end(body?: Buffer): void {
    const { socket } = this.#req;
    if (!this.#req.complete) this.#res.once('finish', () => socket.destroySoon());
    this.#res.end(body);
  }

  refuse(): void {
    this.reset();
  }

  reset(): void {
    this.#connection.reset();
  }

  cut(): void {
    this.reset();
  }

  discard(): void {
    // It has gone with its socket.
  }

  onFinished(listener: () => void): void {
    this.#res.once('prefinish', listener);
  }

  onClose(listener: () => void): void {
    if (this.#res.closed) listener();
    else this.#res.once('close', listener);
  }

  whenSent(listener: () => void): void {
    // It closes when the system has all of it, or with its connection.
    listener();
  }
}

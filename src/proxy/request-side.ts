/** The client's half of an ordinary request: how it is refused, answered and ended. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ClientSide, Exchange } from './exchange.ts';
import { refusalHeaders, statusBody } from './status.ts';
import type { Refusal } from './status.ts';

export class RequestSide implements ClientSide {
  readonly #exchange: Exchange;
  readonly #req: IncomingMessage;
  readonly #res: ServerResponse;
  readonly #isDraining: () => boolean;

  constructor(exchange: Exchange, req: IncomingMessage, res: ServerResponse, isDraining: () => boolean) {
    this.#exchange = exchange;
    this.#req = req;
    this.#res = res;
    this.#isDraining = isDraining;
    res.on('close', () => exchange.clientClosed());
    // Writing to a client that has gone is no fault; `close` follows.
    res.on('error', () => undefined);
  }

  refuse(refusal: Refusal): void {
    if (!this.#exchange.clientOpen || this.#res.headersSent) return;
    this.#exchange.record.refused(refusal);
    const body = Buffer.from(`${JSON.stringify(statusBody(refusal))}\n`);
    const headers = ['Content-Type', 'application/json', 'Content-Length', String(body.length)];
    headers.push('Audit-Id', this.#exchange.auditId, ...refusalHeaders(refusal));
    // A body that was announced and never came (`Expect: 100-continue` above all) would be read as the next request.
    if (!this.#req.complete && !refusal.retry) headers.push('Connection', 'close');
    this.#res.writeHead(refusal.code, this.withConnection(headers));
    this.end(body);
  }

  /** While draining, no answer leaves the connection open for another request. */
  withConnection(headers: string[]): string[] {
    const stated = headers.some((name, index) => index % 2 === 0 && name.toLowerCase() === 'connection');
    return stated || !this.#isDraining() ? headers : [...headers, 'Connection', 'close'];
  }

  /** Ends the answer. What is left of a body that nobody wants would otherwise be read and thrown away for as long as it lasts. */
  end(body?: Buffer): void {
    const { socket } = this.#req;
    if (!this.#req.complete) this.#res.once('finish', () => socket.destroySoon());
    this.#res.end(body);
  }
}

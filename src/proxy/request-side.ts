/** The client's half of an ordinary request: how it is refused, answered and ended. */
import type { Client, ClientAnswer } from './client-answer.ts';
import type { ClientSide, Exchange } from './exchange.ts';
import { valuesOf } from './raw-headers.ts';
import { refusalHeaders, statusBody } from './status.ts';
import type { Refusal } from './status.ts';

export class RequestSide implements ClientSide {
  readonly answer: ClientAnswer;
  readonly #exchange: Exchange;
  readonly #client: Client;
  readonly #isLeaving: () => boolean;

  /** @param isLeaving the gate is about to shut down: no answer leaves the connection open for another request */
  constructor(exchange: Exchange, client: Client, isLeaving: () => boolean) {
    this.answer = client.answer;
    this.#exchange = exchange;
    this.#client = client;
    this.#isLeaving = isLeaving;
    this.answer.onClose(() => exchange.clientClosed());
  }

  refuse(refusal: Refusal): void {
    if (!this.#exchange.clientOpen || this.answer.started) return;
    this.#exchange.record.refused(refusal);
    const body = Buffer.from(`${JSON.stringify(statusBody(refusal, this.#exchange.auditId))}\n`);
    const headers = ['Content-Type', 'application/json', 'Content-Length', String(body.length)];
    headers.push('Audit-Id', this.#exchange.auditId, ...refusalHeaders(refusal));
    // A body that was announced and never came (`Expect: 100-continue` above all) would be read as the next request.
    if (this.#client.request.leftover && !refusal.retry) headers.push('Connection', 'close');
    this.start(refusal.code, headers, { early: false });
    this.answer.end(body);
  }

  start(status: number, headers: readonly string[], options: { readonly early: boolean }): void {
    const closes = this.#isLeaving() && valuesOf(headers, 'connection').length === 0;
    this.answer.start(status, closes ? [...headers, 'Connection', 'close'] : headers, options);
  }
}

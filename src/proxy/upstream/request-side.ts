/** The client's half of an ordinary request: how it is refused, answered and ended. */
import type { Client, ClientAnswer, ClientRequest } from '../listener/client.ts';
import type { ClientSide, Exchange } from '../exchange.ts';
import { valuesOf } from '../raw-headers.ts';
import { rejectionHeaders, statusBody } from '../status.ts';
import type { Rejection } from '../status.ts';
import type { UntakenAnswers } from '../listener/unread-responses.ts';

export interface RequestSideOptions {
  /** The server is about to shut down: no answer leaves the connection open for another request. */
  readonly isLeaving: () => boolean;
  readonly untaken: UntakenAnswers;
  /** How long a client may take nothing of a refusal. Milliseconds. */
  readonly untakenMs: number;
}

export class RequestSide implements ClientSide {
  readonly answer: ClientAnswer;
  readonly #options: RequestSideOptions;
  /** Undefined once it is refused: what an attacker does not read must not make us keep the headers it came with. */
  #open: { readonly exchange: Exchange; readonly request: ClientRequest } | undefined;
  #taken: (() => void) | undefined;

  constructor(exchange: Exchange, { request, answer }: Client, options: RequestSideOptions) {
    this.answer = answer;
    this.#options = options;
    this.#open = { exchange, request };
    exchange.attachClient(this);
    answer.onClose(exchange.facts.connection.answerOpened(answer, () => this.#closed()));
  }

  get gone(): boolean {
    return this.answer.gone;
  }

  get waiting(): number {
    return this.answer.waiting;
  }

  refuse(rejection: Rejection): void {
    if (this.#open === undefined) return;
    const { exchange, request } = this.#open;
    if (!exchange.clientOpen || this.answer.started) return;
    const body = Buffer.from(`${JSON.stringify(statusBody(rejection, exchange.auditId))}\n`);
    const headers = ['Content-Type', 'application/json', 'Content-Length', String(body.length)];
    headers.push('Audit-Id', exchange.auditId, ...rejectionHeaders(rejection));
    // A body that was announced and never came (`Expect: 100-continue` above all) would be read as the next request.
    if (request.leftover && rejection.retry !== 'elsewhere') headers.push('Connection', 'close');
    this.start(rejection.code, headers, { early: false });
    this.answer.end(body);
    this.#open = undefined;
    this.#taken = this.#options.untaken.add(this.answer, exchange.facts.connection, this.#options.untakenMs);
    exchange.refused(rejection);
  }

  start(status: number, headers: readonly string[], options: { readonly early: boolean }): void {
    const closes = this.#options.isLeaving() && valuesOf(headers, 'connection').length === 0;
    this.answer.start(status, closes ? [...headers, 'Connection', 'close'] : headers, options);
  }

  #closed(): void {
    this.#taken?.();
    this.#open?.exchange.clientClosed();
  }
}

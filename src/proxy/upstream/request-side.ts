/** The client's side of an ordinary request: how it is rejected, responded to and ended. */
import type { Client, ClientResponse, ClientRequest } from '../listener/client.ts';
import type { ClientSide, Exchange } from '../exchange.ts';
import { valuesOf } from '../raw-headers.ts';
import { rejectionBody, rejectionHeaders } from '../status.ts';
import type { Rejection } from '../status.ts';
import type { UnreadResponses } from '../listener/unread-responses.ts';

export interface RequestSideOptions {
  /** True if the server is about to shut down: then no response leaves the connection open for another request. */
  readonly isLeaving: () => boolean;
  readonly unread: UnreadResponses;
  /** How long a client may read nothing of a rejection. Milliseconds. */
  readonly unreadMs: number;
}

export class RequestSide implements ClientSide {
  readonly response: ClientResponse;
  readonly #options: RequestSideOptions;
  /**
   * Undefined once it is rejected: an attacker does not read the rejection, so that we keep the headers of the
   * request; so they are dropped.
   */
  #open: { readonly exchange: Exchange; readonly request: ClientRequest } | undefined;
  #unreadClosed: (() => void) | undefined;

  constructor(exchange: Exchange, { request, response }: Client, options: RequestSideOptions) {
    this.response = response;
    this.#options = options;
    this.#open = { exchange, request };
    exchange.attachClient(this);
    response.onClose(exchange.facts.connection.responseOpened(this, () => this.#closed()));
  }

  get gone(): boolean {
    return this.response.gone;
  }

  get waiting(): number {
    return this.response.waiting;
  }

  get finished(): boolean {
    return this.response.finished;
  }

  /** What is left of a response is to be read: one of ours, or all that an API server has sent, which is audited. */
  get awaitsClient(): boolean {
    return this.#open === undefined || this.response.finished;
  }

  get inFlight(): boolean {
    return this.#open?.exchange.inFlight === true;
  }

  get headLines(): number {
    return (this.#open?.request.raw.length ?? 0) / 2;
  }

  get upstream(): string | undefined {
    return this.#open?.exchange.upstreamEndpoints;
  }

  lateMs(nowMs: number): number {
    return this.#open?.exchange.lateMs(nowMs) ?? 0;
  }

  giveWay(): void {
    this.#open?.exchange.cut('memory_short');
  }

  discard(): void {
    this.response.discard();
  }

  whenSent(listener: () => void): void {
    // A rejection is ours, and may be sent after any cut.
    if (this.#open === undefined) listener();
    else this.response.whenSent(listener);
  }

  reject(rejection: Rejection): void {
    if (this.#open?.exchange.clientOpen === true) this.#respond(rejection, { isLast: false });
  }

  rejectCut(rejection: Rejection): void {
    this.#respond(rejection, { isLast: true });
  }

  #respond(rejection: Rejection, { isLast }: { readonly isLast: boolean }): void {
    if (this.#open === undefined || this.response.started || this.response.gone) return;
    const { exchange, request } = this.#open;
    const { type, body } = rejectionBody(exchange.facts.target, rejection, exchange.auditId);
    const headers = ['Content-Type', type, 'Content-Length', String(body.length)];
    headers.push('Audit-Id', exchange.auditId, ...rejectionHeaders(rejection));
    // A body that was announced and never came (`Expect: 100-continue` above all) would be read as the next
    // request.
    if ((isLast || request.leftover) && rejection.retry !== 'elsewhere') headers.push('Connection', 'close');
    this.start(rejection.code, headers, { early: false });
    this.response.end(body);
    this.#open = undefined;
    this.#unreadClosed = this.#options.unread.add(this.response, exchange.facts.connection, this.#options.unreadMs);
    exchange.rejected(rejection);
  }

  start(status: number, headers: readonly string[], options: { readonly early: boolean }): void {
    const closes = this.#options.isLeaving() && valuesOf(headers, 'connection').length === 0;
    this.response.start(status, closes ? [...headers, 'Connection', 'close'] : headers, options);
  }

  #closed(): void {
    this.#unreadClosed?.();
    this.#open?.exchange.clientClosed();
  }
}

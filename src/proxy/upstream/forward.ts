/**
 * Forwards one request and streams the response back: back pressure both ways, nothing buffered, a check before every
 * piece.
 */
import { setImmediate as turn } from 'node:timers/promises';
import type { CutReason } from '../../revocation/revocation.ts';
import type { Admitted } from '../admission/admission.ts';
import type { ClientRequest } from '../listener/client.ts';
import type { ApiListenerDeps, ProxyTiming } from '../dependencies.ts';
import type { Exchange, UpstreamSide } from '../exchange.ts';
import { ProxyAccountFilter } from './proxy-account.ts';
import type { ProxyAccountDenial, ProxyAccountHandler } from './proxy-account.ts';
import { isBelowProxy } from '../../core/request/request-info.ts';
import { bodyLength } from '../../core/http/upstream-headers.ts';
import { valuesOf } from '../raw-headers.ts';
import type { RequestSide } from './request-side.ts';
import { accessHint } from './access-hint.ts';
import { lineFormat, responseHead } from './response-head.ts';
import type { LineFormat } from './response-head.ts';
import { statusBody } from '../status.ts';
import type { Rejection } from '../status.ts';
import { credentialRejection, loginAddress } from '../rejections.ts';
import { uploadGaveWay, uploadStalled } from '../upstream-rejections.ts';
import { isConnectionLoss, UpstreamError, upstreamFailure } from './upstream-error.ts';
import { ClientDelay } from './client-delay.ts';
import { startingWith, uploadPieces } from './upload.ts';
import type { ClusterPools } from './pool.ts';
import type { Slab } from './slab.ts';
import type { RequestClient, UpstreamStream } from './transport.ts';

const NEWLINE = 0x0a;

export interface ForwardOptions {
  readonly deps: Pick<
    ApiListenerDeps,
    'publicUrl' | 'whyEnded' | 'thirdParties' | 'access' | 'clock' | 'metrics' | 'logger'
  >;
  readonly exchange: Exchange;
  readonly admitted: Admitted;
  readonly pools: ClusterPools;
  readonly timing: ProxyTiming;
  readonly request: ClientRequest;
  readonly client: RequestSide;
}

/** The API server's side of an exchange. From `start` until `#done` it owns the request at the transport. */
export class Forwarding implements ProxyAccountHandler, UpstreamSide, RequestClient {
  readonly #options: ForwardOptions;
  readonly #body: boolean;
  #stream: UpstreamStream | undefined;
  #tries = 0;
  /** A byte of it may have been sent. */
  #isSent = false;
  #started = false;
  #aborted = false;
  #done = false;
  #format: LineFormat | undefined;
  /** The last byte that was sent ended a line. */
  #betweenLines = false;
  #endAtNewline = false;
  /** The client has not taken what was written; a listener waits. */
  #waits = false;
  /** Undefined as long as the client was never waited for while the request had a connection. */
  #delay: ClientDelay | undefined;

  constructor(options: ForwardOptions) {
    this.#options = options;
    this.#body = options.request.hasBody;
  }

  start(): void {
    this.#options.exchange.attach(this);
    if (this.#body) void this.#upload();
    else this.#dispatch(undefined);
  }

  abort(): void {
    this.#aborted = true;
    if (this.#done) return;
    this.#stream?.abort();
    this.#finish();
  }

  clientGone(): void {
    this.abort();
  }

  get mayHaveExecuted(): boolean {
    return this.#isSent && !this.#repeatable;
  }

  lateMs(nowMs: number): number {
    return this.#delay?.lateMs(nowMs) ?? 0;
  }

  giveWay(): void {
    if (this.#done) return;
    if (this.#started) this.#options.exchange.cut('answer_not_taken');
    else this.#giveUpUpload(uploadGaveWay());
  }

  /** A paused response has still to be read, whether or not its connection has gone. */
  get gone(): boolean {
    return this.#stream?.gone === true && !this.#stream.paused;
  }

  get endpoints(): string | undefined {
    return this.#stream?.endpoints;
  }

  sendTerminationNotice(reason: CutReason): void {
    const { client, deps, exchange } = this.#options;
    // What waits is the API server's, and would leave with a write of ours.
    if (this.#format === undefined || !client.response.idle) return;
    const rejection = credentialRejection(reason, deps, exchange.caller?.credential);
    if (this.#format === 'log') client.response.writeNow(terminationLine(rejection, this.#betweenLines));
    else if (this.#betweenLines) client.response.writeNow(terminationEvent(rejection));
  }

  endCleanly(): void {
    if (this.#options.admitted.info.verb !== 'watch' || !this.#started || this.#done) return;
    if (this.#betweenLines) this.#endWatch();
    else this.#endAtNewline = true;
  }

  /** The request may have waited for a connection, and have been cut meanwhile. */
  maySend(): boolean {
    if (this.#done || this.#aborted) return false;
    if (this.#options.exchange.mayPass()) return (this.#isSent = true);
    this.#finish();
    return false;
  }

  onHead(status: number, raw: readonly string[]): void {
    if (this.#done || !this.#options.exchange.mayPass()) return;
    const { deps, exchange, admitted, pools, client } = this.#options;
    const nowSeconds = deps.clock.nowMs() / 1000;
    const head = responseHead(status, raw, {
      admitted,
      origin: pools.origin,
      auditId: exchange.auditId,
      publicUrl: loginAddress(deps, exchange.caller?.credential.client),
      hint: status === 403 ? accessHint(deps, exchange.denied, admitted) : undefined,
      nowSeconds,
    });
    this.#started = true;
    if (!head.ok) {
      this.#stream?.abort();
      this.#finish();
      // An attacker's pod redirects away as often as it likes, and would alert the operator to a healthy API server.
      if (!isBelowProxy(admitted.info)) deps.metrics.upstreamError(admitted.cluster.name, head.reason.auditReason);
      client.reject(head.reason);
      return;
    }
    exchange.audit.responseStarted(status);
    this.#format = lineFormat(admitted.info, raw);
    this.#betweenLines = this.#format !== undefined;
    const early = admitted.info.longRunning || valuesOf(raw, 'content-length').length === 0;
    client.start(status, head.value, { early });
  }

  onPiece(piece: Buffer, slab: Slab | undefined): void {
    if (this.#done || !this.#options.exchange.mayPass()) return;
    const { client, exchange } = this.#options;
    exchange.audit.bytesOut += piece.length;
    const hasSpace = client.response.write(piece, slab?.hold());
    if (this.#format !== undefined) this.#noteLine(piece);
    // What was read with this piece still comes; one listener resumes for all of it.
    if (hasSpace || this.#done || this.#waits) return;
    const stream = this.#stream;
    const delay = (this.#delay ??= this.#newDelay());
    this.#waits = true;
    delay.waits();
    stream?.pause();
    client.response.onDrain(() => {
      this.#waits = false;
      delay.goesOn();
      stream?.resume();
    });
  }

  onEnd(): void {
    if (this.#done) return;
    this.#endResponse();
  }

  /** Called in place of the whole response, of which nothing has come here. */
  onProxyAccountDenied({ rejection, message }: ProxyAccountDenial): void {
    if (this.#done) return;
    const { deps, admitted, exchange, client } = this.#options;
    this.#finish();
    if (message !== undefined) {
      deps.metrics.upstreamError(admitted.cluster.name, rejection.auditReason);
      deps.logger.warn(
        { cluster: admitted.cluster.name, auditId: exchange.auditId, said: message },
        'own account denied; the cluster does not let the account of Portcullis impersonate this',
      );
    }
    client.reject(rejection);
  }

  onError(error: Error): void {
    if (this.#done) return;
    const { exchange, client, deps, admitted } = this.#options;
    if (this.#mayRetry(error)) return this.#retry();
    this.#finish();
    // A client that breaks off its upload fails the request too, and that is no error of the API server.
    if (this.#aborted || !exchange.clientOpen || client.response.gone) return;
    const failure = upstreamFailure(error, { repeatable: this.#repeatable });
    deps.metrics.upstreamError(admitted.cluster.name, failure.kind);
    deps.logger.warn(
      { err: error, cluster: admitted.cluster.name, auditId: exchange.auditId },
      'API server failed; the client got an error or an incomplete response',
    );
    // Half a response must not look like a whole one.
    if (this.#started) client.response.reset();
    else client.reject(failure.rejection);
  }

  /**
   * An attacker announces bodies and sends none, each of which would hold a connection to the API server that no one
   * else can use. So one is taken when the first piece is there; and that a turn later: if the piece is followed by
   * what breaks the body, the request has ended by then, and the API server sees nothing of it.
   */
  async #upload(): Promise<void> {
    const { request, admitted, timing, exchange } = this.#options;
    const limitMs = admitted.info.longRunning ? 0 : timing.uploadMs;
    const onLate = (): void => this.#giveUpUpload(uploadStalled());
    const delay = {
      waits: () => this.#delay?.waits(),
      goesOn: () => this.#delay?.goesOn(),
    };
    const pieces = uploadPieces(request.pieces(), { exchange, limitMs, onLate, delay });
    try {
      const first = await pieces.next();
      await turn();
      this.#delay = this.#newDelay();
      if (!this.#done) this.#dispatch(startingWith(first, pieces));
    } catch (error) {
      this.onError(new UpstreamError('internal', 'a body that broke off', error));
    }
  }

  /** Half of the body has perhaps been sent. */
  #giveUpUpload(rejection: Rejection): void {
    if (this.#done) return;
    this.#stream?.abort();
    this.#finish();
    const { client } = this.#options;
    if (this.#started) client.response.reset();
    else client.reject(rejection);
  }

  #dispatch(body: AsyncIterable<Buffer> | undefined): void {
    const { admitted, pools, timing, exchange } = this.#options;
    const { longRunning } = admitted.info;
    this.#tries += 1;
    const transport = longRunning ? pools.streams : pools.short;
    this.#stream = transport.send(
      {
        method: exchange.facts.method,
        target: admitted.target,
        headers: admitted.headers,
        body,
        bodyLength: this.#body ? bodyLength(exchange.facts.raw) : undefined,
        headMs: longRunning ? 0 : timing.responseMs,
        pieceMs: longRunning ? 0 : timing.bodyMs,
        isRead: this.#repeatable,
        account: admitted.user,
        client: this,
      },
      new ProxyAccountFilter(this, admitted),
    );
  }

  #newDelay(): ClientDelay {
    const { client, exchange } = this.#options;
    return new ClientDelay(() => exchange.audit.bytesIn + exchange.audit.bytesOut - client.waiting);
  }

  /**
   * True once, if a repetition is harmless and nothing came back: the API server had just closed a keep-alive
   * connection.
   */
  #mayRetry(error: Error): boolean {
    return this.#repeatable && !this.#started && this.#tries === 1 && isConnectionLoss(error);
  }

  /**
   * True if the request changes nothing, so that a second attempt does no harm. A program in a pod may do anything at a
   * GET, and would do it twice for one audit event.
   */
  get #repeatable(): boolean {
    const { exchange, admitted } = this.#options;
    const { method } = exchange.facts;
    return (method === 'GET' || method === 'HEAD') && !this.#body && !isBelowProxy(admitted.info);
  }

  #retry(): void {
    if (this.#aborted || !this.#options.exchange.mayPass()) this.#finish();
    else this.#dispatch(undefined);
  }

  #noteLine(chunk: Buffer): void {
    this.#betweenLines = chunk.at(-1) === NEWLINE;
    if (this.#endAtNewline && this.#betweenLines) this.#endWatch();
  }

  /**
   * Ends a watch. To the client it looks like one that has reached its time limit, so it opens another one,
   * elsewhere.
   */
  #endWatch(): void {
    this.#stream?.abort();
    this.#endResponse();
  }

  #endResponse(): void {
    this.#finish();
    this.#options.client.response.end();
    this.#options.exchange.responded();
  }

  #finish(): void {
    if (this.#done) return;
    this.#done = true;
    this.#options.exchange.upstreamClosed();
  }
}

/** The last one: a cut writes the same to each of thousands of watches. */
let lastEvent: { readonly message: string; readonly auditReason: string; readonly bytes: Buffer } | undefined;

/** @returns the last event of a watch that is cut, as a line of JSON */
function terminationEvent(rejection: Rejection): Buffer {
  const { message, auditReason } = rejection;
  if (lastEvent?.message === message && lastEvent.auditReason === auditReason) return lastEvent.bytes;
  const bytes = Buffer.from(`${JSON.stringify({ type: 'ERROR', object: statusBody(rejection) })}\n`);
  lastEvent = { message, auditReason, bytes };
  return bytes;
}

/** @returns the last line of a log that is cut, on a line of its own */
const terminationLine = ({ message }: Rejection, betweenLines: boolean): Buffer =>
  Buffer.from(`${betweenLines ? '' : '\n'}portcullis: ${message}\n`);

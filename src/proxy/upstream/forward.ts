/**
 * Forwards one request by undici and streams the answer back: back pressure both ways, nothing buffered, a check before every piece.
 */
import type { Socket } from 'node:net';
import type { Readable } from 'node:stream';
import type { Dispatcher } from 'undici';
import type { CutReason } from '../../revocation/revocation.ts';
import type { Admitted } from '../admission/admission.ts';
import type { ClientRequest } from '../listener/client.ts';
import type { ApiListenerDeps, ProxyTiming } from '../dependencies.ts';
import type { Exchange, UpstreamSide } from '../exchange.ts';
import { OwnAccountFilter } from './proxy-account.ts';
import type { OwnAccountDenial } from './proxy-account.ts';
import { flatHeaders, valuesOf } from '../raw-headers.ts';
import { checkedBody } from './request-body.ts';
import type { RequestSide } from './request-side.ts';
import { isJsonLines, responseHead } from './response-head.ts';
import { withoutStacks } from '../listener/stackless.ts';
import { statusBody } from '../status.ts';
import { credentialRejection, loginAddress } from '../rejections.ts';
import { isConnectionLoss, upstreamFault } from './upstream-error.ts';
import type { ClusterPools } from './pool.ts';

const NEWLINE = 0x0a;
/** One for all: an error costs its stack, and a cut of thousands would make thousands at once. */
const ABORTED = new Error('aborted');

export interface ForwardOptions {
  readonly deps: Pick<ApiListenerDeps, 'publicUrl' | 'whyEnded' | 'thirdParties' | 'clock' | 'metrics' | 'logger'>;
  readonly exchange: Exchange;
  readonly admitted: Admitted;
  readonly pools: ClusterPools;
  readonly timing: ProxyTiming;
  readonly request: ClientRequest;
  readonly client: RequestSide;
}

/** The exchange's API server side. From `start` until `#done` it owns the request at undici. */
export class Forwarding implements Dispatcher.DispatchHandler, UpstreamSide {
  readonly #options: ForwardOptions;
  readonly #body: boolean;
  #controller: Dispatcher.DispatchController | undefined;
  /** Gives the connection's TCP socket; only asked in `onRequestStart`. */
  #connection: (() => Socket | undefined) | undefined;
  /** The TCP socket that carries the request now. Cleared with its end, because the pool then gives it to somebody else. */
  #raw: Socket | undefined;
  #tries = 0;
  #started = false;
  #aborted = false;
  #done = false;
  /** The answer is JSON documents line by line: a watch in protobuf may end in the byte of a newline at any place. */
  #lines = false;
  /** The last byte that was sent ended a line. */
  #betweenLines = false;
  #endAtNewline = false;

  constructor(options: ForwardOptions) {
    this.#options = options;
    this.#body = options.request.hasBody;
  }

  start(): void {
    this.#options.exchange.attach(this);
    this.#dispatch();
  }

  abort(): void {
    this.#aborted = true;
    if (!this.#done) this.#reset();
  }

  clientGone(): void {
    this.abort();
  }

  /** What is paused has still to be read, whether or not its connection has gone. */
  get gone(): boolean {
    return this.#raw?.destroyed === true && this.#controller?.paused !== true;
  }

  farewell(reason: CutReason): void {
    const { client, deps, admitted, exchange } = this.#options;
    if (admitted.info.verb !== 'watch' || !this.#betweenLines || !client.answer.idle) return;
    const object = statusBody(credentialRejection(reason, deps, exchange.caller?.credential));
    client.answer.writeNow(Buffer.from(`${JSON.stringify({ type: 'ERROR', object })}\n`));
  }

  endCleanly(): void {
    if (this.#options.admitted.info.verb !== 'watch' || !this.#started || this.#done) return;
    if (this.#betweenLines) this.#endWatch();
    else this.#endAtNewline = true;
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    this.#raw = this.#connection?.();
    // It may have waited for a connection, and been cut meanwhile.
    if (this.#aborted || !this.#options.exchange.mayPass()) controller.abort(ABORTED);
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number): void {
    if (status < 200 || !this.#options.exchange.mayPass()) return;
    const { deps, exchange, admitted, pools, client } = this.#options;
    const raw = flatHeaders(controller.rawHeaders);
    const now = deps.clock.now() / 1000;
    const head = responseHead(status, raw, {
      admitted,
      origin: pools.origin,
      auditId: exchange.auditId,
      publicUrl: loginAddress(deps, exchange.caller?.credential.client),
      now,
    });
    this.#started = true;
    if (!head.ok) {
      this.#finish();
      deps.metrics.upstreamError(admitted.cluster.name, head.reason.auditReason);
      controller.abort(new Error('an answer that is not relayed'));
      client.refuse(head.reason);
      return;
    }
    exchange.record.responseStarted(status);
    this.#lines = admitted.info.verb === 'watch' && isJsonLines(raw);
    this.#betweenLines = this.#lines;
    const early = admitted.info.longRunning || valuesOf(raw, 'content-length').length === 0;
    client.start(status, head.value, { early });
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#done || !this.#options.exchange.mayPass()) return;
    const { client, exchange, admitted } = this.#options;
    exchange.record.bytesOut += chunk.length;
    const room = client.answer.write(chunk);
    if (admitted.info.verb === 'watch') this.#noteLine(chunk);
    if (room || this.#done) return;
    controller.pause();
    client.answer.onDrain(() => controller.resume());
  }

  onResponseEnd(): void {
    if (this.#done) return;
    this.#endAnswer();
  }

  /** In place of the whole answer, of which nothing has come here. */
  onOwnAccountDenied({ rejection, said }: OwnAccountDenial): void {
    if (this.#done) return;
    const { deps, admitted, exchange, client } = this.#options;
    this.#finish();
    deps.metrics.upstreamError(admitted.cluster.name, rejection.auditReason);
    deps.logger.warn({ cluster: admitted.cluster.name, auditId: exchange.auditId, said }, 'own account denied');
    client.refuse(rejection);
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    if (this.#done) return;
    const { exchange, client, deps, admitted } = this.#options;
    if (this.#mayRetry(error)) {
      // Not from within undici's own handling of the loss.
      queueMicrotask(() => this.#retry());
      return;
    }
    this.#finish();
    // A client that broke off its upload fails the request too, and is no fault of the API server's.
    if (this.#aborted || !exchange.clientOpen || client.answer.gone) return;
    const fault = upstreamFault(error, { repeatable: this.#repeatable });
    deps.metrics.upstreamError(admitted.cluster.name, fault.kind);
    deps.logger.warn(
      { err: error, cluster: admitted.cluster.name, auditId: exchange.auditId },
      'the API server failed',
    );
    // Half an answer must not look like a whole one.
    if (this.#started) client.answer.reset();
    else client.refuse(fault.rejection);
  }

  #dispatch(): void {
    const { admitted, pools, timing, request, exchange } = this.#options;
    const { longRunning } = admitted.info;
    this.#tries += 1;
    this.#controller = undefined;
    this.#raw = undefined;
    const body = this.#body ? checkedBody(request, exchange) : null;
    pools.dispatch(
      {
        method: exchange.facts.method,
        path: admitted.target,
        headers: ['Host', pools.authority, ...admitted.headers],
        // undici takes any async iterable (docs: Dispatcher.dispatch); its types name only streams.
        body: body as unknown as Readable | null,
        headersTimeout: longRunning ? 0 : timing.answerMs,
        bodyTimeout: longRunning ? 0 : timing.bodyMs,
        onConnection: (socket) => {
          this.#connection = socket;
        },
      },
      new OwnAccountFilter(this, admitted),
      longRunning,
    );
  }

  /** Once, where repeating is harmless and nothing came back: a keep-alive connection that the API server had just closed. */
  #mayRetry(error: Error): boolean {
    return this.#repeatable && !this.#started && this.#tries === 1 && isConnectionLoss(error);
  }

  /** Changes nothing, so that a second time does no harm. */
  get #repeatable(): boolean {
    const { method } = this.#options.exchange.facts;
    return (method === 'GET' || method === 'HEAD') && !this.#body;
  }

  #retry(): void {
    if (this.#aborted || !this.#options.exchange.mayPass()) this.#finish();
    else this.#dispatch();
  }

  #noteLine(chunk: Buffer): void {
    this.#betweenLines = this.#lines && chunk.at(-1) === NEWLINE;
    if (this.#endAtNewline && this.#betweenLines) this.#endWatch();
  }

  /** To the client it looks like a watch that has reached its time limit: it opens another one, elsewhere. */
  #endWatch(): void {
    this.#reset();
    this.#endAnswer();
  }

  #endAnswer(): void {
    this.#finish();
    this.#options.client.answer.end();
    this.#options.exchange.answered();
  }

  /**
   * Resets the connection at the end of this turn. Not within it: a check that fails in the middle of an answer is asked by undici's parser,
   * which does not survive the loss of its socket from within. No byte passes meanwhile, because the exchange is marked already.
   */
  #reset(): void {
    const raw = this.#raw;
    // Without a controller it still waits for a connection; `onRequestStart` finds the flag.
    const controller = this.#controller;
    queueMicrotask(() => {
      raw?.resetAndDestroy();
      // undici makes an error of its own for the TLS socket.
      withoutStacks(() => controller?.abort(ABORTED));
      // Whatever undici makes of it, nothing more comes.
      if (controller !== undefined && !this.#done) this.#finish();
    });
  }

  #finish(): void {
    this.#done = true;
    this.#raw = undefined;
    this.#options.exchange.upstreamClosed();
  }
}

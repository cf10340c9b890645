/**
 * Forwards one request with undici and streams the response back: back pressure both ways, nothing buffered, a
 * check before every piece.
 *
 * In this folder:
 * - `request-side.ts`, `response-head.ts`: the client's side of a request, and the head of its response.
 * - `proxy-account.ts`: a 403 about the proxy's own account. `upstream-error.ts`: failures of an API server.
 * - `pool.ts`, `stream-connections.ts`, `connect.ts`: connections for short and for long-running requests.
 * - `cluster-health.ts`: checks whether an API server responds.
 */
import type { Socket } from 'node:net';
import type { Readable } from 'node:stream';
import type { Dispatcher } from 'undici';
import type { CutReason } from '../../revocation/revocation.ts';
import type { Admitted } from '../admission/admission.ts';
import type { ClientRequest } from '../listener/client.ts';
import type { ApiListenerDeps, ProxyTiming } from '../dependencies.ts';
import type { Exchange, UpstreamSide } from '../exchange.ts';
import { ProxyAccountFilter } from './proxy-account.ts';
import type { ProxyAccountDenial } from './proxy-account.ts';
import { flatHeaders, valuesOf } from '../raw-headers.ts';
import type { RequestSide } from './request-side.ts';
import { isJsonLines, responseHead } from './response-head.ts';
import { withoutStacks } from '../listener/stackless.ts';
import { statusBody } from '../status.ts';
import { credentialRejection, loginAddress } from '../rejections.ts';
import { isConnectionLoss, upstreamFailure } from './upstream-error.ts';
import type { ClusterPools } from './pool.ts';

const NEWLINE = 0x0a;
/** One for all: an error costs its stack, and a cut of thousands would create thousands at once. */
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

/** The API server's side of an exchange. From `start` until `#done` it owns the request at undici. */
export class Forwarding implements Dispatcher.DispatchHandler, UpstreamSide {
  readonly #options: ForwardOptions;
  readonly #body: boolean;
  #controller: Dispatcher.DispatchController | undefined;
  /** Returns the connection's TCP socket; only called in `onRequestStart`. */
  #connection: (() => Socket | undefined) | undefined;
  /**
   * The TCP socket that carries the request now. Cleared with its end, because the pool then assigns it to another
   * request.
   */
  #raw: Socket | undefined;
  #tries = 0;
  #started = false;
  #aborted = false;
  #done = false;
  /**
   * True if the response is JSON documents line by line. A watch in protobuf may contain the byte of a newline
   * anywhere.
   */
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

  /** A paused response has still to be read, whether or not its connection has gone. */
  get gone(): boolean {
    return this.#raw?.destroyed === true && this.#controller?.paused !== true;
  }

  sendTerminationNotice(reason: CutReason): void {
    const { client, deps, admitted, exchange } = this.#options;
    if (admitted.info.verb !== 'watch' || !this.#betweenLines || !client.response.idle) return;
    const object = statusBody(credentialRejection(reason, deps, exchange.caller?.credential));
    client.response.writeNow(Buffer.from(`${JSON.stringify({ type: 'ERROR', object })}\n`));
  }

  endCleanly(): void {
    if (this.#options.admitted.info.verb !== 'watch' || !this.#started || this.#done) return;
    if (this.#betweenLines) this.#endWatch();
    else this.#endAtNewline = true;
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    this.#raw = this.#connection?.();
    // The request may have waited for a connection, and have been cut meanwhile.
    if (this.#aborted || !this.#options.exchange.mayPass()) controller.abort(ABORTED);
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number): void {
    if (status < 200 || !this.#options.exchange.mayPass()) return;
    const { deps, exchange, admitted, pools, client } = this.#options;
    const raw = flatHeaders(controller.rawHeaders);
    const nowSeconds = deps.clock.nowMs() / 1000;
    const head = responseHead(status, raw, {
      admitted,
      origin: pools.origin,
      auditId: exchange.auditId,
      publicUrl: loginAddress(deps, exchange.caller?.credential.client),
      nowSeconds,
    });
    this.#started = true;
    if (!head.ok) {
      this.#finish();
      deps.metrics.upstreamError(admitted.cluster.name, head.reason.auditReason);
      controller.abort(new Error('a response that is not relayed'));
      client.reject(head.reason);
      return;
    }
    exchange.audit.responseStarted(status);
    this.#lines = admitted.info.verb === 'watch' && isJsonLines(raw);
    this.#betweenLines = this.#lines;
    const early = admitted.info.longRunning || valuesOf(raw, 'content-length').length === 0;
    client.start(status, head.value, { early });
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#done || !this.#options.exchange.mayPass()) return;
    const { client, exchange, admitted } = this.#options;
    exchange.audit.bytesOut += chunk.length;
    const hasSpace = client.response.write(chunk);
    if (admitted.info.verb === 'watch') this.#noteLine(chunk);
    if (hasSpace || this.#done) return;
    controller.pause();
    client.response.onDrain(() => controller.resume());
  }

  onResponseEnd(): void {
    if (this.#done) return;
    this.#endResponse();
  }

  /** Called in place of the whole response, of which nothing has come here. */
  onProxyAccountDenied({ rejection, message }: ProxyAccountDenial): void {
    if (this.#done) return;
    const { deps, admitted, exchange, client } = this.#options;
    this.#finish();
    deps.metrics.upstreamError(admitted.cluster.name, rejection.auditReason);
    deps.logger.warn(
      { cluster: admitted.cluster.name, auditId: exchange.auditId, said: message },
      'own account denied',
    );
    client.reject(rejection);
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
    // A client that breaks off its upload fails the request too, and that is no error of the API server.
    if (this.#aborted || !exchange.clientOpen || client.response.gone) return;
    const failure = upstreamFailure(error, { repeatable: this.#repeatable });
    deps.metrics.upstreamError(admitted.cluster.name, failure.kind);
    deps.logger.warn({ err: error, cluster: admitted.cluster.name, auditId: exchange.auditId }, 'API server failed');
    // Half a response must not look like a whole one.
    if (this.#started) client.response.reset();
    else client.reject(failure.rejection);
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
        headers: ['Host', pools.hostHeader, ...admitted.headers],
        // undici accepts any async iterable (docs: Dispatcher.dispatch); its types name only streams.
        body: body as unknown as Readable | null,
        headersTimeout: longRunning ? 0 : timing.responseMs,
        bodyTimeout: longRunning ? 0 : timing.bodyMs,
        onConnection: (socket) => {
          this.#connection = socket;
        },
      },
      new ProxyAccountFilter(this, admitted),
      longRunning,
    );
  }

  /**
   * True once, if a repetition is harmless and nothing came back: the API server had just closed a keep-alive
   * connection.
   */
  #mayRetry(error: Error): boolean {
    return this.#repeatable && !this.#started && this.#tries === 1 && isConnectionLoss(error);
  }

  /** True if the request changes nothing, so that a second attempt does no harm. */
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

  /**
   * Ends a watch. To the client it looks like one that has reached its time limit, so it opens another one,
   * elsewhere.
   */
  #endWatch(): void {
    this.#reset();
    this.#endResponse();
  }

  #endResponse(): void {
    this.#finish();
    this.#options.client.response.end();
    this.#options.exchange.responded();
  }

  /**
   * Resets the connection at the end of this turn. Not within it: a check that fails in the middle of a response
   * runs within undici's parser, which does not survive the loss of its socket there. No byte passes meanwhile,
   * because the exchange is marked already.
   */
  #reset(): void {
    const raw = this.#raw;
    // Without a controller it still waits for a connection; `onRequestStart` finds the flag.
    const controller = this.#controller;
    queueMicrotask(() => {
      raw?.resetAndDestroy();
      // undici creates its own error for the TLS socket.
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

/**
 * Passes the client's body on piece by piece, with a check before each. The body is pulled, so nothing is read that the
 * API server cannot take, and the check is between the buffer and the write: a stream in between would hold pieces
 * that were checked long before they are sent.
 */
async function* checkedBody(request: ClientRequest, exchange: Exchange): AsyncGenerator<Buffer, void> {
  for await (const chunk of request.pieces()) {
    if (!exchange.mayPass()) throw new Error('the request was cut');
    exchange.audit.bytesIn += chunk.length;
    yield chunk;
  }
}

/**
 * Upgrades: WebSocket (GET) and SPDY/3.1 (GET or POST), tunnelled raw after a 101. Authenticated by the same code
 * as every request.
 */
import { request as httpRequest } from 'node:http';
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { flatHeaders } from '../../core/http/upstream-headers.ts';
import { no, ok } from '../../core/result.ts';
import type { Result } from '../../core/result.ts';
import type { CutReason } from '../../revocation/revocation.ts';
import { timeLimit } from '../../timing/timing.ts';
import type { Admitted } from '../admission/admission.ts';
import type { ApiListenerDeps, ProxyTiming } from '../dependencies.ts';
import type { ClientSide, Exchange, UpstreamSide } from '../exchange.ts';
import { HeldForbidden } from '../upstream/proxy-account.ts';
import { valuesOf } from '../raw-headers.ts';
import { endHandedOver, endWithStatus, rawHead } from '../listener/raw-response.ts';
import { responseHead } from '../upstream/response-head.ts';
import { credentialRejection, loginAddress, malformed } from '../rejections.ts';
import type { Rejection } from '../status.ts';
import { joinSockets } from './tunnel.ts';
import { connectUpstream } from '../upstream/connect.ts';
import type { UpstreamLink } from '../upstream/connect.ts';
import { UpstreamError, upstreamFailure } from '../upstream/upstream-error.ts';
import type { ClusterPools } from '../upstream/pool.ts';
import { closeFrame, FrameBoundary } from './websocket-frames.ts';

/**
 * The protocols that are tunnelled, and the methods by which they are requested. Everything else, h2c above all, is
 * rejected.
 */
const METHODS: ReadonlyMap<string, readonly string[]> = new Map([
  ['websocket', ['GET']],
  ['spdy/3.1', ['GET', 'POST']],
]);

/** @returns the protocol in lower case, or why the proxy does not make this upgrade */
export function upgradeProtocol(method: string, raw: readonly string[]): Result<string, Rejection> {
  const offered = valuesOf(raw, 'upgrade').join(',').toLowerCase().trim();
  if (METHODS.get(offered)?.includes(method) !== true) {
    return no(malformed('only WebSocket and SPDY/3.1 upgrades are allowed', 'upgrade_unsupported'));
  }
  // The bytes after the head belong to the new protocol. Only one of the two sides would read a body before them as
  // such.
  const bodied =
    valuesOf(raw, 'transfer-encoding').length > 0 || valuesOf(raw, 'content-length').some((n) => n !== '0');
  return bodied ? no(malformed('an upgrade has no body', 'upgrade_with_body')) : ok(offered);
}

/** Status codes of a close frame (RFC 6455 §7.4.1, and IANA's registry of them). */
const POLICY_VIOLATION = 1008;
/** For a cut that is about this replica and not about the user. */
const TRY_AGAIN_LATER = 1013;

/** The client's side while there is no response. */
export class UpgradeSide implements ClientSide {
  readonly #exchange: Exchange;
  readonly #socket: Duplex;
  #responded = false;

  constructor(exchange: Exchange, socket: Duplex) {
    this.#exchange = exchange;
    this.#socket = socket;
    exchange.attachClient(this);
    socket.on(
      'close',
      exchange.facts.connection.responseOpened(this, () => exchange.clientClosed()),
    );
    // `close` follows; a client that resets is no error.
    socket.on('error', () => undefined);
  }

  reject(rejection: Rejection): void {
    if (this.#responded || !this.#exchange.clientOpen) return;
    this.#responded = true;
    const { auditId, facts } = this.#exchange;
    endWithStatus(this.#socket, rejection, { auditId, connection: facts.connection });
    this.#exchange.rejected(rejection);
  }

  /**
   * Rejects where nothing can be written, because responses to earlier requests are still to come on the same
   * connection.
   */
  rejectAndReset(rejection: Rejection): void {
    this.#responded = true;
    this.#exchange.rejected(rejection);
    this.#exchange.facts.connection.reset();
  }

  get gone(): boolean {
    return this.#socket.destroyed;
  }

  get finished(): boolean {
    return this.#socket.writableEnded;
  }

  get waiting(): number {
    return this.#socket.writableLength;
  }

  responded(): void {
    this.#responded = true;
  }
}

export interface UpgradeOptions {
  readonly deps: Pick<ApiListenerDeps, 'publicUrl' | 'whyEnded' | 'thirdParties' | 'clock' | 'metrics' | 'logger'>;
  readonly exchange: Exchange;
  readonly admitted: Admitted;
  readonly protocol: string;
  readonly pools: Pick<ClusterPools, 'origin' | 'hostHeader' | 'address'>;
  readonly timing: ProxyTiming;
  readonly client: UpgradeSide;
  readonly socket: Duplex;
  readonly head: Buffer;
}

export class UpgradeForwarding implements UpstreamSide {
  readonly #options: UpgradeOptions;
  readonly #frames: FrameBoundary | undefined;
  #giveUp: (() => void) | undefined;
  #link: UpstreamLink | undefined;
  #stopTimer: (() => void) | undefined;
  /** The head of the response has gone to the client. */
  #responded = false;
  #tunnelled = false;
  #aborted = false;
  #closed = false;

  constructor(options: UpgradeOptions) {
    this.#options = options;
    this.#frames = options.protocol === 'websocket' ? new FrameBoundary() : undefined;
  }

  start(): void {
    const { exchange, pools, timing } = this.#options;
    exchange.attach(this);
    this.#stopTimer = timeLimit(timing.upgradeMs, () => this.#fail(upgradeError('timeout')));
    this.#giveUp = connectUpstream(pools.address, (error, link) => {
      if (link === undefined) this.#fail(error ?? upgradeError('reset'));
      else this.#sendRequest(link);
    });
  }

  abort(): void {
    this.#aborted = true;
    this.#giveUp?.();
    this.#link?.reset();
    this.#close();
  }

  clientGone(): void {
    // A tunnel passes on the last bytes of the client, and ends by itself.
    if (!this.#tunnelled) this.abort();
  }

  get gone(): boolean {
    return this.#link?.tls.destroyed === true;
  }

  sendTerminationNotice(reason: CutReason): void {
    const { socket, deps, exchange } = this.#options;
    if (!this.#tunnelled || this.#frames?.open !== true || socket.writableLength > 0 || socket.writableEnded) return;
    const { code, message } = credentialRejection(reason, deps, exchange.caller?.credential);
    socket.write(closeFrame(code === 503 ? TRY_AGAIN_LATER : POLICY_VIOLATION, message));
  }

  #sendRequest(link: UpstreamLink): void {
    const { exchange, admitted, pools } = this.#options;
    this.#link = link;
    link.tls.on('error', (error) => this.#fail(error));
    link.tls.on('close', () => this.#fail(upgradeError('reset')));
    // Connecting took time.
    if (!exchange.mayPass()) return;
    const { method } = exchange.facts;
    const headers = ['Host', pools.hostHeader, ...flatHeaders(admitted.headers)];
    // Explicit, because Node would otherwise send a POST chunked, and the end of that body would be the tunnel's
    // first bytes.
    if (method !== 'GET') headers.push('Content-Length', '0');
    const request = httpRequest({ method, path: admitted.target, headers, createConnection: () => link.tls });
    request.on('upgrade', (response, _socket, head) => this.#switch(response, head));
    request.on('response', (response) => this.#judge(response));
    request.on('error', (error) => this.#fail(error));
    request.end();
  }

  #switch(response: IncomingMessage, upstreamHead: Buffer): void {
    const { exchange, socket, head, protocol, client } = this.#options;
    this.#stopTimer?.();
    const link = this.#link;
    if (link === undefined || !exchange.mayPass()) return;
    if (response.headers.upgrade?.toLowerCase() !== protocol) {
      this.#fail(upgradeError('protocol'));
      return;
    }
    const headers = this.#head(101, response);
    if (headers === undefined) return;
    client.responded();
    exchange.audit.responseStarted(101);
    this.#responded = true;
    this.#tunnelled = true;
    socket.write(rawHead(101, [...headers, 'Connection', 'Upgrade', 'Upgrade', response.headers.upgrade]));
    joinSockets({
      client: socket,
      upstream: link.tls,
      clientHead: head,
      upstreamHead,
      mayPass: () => exchange.mayPass(),
      resetClient: () => exchange.facts.connection.reset(),
      resetUpstream: () => link.reset(),
      fromClient: (chunk) => void (exchange.audit.bytesIn += chunk.length),
      fromUpstream: (chunk) => {
        exchange.audit.bytesOut += chunk.length;
        this.#frames?.take(chunk);
      },
    });
  }

  /** Handles anything but a 101: an ordinary response, or one about the proxy's own account. */
  #judge(response: IncomingMessage): void {
    const { deps, exchange, admitted } = this.#options;
    const held = HeldForbidden.of(response.statusCode ?? 502, response.rawHeaders, admitted);
    if (held === undefined) return this.#relay(response);
    const relay = (): void => {
      response.off('data', take).off('end', end).off('error', fail);
      this.#relay(response, held.chunks);
    };
    const take = (chunk: Buffer): void => void (held.take(chunk) || relay());
    const end = (): void => {
      const denial = held.denial();
      if (denial === undefined) return relay();
      deps.logger.warn(
        { cluster: admitted.cluster.name, auditId: exchange.auditId, said: denial.message },
        'own account denied; the cluster does not let the account of Portcullis impersonate this',
      );
      this.#reject(denial.rejection);
    };
    const fail = (error: Error): void => this.#fail(error);
    response.on('data', take).on('end', end).on('error', fail);
  }

  /**
   * Relays a response, after which the connection ends.
   * @param begun the part of its body that has been read already
   */
  #relay(response: IncomingMessage, alreadyRead: readonly Buffer[] = []): void {
    const { exchange, socket, client } = this.#options;
    this.#stopTimer?.();
    const code = response.statusCode ?? 502;
    if (!exchange.mayPass()) return;
    const headers = this.#head(code, response);
    if (headers === undefined) return;
    client.responded();
    exchange.audit.responseStarted(code);
    this.#responded = true;
    socket.write(rawHead(code, [...headers, 'Connection', 'close']));
    const pass = (chunk: Buffer): void => {
      if (!exchange.mayPass()) return;
      exchange.audit.bytesOut += chunk.length;
      if (!socket.write(chunk)) response.pause();
    };
    const end = (): void => {
      endHandedOver(socket, exchange.facts.connection);
      exchange.responded();
    };
    for (const chunk of alreadyRead) pass(chunk);
    if (response.readableEnded) return end();
    response.on('data', pass);
    socket.on('drain', () => response.resume());
    // There is no new protocol for the client's bytes, and a client that leaves meanwhile must be noticed.
    socket.resume();
    response.on('end', end);
    // Half a response must not look like a whole one.
    response.on('error', () => exchange.facts.connection.reset());
  }

  #head(code: number, response: IncomingMessage): string[] | undefined {
    const { deps, exchange, admitted, pools } = this.#options;
    const publicUrl = loginAddress(deps, exchange.caller?.credential.client);
    const context = { admitted, origin: pools.origin, auditId: exchange.auditId, publicUrl };
    const head = responseHead(code, response.rawHeaders, { ...context, nowSeconds: deps.clock.nowMs() / 1000 });
    if (head.ok) return head.value;
    this.#reject(head.reason);
    return undefined;
  }

  /** Responds in the API server's place, and counts the response as its error. */
  #reject(rejection: Rejection): void {
    const { deps, admitted, client } = this.#options;
    deps.metrics.upstreamError(admitted.cluster.name, rejection.auditReason);
    client.reject(rejection);
    this.abort();
  }

  #fail(error: Error): void {
    if (this.#closed) return;
    const { exchange, client, deps, admitted } = this.#options;
    if (!this.#responded && !this.#aborted && exchange.clientOpen) {
      const failure = upstreamFailure(error);
      deps.metrics.upstreamError(admitted.cluster.name, failure.kind);
      deps.logger.warn(
        { err: error, cluster: admitted.cluster.name, auditId: exchange.auditId },
        'API server failed; the client got an error or an incomplete response',
      );
      client.reject(failure.rejection);
    }
    this.#giveUp?.();
    this.#link?.tls.destroy();
    this.#close();
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#stopTimer?.();
    this.#options.exchange.upstreamClosed();
  }
}

const upgradeError = (kind: 'reset' | 'protocol' | 'timeout'): UpstreamError =>
  new UpstreamError(kind, 'the API server did not make the upgrade');

/**
 * Upgrades: WebSocket (GET) and SPDY/3.1 (GET or POST), tunnelled raw after a 101. Authenticated by the same code
 * as every request.
 */
import type { Duplex } from 'node:stream';
import { no, ok } from '../../core/result.ts';
import type { Result } from '../../core/result.ts';
import { isBelowProxy } from '../../core/request/request-info.ts';
import type { CutReason } from '../../revocation/revocation.ts';
import { timeLimit } from '../../timing/timing.ts';
import type { Admitted } from '../admission/admission.ts';
import type { ApiListenerDeps, ProxyTiming } from '../dependencies.ts';
import type { ClientSide, Exchange, UpstreamSide } from '../exchange.ts';
import { openHttp1 } from '../upstream/http1-connection.ts';
import type { Http1Connection } from '../upstream/http1-connection.ts';
import { ProxyAccountFilter } from '../upstream/proxy-account.ts';
import type { ProxyAccountDenial, ProxyAccountHandler } from '../upstream/proxy-account.ts';
import type { Slab } from '../upstream/slab.ts';
import { ifWritten } from '../listener/client.ts';
import { valuesOf } from '../raw-headers.ts';
import { endHandedOver, endWithStatus, rawHead } from '../listener/raw-response.ts';
import { accessHint } from '../upstream/access-hint.ts';
import { responseHead } from '../upstream/response-head.ts';
import { credentialRejection, loginAddress, malformed } from '../rejections.ts';
import type { Rejection } from '../status.ts';
import { joinSockets } from './tunnel.ts';
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
    if (this.#exchange.clientOpen) this.rejectCut(rejection);
  }

  giveWay(): void {
    this.#exchange.cut('memory_short');
  }

  rejectCut(rejection: Rejection): void {
    if (this.#responded || this.gone) return;
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

  /** A rejected one has a time limit of its own, and a tunnel is in flight. */
  readonly awaitsClient = false;

  get inFlight(): boolean {
    return this.#exchange.inFlight;
  }

  get headLines(): number {
    return this.#exchange.facts.raw.length / 2;
  }

  get upstream(): string | undefined {
    return this.#exchange.upstreamEndpoints;
  }

  get waiting(): number {
    return this.#socket.writableLength;
  }

  responded(): void {
    this.#responded = true;
  }
}

export interface UpgradeOptions {
  readonly deps: Pick<
    ApiListenerDeps,
    'publicUrl' | 'whyEnded' | 'thirdParties' | 'access' | 'clock' | 'metrics' | 'logger'
  >;
  readonly exchange: Exchange;
  readonly admitted: Admitted;
  readonly protocol: string;
  readonly pools: Pick<ClusterPools, 'origin' | 'hostHeader' | 'address'>;
  readonly timing: ProxyTiming;
  readonly client: UpgradeSide;
  readonly socket: Duplex;
  readonly head: Buffer;
}

export class UpgradeForwarding implements ProxyAccountHandler, UpstreamSide {
  readonly #options: UpgradeOptions;
  readonly #frames: FrameBoundary | undefined;
  #giveUp: (() => void) | undefined;
  #connection: Http1Connection | undefined;
  #stopTimer: (() => void) | undefined;
  /** The head of the response has gone to the client. */
  #responded = false;
  #isSent = false;
  #toClient: ReturnType<typeof joinSockets> | undefined;
  #closed = false;

  constructor(options: UpgradeOptions) {
    this.#options = options;
    this.#frames = options.protocol === 'websocket' ? new FrameBoundary() : undefined;
  }

  /** Opens a connection of its own: an upgrade may change something, so it is not sent on one that may have ended. */
  start(): void {
    const { exchange, pools, timing } = this.#options;
    exchange.attach(this);
    this.#stopTimer = timeLimit(timing.upgradeMs, () => this.onError(upgradeError('timeout')));
    const owner = { onFree: (connection: Http1Connection) => connection.close(), onLost: () => undefined };
    this.#giveUp = openHttp1(pools.address, { hostHeader: pools.hostHeader, owner }, (error, connection) => {
      if (connection === undefined) this.onError(error ?? upgradeError('reset'));
      else this.#sendRequest(connection);
    });
  }

  abort(): void {
    this.#giveUp?.();
    this.#connection?.reset();
    this.#close();
  }

  clientGone(): void {
    // A tunnel passes on the last bytes of the client, and ends by itself.
    if (this.#toClient === undefined) this.abort();
  }

  get gone(): boolean {
    return this.#connection?.isLost === true;
  }

  get endpoints(): string | undefined {
    return this.#connection?.endpoints;
  }

  sendTerminationNotice(reason: CutReason): void {
    const { socket, deps, exchange } = this.#options;
    if (this.#frames?.open !== true || this.#toClient === undefined) return;
    if (socket.writableLength > 0 || socket.writableEnded) return;
    const { code, message } = credentialRejection(reason, deps, exchange.caller?.credential);
    socket.write(closeFrame(code === 503 ? TRY_AGAIN_LATER : POLICY_VIOLATION, message));
  }

  /** A command of an exec may run. */
  get mayHaveExecuted(): boolean {
    return this.#isSent;
  }

  /** Connecting took time. */
  maySend(): boolean {
    this.#isSent = !this.#closed && this.#options.exchange.mayPass();
    return this.#isSent;
  }

  onUpgrade(raw: readonly string[], upstream: Duplex): void {
    const { exchange, socket, head: clientHead, protocol } = this.#options;
    const connection = this.#connection;
    if (connection === undefined || !exchange.mayPass()) return;
    const made = valuesOf(raw, 'upgrade').join(',').trim();
    if (made.toLowerCase() !== protocol) return this.onError(upgradeError('protocol'));
    if (!this.#respond(101, raw, ['Connection', 'Upgrade', 'Upgrade', made])) return;
    upstream.on('close', () => this.#close());
    this.#toClient = joinSockets({
      client: socket,
      upstream,
      upstreamFlow: connection,
      clientHead,
      mayPass: () => exchange.mayPass(),
      resetClient: () => exchange.facts.connection.reset(),
      resetUpstream: () => connection.reset(),
      clientLeft: () => exchange.facts.connection.leavesBehind(connection.endpoints, () => connection.reset()),
      fromClient: (piece) => {
        exchange.audit.bytesIn += piece.length;
      },
      fromUpstream: (piece) => {
        exchange.audit.bytesOut += piece.length;
        this.#frames?.take(piece);
      },
    });
  }

  /** Anything but a 101: it is relayed, and the connection ends after it. */
  onHead(status: number, raw: readonly string[]): void {
    const { exchange, socket } = this.#options;
    if (!exchange.mayPass() || !this.#respond(status, raw, ['Connection', 'close'])) return;
    socket.on('drain', () => this.#connection?.resume());
    // There is no new protocol for the client's bytes, and a client that leaves meanwhile must be noticed.
    socket.resume();
  }

  onPiece(piece: Buffer, slab: Slab | undefined): void {
    const { exchange, socket } = this.#options;
    if (this.#toClient !== undefined) return this.#toClient(piece, slab);
    if (!this.#responded || !exchange.mayPass()) return;
    exchange.audit.bytesOut += piece.length;
    if (!socket.write(piece, ifWritten(socket, slab?.hold()))) this.#connection?.pause();
  }

  onEnd(): void {
    const { exchange, socket } = this.#options;
    if (!this.#responded) return;
    endHandedOver(socket, exchange.facts.connection);
    exchange.responded();
    this.#close();
  }

  onProxyAccountDenied({ rejection, message }: ProxyAccountDenial): void {
    const { deps, exchange, admitted } = this.#options;
    if (message !== undefined) {
      deps.logger.warn(
        { cluster: admitted.cluster.name, auditId: exchange.auditId, said: message },
        'own account denied; the cluster does not let the account of Portcullis impersonate this',
      );
    }
    this.#reject(rejection);
  }

  onError(error: Error): void {
    if (this.#closed) return;
    const { exchange, client, deps, admitted } = this.#options;
    // Half a response must not look like a whole one.
    if (this.#responded) exchange.facts.connection.reset();
    else if (exchange.clientOpen) {
      const failure = upstreamFailure(error);
      deps.metrics.upstreamError(admitted.cluster.name, failure.kind);
      deps.logger.warn(
        { err: error, cluster: admitted.cluster.name, auditId: exchange.auditId },
        'API server failed; the client got an error or an incomplete response',
      );
      client.reject(failure.rejection);
    }
    this.#giveUp?.();
    this.#connection?.reset();
    this.#close();
  }

  #sendRequest(connection: Http1Connection): void {
    const { exchange, admitted } = this.#options;
    this.#connection = connection;
    const isSent = connection.send(
      {
        method: exchange.facts.method,
        target: admitted.target,
        headers: admitted.headers,
        isUpgrade: true,
        account: admitted.user,
        body: undefined,
        bodyLength: undefined,
        // `start` has the limit, which includes connecting.
        headMs: 0,
        pieceMs: 0,
      },
      new ProxyAccountFilter(this, admitted),
    );
    if (!isSent) connection.reset();
  }

  /** Sends the head of the response to the client. @returns false if it was rejected instead */
  #respond(status: number, raw: readonly string[], connectionHeaders: readonly string[]): boolean {
    const { deps, exchange, admitted, pools, client, socket } = this.#options;
    this.#stopTimer?.();
    const head = responseHead(status, raw, {
      admitted,
      origin: pools.origin,
      auditId: exchange.auditId,
      publicUrl: loginAddress(deps, exchange.caller?.credential.client),
      hint: status === 403 ? accessHint(deps, exchange.denied, admitted) : undefined,
      nowSeconds: deps.clock.nowMs() / 1000,
    });
    if (!head.ok) {
      this.#reject(head.reason);
      return false;
    }
    client.responded();
    exchange.audit.responseStarted(status);
    this.#responded = true;
    socket.write(rawHead(status, [...head.value, ...connectionHeaders]));
    return true;
  }

  /** Responds in the API server's place, and counts the response as its error, if it is not that of a pod. */
  #reject(rejection: Rejection): void {
    const { deps, admitted, client } = this.#options;
    if (!isBelowProxy(admitted.info)) deps.metrics.upstreamError(admitted.cluster.name, rejection.auditReason);
    client.reject(rejection);
    this.abort();
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

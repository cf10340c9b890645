/** Takes each request and each upgrade from the listener to its end, and tracks what is still open. */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { andThen, orElse, type Awaitable } from '../core/awaitable.ts';
import { UnorderedList, type Slot } from '../core/unordered-list.ts';
import type { RequestInfo } from '../core/request/request-info.ts';
import { byHeaders } from '../core/http/by-headers.ts';
import { traceId } from '../core/http/trace-parent.ts';
import { createTurns } from '../timing/timing.ts';
import { Admission } from './admission/admission.ts';
import type { Admitted } from './admission/admission.ts';
import type { Client, ClientRequest } from './listener/client.ts';
import type { ClientConnection } from './listener/connection.ts';
import { DEFAULT_TIMING } from './dependencies.ts';
import type { ApiListenerDeps, ProxyTiming } from './dependencies.ts';
import { Exchange } from './exchange.ts';
import type { ExchangeFacts, ExchangeOptions, UnreadLimits } from './exchange.ts';
import { Forwarding } from './upstream/forward.ts';
import { EndpointRequests } from './listener/endpoint-requests.ts';
import { connectRejection, http1Rejection, pipelinedUpgrade, tooManyPipelined } from './listener/framing.ts';
import { isMachinePath } from './listener/http1-bridge.ts';
import { valuesOf } from './raw-headers.ts';
import { RequestAudit } from './request-audit.ts';
import { RequestSide } from './upstream/request-side.ts';
import type { RequestSideOptions } from './upstream/request-side.ts';
import { malformed, tooManyConnections } from './rejections.ts';
import type { Rejection } from './status.ts';
import { UnreadResponses } from './listener/unread-responses.ts';
import { UpgradeForwarding, UpgradeSide, upgradeProtocol } from './streams/upgrade.ts';
import { perUserLimit } from './admission/concurrency-limit.ts';
import { createPools } from './upstream/pool.ts';
import type { ClusterPools } from './upstream/pool.ts';

/** How often open requests are checked: whether both sides are still there, and whether the client still reads. */
const SWEEP_EVERY_MS = 1_000;
/** While the server shuts down, a client that reads nothing for as long is not waited for. */
const UNREAD_WHILE_DRAINING_MS = 3_000;

/**
 * `leaving`: everything is served, and each response asks the client to connect elsewhere. `draining`: long-running
 * requests are rejected, and short ones whose clients could not know yet are still served, so that none fails.
 * `closed`: nothing is admitted.
 */
type Phase = 'open' | 'leaving' | 'draining' | 'closed';

/**
 * An attacker sends thousands of requests in one instant, with a credential or without, so that the process spends
 * longer than a lease in one turn, and the fence that follows cuts the streams of every user. So only some are
 * started in a turn, and then timers and sockets have theirs.
 */
const REQUESTS_PER_TURN = 64;

/** Each is audited, which takes a tenth of a millisecond, and a cut connection ends hundreds of requests at once. */
const ENDS_PER_TURN = 64;

/** Of responses that are not read. Each may be a connection with all of its streams. */
const RESETS_PER_TURN = 4;

/**
 * Resolves in this very tick, once all that has arrived on the connection is parsed. An attacker's bytes after a
 * request end the connection, and the request with it, before anything of it is forwarded.
 */
const ALL_PARSED = Promise.resolve();

const originOf = byHeaders((raw) => ({ userAgent: valuesOf(raw, 'user-agent')[0], trace: traceId(raw) }));

export class DataPlane {
  readonly #deps: ApiListenerDeps;
  readonly #timing: ProxyTiming;
  readonly #sideOptions: RequestSideOptions;
  readonly #admission: Admission;
  readonly #pools: ReadonlyMap<string, ClusterPools>;
  readonly #open = new UnorderedList<Exchange>();
  /** Rejections, and responses of our own endpoints. */
  readonly #unread = new UnreadResponses(createTurns(RESETS_PER_TURN));
  readonly #sweepTimer: NodeJS.Timeout;
  readonly #turns = createTurns(REQUESTS_PER_TURN);
  readonly #ends = createTurns(ENDS_PER_TURN);
  readonly #endpoints: EndpointRequests;
  #phase: Phase = 'open';
  #emptied: (() => void) | undefined;

  constructor(deps: ApiListenerDeps) {
    this.#deps = deps;
    this.#timing = { ...DEFAULT_TIMING, ...deps.timing };
    this.#sideOptions = {
      isLeaving: () => this.leaving,
      unread: this.#unread,
      unreadMs: this.#timing.unreadLocalMs,
    };
    this.#endpoints = new EndpointRequests({
      turns: this.#turns,
      unread: this.#unread,
      connections: deps.limits.connections,
      bodyMs: this.#timing.machineBodyMs,
      unreadMs: this.#timing.unreadLocalMs,
      reject: (client, connection, rejection) =>
        orElse(
          () => this.request(client, connection, rejection),
          (error) => {
            deps.logger.error({ err: error }, 'request failed');
            client.response.reset();
          },
        ),
      refused: () => deps.metrics.rejection('pending_refused'),
    });
    this.#admission = new Admission(deps, (info) => this.#rejects(info));
    const perUser = perUserLimit(deps.limits);
    this.#pools = new Map(deps.clusters.map((cluster) => [cluster.name, createPools(cluster, this.#timing, perUser)]));
    this.#sweepTimer = setInterval(() => this.#sweep(), SWEEP_EVERY_MS);
    this.#sweepTimer.unref();
  }

  /** True while more requests wait for their turn than are started in the next ones. */
  get isBehind(): boolean {
    return this.#turns.isBehind;
  }

  /** True while each response is the last of its connection. */
  get leaving(): boolean {
    return this.#phase !== 'open';
  }

  /** @param rejection why the request cannot be admitted at all, as the side of its protocol has found */
  request(client: Client, connection: ClientConnection, rejection?: Rejection): Awaitable<void> {
    const { request, response } = client;
    const { method, target } = request;
    const raw = connection.headers.of(request.raw);
    // A client that takes too little may go on taking what it was handed; after any other cut it gets nothing more.
    const resetClient: ExchangeOptions['resetClient'] = (reason) => {
      if (reason === 'answer_not_taken') response.reset();
      else response.cut();
    };
    const exchange = this.#begin({ method, target, raw, connection }, resetClient);
    const side = new RequestSide(exchange, client, this.#sideOptions);
    const turn = this.#turns.reserve(connection.line);
    return andThen(turn ?? (rejection === undefined ? ALL_PARSED : undefined), () => {
      if (!exchange.clientOpen) return;
      if (rejection !== undefined) return side.reject(rejection);
      return andThen(this.#admission.admit(exchange, { upgrade: false }), (admitted) => {
        if (!admitted.ok) {
          noteRejected(connection, admitted.reason);
          return side.reject(admitted.reason);
        }
        return andThen(connection.credentialAccepted(admitted.value.user), (isNoted) => {
          if (isNoted) this.#forward(exchange, admitted.value, { request, side });
          // The last response of the connection.
          else side.rejectCut(tooManyConnections());
        });
      });
    });
  }

  #forward(
    exchange: Exchange,
    admitted: Admitted,
    { request, side }: { readonly request: ClientRequest; readonly side: RequestSide },
  ): void {
    const pools = this.#pools.get(admitted.cluster.name);
    // There may have been awaits between the last check and this line.
    if (pools === undefined || !exchange.clientOpen || !exchange.mayPass()) return;
    exchange.facts.connection.headers.keep(exchange.facts.raw);
    if (request.expectsContinue) side.response.writeContinue();
    const of = { deps: this.#deps, exchange, admitted, pools, timing: this.#timing };
    new Forwarding({ ...of, request, client: side }).start();
  }

  async upgrade(req: IncomingMessage, socket: Duplex, head: Buffer, connection: ClientConnection): Promise<void> {
    const { isFull } = connection;
    const exchange = this.#begin(upgradeFacts(req, connection), () => connection.reset());
    const client = new UpgradeSide(exchange, socket);
    if (isFull) return client.rejectAndReset(tooManyPipelined());
    if (connection.pipelined) return client.rejectAndReset(pipelinedUpgrade());
    const rejection = http1Rejection(req);
    if (rejection !== undefined) return client.reject(rejection);
    // HTTP/1.0 has no upgrades (RFC 9110 §7.8).
    if (req.httpVersion !== '1.1') return client.reject(malformed('an upgrade needs HTTP/1.1', 'upgrade_unsupported'));
    const protocol = upgradeProtocol(exchange.facts.method, exchange.facts.raw);
    if (!protocol.ok) return client.reject(protocol.reason);
    // Our own endpoints have no upgrades, and their paths are not the API server's.
    if (isMachinePath(req.url)) return client.reject(malformed('there is no upgrade here', 'upgrade_unsupported'));
    const admitted = await this.#admission.admit(exchange, { upgrade: true });
    if (!admitted.ok) {
      noteRejected(connection, admitted.reason);
      return client.reject(admitted.reason);
    }
    if (!(await connection.credentialAccepted(admitted.value.user))) return client.reject(tooManyConnections());
    const pools = this.#pools.get(admitted.value.cluster.name);
    if (pools === undefined || !exchange.clientOpen || !exchange.mayPass()) return;
    const of = { deps: this.#deps, exchange, admitted: admitted.value, protocol: protocol.value, pools };
    new UpgradeForwarding({ ...of, timing: this.#timing, client, socket, head }).start();
  }

  rejectConnect(req: IncomingMessage, socket: Duplex, connection: ClientConnection): void {
    const { isFull } = connection;
    const exchange = this.#begin(upgradeFacts(req, connection), () => connection.reset());
    const client = new UpgradeSide(exchange, socket);
    if (isFull) client.rejectAndReset(tooManyPipelined());
    else if (connection.pipelined) client.rejectAndReset(pipelinedUpgrade());
    else client.reject(connectRejection());
  }

  /** Takes a request to our own endpoints, which respond to it themselves once `serve` is called with its body. */
  machineRequest(client: Client, connection: ClientConnection, serve: (body: Buffer) => void): void {
    this.#endpoints.take(client, connection, serve);
  }

  /** Makes each response the last of its connection from now on. Nothing is rejected. */
  leave(): void {
    if (this.#phase === 'open') this.#phase = 'leaving';
  }

  /** Admits no long-running request from now on, and ends watches so that their clients open them elsewhere. */
  drain(): void {
    this.leave();
    if (this.#phase === 'leaving') this.#phase = 'draining';
    const clean = createTurns(ENDS_PER_TURN);
    for (const exchange of this.#open.values()) clean.do(() => exchange.endCleanly());
  }

  /** Of our own endpoints only the requests count whose response has not started. */
  get isEmpty(): boolean {
    return this.#open.size === 0 && !this.#unread.isAnyUnstarted;
  }

  /** Resolves when no request to a cluster is open any more. */
  empty(): Promise<void> {
    if (this.#open.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#emptied = resolve;
    });
  }

  cutAll(): void {
    this.#phase = 'closed';
    // All notices before the first reset, as in `FlightRegistry`.
    for (const exchange of this.#open.values()) exchange.announce('shutdown');
    for (const exchange of this.#open.values()) exchange.cut('shutdown');
  }

  close(): void {
    clearInterval(this.#sweepTimer);
    // The audit log is closed next.
    this.#ends.flush();
    this.#admission.close();
    for (const pools of this.#pools.values()) pools.close();
  }

  #rejects(info: RequestInfo): boolean {
    return this.#phase === 'closed' || (this.#phase === 'draining' && info.longRunning);
  }

  #begin(facts: ExchangeFacts, resetClient: ExchangeOptions['resetClient']): Exchange {
    const { userAgent, trace } = originOf(facts.raw);
    const { method, target, connection } = facts;
    const auditId = randomUUID();
    const { address } = connection;
    const exchange = new Exchange({
      facts,
      auditId,
      guard: this.#deps.guard,
      messages: this.#deps,
      resetClient,
      audit: new RequestAudit(this.#deps, { auditId, method, target, address, userAgent, trace }),
      ends: this.#ends,
      onEnd: () => this.#forget(slot),
    });
    const slot = this.#open.add(exchange);
    return exchange;
  }

  #sweep(): void {
    const nowMs = performance.now();
    const { unreadMs, unreadStreamMs } = this.#timing;
    const limits: UnreadLimits =
      this.#phase === 'draining'
        ? { responseMs: UNREAD_WHILE_DRAINING_MS, streamMs: UNREAD_WHILE_DRAINING_MS }
        : { responseMs: unreadMs, streamMs: unreadStreamMs };
    for (const exchange of this.#open.values()) exchange.sweep(nowMs, limits);
    this.#unread.sweep(nowMs);
  }

  #forget(slot: Slot<Exchange>): void {
    this.#open.remove(slot);
    if (this.#open.size > 0) return;
    this.#emptied?.();
    this.#emptied = undefined;
  }
}

function noteRejected(connection: ClientConnection, { code }: Rejection): void {
  if (code === 401) void connection.credentialAccepted(undefined);
}

const upgradeFacts = (req: IncomingMessage, connection: ClientConnection): ExchangeFacts => ({
  method: req.method ?? '',
  target: req.url ?? '',
  raw: req.rawHeaders,
  connection,
});

/** Takes each request and each upgrade from the listener to its end, and knows what is still open. */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { RequestInfo } from '../core/request/request-info.ts';
import { traceId } from '../core/http/trace-parent.ts';
import { createTurns } from '../timing/timing.ts';
import { Admission } from './admission/admission.ts';
import type { Client } from './listener/client.ts';
import type { ClientConnection } from './listener/connection.ts';
import { DEFAULT_TIMING } from './dependencies.ts';
import type { ApiListenerDeps, ProxyTiming } from './dependencies.ts';
import { Exchange } from './exchange.ts';
import type { ExchangeFacts, UntakenLimits } from './exchange.ts';
import { Forwarding } from './upstream/forward.ts';
import { connectRejection, http1Fault, pipelinedUpgrade } from './listener/framing.ts';
import { isMachinePath } from './listener/http1-bridge.ts';
import { valuesOf } from './raw-headers.ts';
import { RequestAudit } from './request-audit.ts';
import { RequestSide } from './upstream/request-side.ts';
import { malformed } from './rejections.ts';
import type { Rejection } from './status.ts';
import { UntakenAnswers } from './listener/unread-responses.ts';
import { UpgradeForwarding, UpgradeSide, upgradeProtocol } from './streams/upgrade.ts';
import { perPersonOf } from './admission/concurrency-limit.ts';
import { createPools } from './upstream/pool.ts';
import type { ClusterPools } from './upstream/pool.ts';

/** How often it is looked at whether what is open is still there and still taken. */
const LOOK_EVERY_MS = 1_000;
/** While the server shuts down, a client that takes nothing for as long is not waited for. */
const UNTAKEN_WHILE_DRAINING_MS = 3_000;

/**
 * `leaving`: everything is served, and each answer asks the client to go elsewhere. `draining`: what would last is refused, and what could
 * not know yet is still served, so that no short request fails. `closed`: nothing is let in.
 */
type Phase = 'open' | 'leaving' | 'draining' | 'closed';

/**
 * Attack: thousands of requests in one instant, with a credential or without, keep the process in one turn for longer than a lease, and the fence
 * that follows cuts the streams of every user. So some are begun, and then timers and sockets have their turn.
 */
const REQUESTS_A_TURN = 64;

export class DataPlane {
  readonly #deps: ApiListenerDeps;
  readonly #timing: ProxyTiming;
  readonly #admission: Admission;
  readonly #pools: ReadonlyMap<string, ClusterPools>;
  readonly #open = new Set<Exchange>();
  /** Refusals, and answers of our own endpoints. */
  readonly #untaken = new UntakenAnswers();
  readonly #looking: NodeJS.Timeout;
  readonly #turns = createTurns(REQUESTS_A_TURN);
  #phase: Phase = 'open';
  #emptied: (() => void) | undefined;

  constructor(deps: ApiListenerDeps) {
    this.#deps = deps;
    this.#timing = { ...DEFAULT_TIMING, ...deps.timing };
    this.#admission = new Admission(deps, (info) => this.#refuses(info));
    const perPerson = perPersonOf(deps.limits);
    this.#pools = new Map(
      deps.clusters.map((cluster) => [cluster.name, createPools(cluster, this.#timing, perPerson)]),
    );
    this.#looking = setInterval(() => this.#lookAgain(), LOOK_EVERY_MS);
    this.#looking.unref();
  }

  /** True while each answer is the last of its connection. */
  get leaving(): boolean {
    return this.#phase !== 'open';
  }

  /** @param fault why it cannot be let in at all, as the protocol's own side has found */
  async request(client: Client, connection: ClientConnection, fault?: Rejection): Promise<void> {
    const { request, answer } = client;
    const { method, target, raw } = request;
    const exchange = this.#begin({ method, target, raw, connection }, () => answer.reset());
    const side = new RequestSide(exchange, client, {
      isLeaving: () => this.leaving,
      untaken: this.#untaken,
      untakenMs: this.#timing.untakenOwnMs,
    });
    const turn = this.#turns.mine();
    // Where it need not wait it goes on in this very tick: what follows on the connection is read in it.
    if (turn !== undefined) await turn;
    if (!exchange.clientOpen) return;
    if (fault !== undefined) return side.refuse(fault);
    const admitted = await this.#admission.admit(exchange, { upgrade: false });
    if (!admitted.ok) return side.refuse(admitted.reason);
    const { value } = admitted;
    const pools = this.#pools.get(value.cluster.name);
    // From the last check to here a promise or two were awaited.
    if (pools === undefined || !exchange.clientOpen || !exchange.mayPass()) return;
    if (request.expectsContinue) answer.writeContinue();
    const of = { deps: this.#deps, exchange, admitted: value, pools, timing: this.#timing };
    new Forwarding({ ...of, request, client: side }).start();
  }

  async upgrade(req: IncomingMessage, socket: Duplex, head: Buffer, connection: ClientConnection): Promise<void> {
    const exchange = this.#begin(upgradeFacts(req, connection), () => connection.reset());
    const client = new UpgradeSide(exchange, socket);
    if (connection.pipelined) return client.refuseAndReset(pipelinedUpgrade());
    const fault = http1Fault(req);
    if (fault !== undefined) return client.refuse(fault);
    // HTTP/1.0 knows no upgrade (RFC 9110 §7.8).
    if (req.httpVersion !== '1.1') return client.refuse(malformed('an upgrade needs HTTP/1.1', 'upgrade_unsupported'));
    const protocol = upgradeProtocol(exchange.facts.method, exchange.facts.raw);
    if (!protocol.ok) return client.refuse(protocol.reason);
    // Our own endpoints know no upgrades, and their paths are not the API server's.
    if (isMachinePath(req.url)) return client.refuse(malformed('there is no upgrade here', 'upgrade_unsupported'));
    const admitted = await this.#admission.admit(exchange, { upgrade: true });
    if (!admitted.ok) return client.refuse(admitted.reason);
    const pools = this.#pools.get(admitted.value.cluster.name);
    if (pools === undefined || !exchange.clientOpen || !exchange.mayPass()) return;
    const of = { deps: this.#deps, exchange, admitted: admitted.value, protocol: protocol.value, pools };
    new UpgradeForwarding({ ...of, timing: this.#timing, client, socket, head }).start();
  }

  refuseConnect(req: IncomingMessage, socket: Duplex, connection: ClientConnection): void {
    const exchange = this.#begin(upgradeFacts(req, connection), () => connection.reset());
    const client = new UpgradeSide(exchange, socket);
    if (connection.pipelined) client.refuseAndReset(pipelinedUpgrade());
    else client.refuse(connectRejection());
  }

  /** A request to our own endpoints, which answer it themselves once `serve` is called. */
  machineRequest({ request, answer }: Client, connection: ClientConnection, serve: () => void): void {
    const taken = this.#untaken.add(answer, connection, this.#timing.untakenOwnMs);
    // Threat: a body that is announced and never sent would hold its connection for good, and no credential has been asked for yet.
    const late = setTimeout(() => {
      if (!request.complete) answer.reset();
    }, this.#timing.machineBodyMs);
    const close = connection.answerOpened(answer, () => {
      clearTimeout(late);
      taken();
    });
    answer.onClose(close);
    this.#turns.do(() => {
      // Its end has been told already, and those who are given it now would wait for that.
      if (!answer.gone) serve();
    });
  }

  /** From now on each answer is the last of its connection; nothing is refused. */
  leave(): void {
    if (this.#phase === 'open') this.#phase = 'leaving';
  }

  /** From now on nothing that lasts is let in, and watches are ended so that their clients open them elsewhere. */
  drain(): void {
    this.leave();
    if (this.#phase === 'leaving') this.#phase = 'draining';
    for (const exchange of this.#open) exchange.endCleanly();
  }

  /** Of our own endpoints those count that have not begun to answer. */
  get isEmpty(): boolean {
    return this.#open.size === 0 && !this.#untaken.isAnyUnstarted;
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
    for (const exchange of this.#open) exchange.cut('shutdown');
  }

  async close(): Promise<void> {
    clearInterval(this.#looking);
    await Promise.all([this.#admission.close(), ...[...this.#pools.values()].map((pools) => pools.close())]);
  }

  #refuses(info: RequestInfo): boolean {
    return this.#phase === 'closed' || (this.#phase === 'draining' && info.longRunning);
  }

  #begin(facts: ExchangeFacts, resetClient: () => void): Exchange {
    const [userAgent] = valuesOf(facts.raw, 'user-agent');
    const trace = traceId(facts.raw);
    const exchange = new Exchange({
      facts,
      guard: this.#deps.guard,
      resetClient,
      record: ({ auditId }) =>
        new RequestAudit(this.#deps, { ...facts, auditId, userAgent, trace, address: facts.connection.address }),
      onEnd: (ended) => this.#forget(ended),
    });
    this.#open.add(exchange);
    return exchange;
  }

  #lookAgain(): void {
    const nowMs = performance.now();
    const { untakenMs, untakenStreamMs } = this.#timing;
    const limits: UntakenLimits =
      this.#phase === 'draining'
        ? { answerMs: UNTAKEN_WHILE_DRAINING_MS, streamMs: UNTAKEN_WHILE_DRAINING_MS }
        : { answerMs: untakenMs, streamMs: untakenStreamMs };
    for (const exchange of this.#open) exchange.lookAgain(nowMs, limits);
    this.#untaken.lookAgain(nowMs);
  }

  #forget(exchange: Exchange): void {
    this.#open.delete(exchange);
    if (this.#open.size > 0) return;
    this.#emptied?.();
    this.#emptied = undefined;
  }
}

const upgradeFacts = (req: IncomingMessage, connection: ClientConnection): ExchangeFacts => ({
  method: req.method ?? '',
  target: req.url ?? '',
  raw: req.rawHeaders,
  connection,
});

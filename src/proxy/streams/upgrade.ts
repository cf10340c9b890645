/**
 * Upgrades: WebSocket (GET) and SPDY/3.1 (GET or POST), tunnelled raw after a 101. Authenticated by the same code as every request.
 */
import { request as httpRequest } from 'node:http';
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
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
import { upstreamFault } from '../upstream/upstream-error.ts';
import type { ClusterPools } from '../upstream/pool.ts';
import { FrameBoundary, policyClose } from './websocket-frames.ts';

/** The protocols that are tunnelled, and by which methods they are asked for. Everything else, h2c above all, is refused. */
const METHODS: ReadonlyMap<string, readonly string[]> = new Map([
  ['websocket', ['GET']],
  ['spdy/3.1', ['GET', 'POST']],
]);

/** @returns the protocol in lower case, or why this is no upgrade that the gate makes */
export function upgradeProtocol(method: string, raw: readonly string[]): Result<string, Rejection> {
  const offered = valuesOf(raw, 'upgrade').join(',').toLowerCase().trim();
  if (METHODS.get(offered)?.includes(method) !== true) {
    return no(malformed('only WebSocket and SPDY/3.1 upgrades pass this gate', 'upgrade_unsupported'));
  }
  // What follows the head belongs to the new protocol. A body before it would be read as that by one side only.
  const bodied =
    valuesOf(raw, 'transfer-encoding').length > 0 || valuesOf(raw, 'content-length').some((n) => n !== '0');
  return bodied ? no(malformed('an upgrade has no body', 'upgrade_with_body')) : ok(offered);
}

/** The client's half while nothing has been answered. */
export class UpgradeSide implements ClientSide {
  readonly #exchange: Exchange;
  readonly #socket: Duplex;
  #answered = false;

  constructor(exchange: Exchange, socket: Duplex) {
    this.#exchange = exchange;
    this.#socket = socket;
    exchange.attachClient(this);
    socket.on(
      'close',
      exchange.facts.connection.answerOpened(this, () => exchange.clientClosed()),
    );
    // `close` follows; a client that resets is no fault.
    socket.on('error', () => undefined);
  }

  refuse(rejection: Rejection): void {
    if (this.#answered || !this.#exchange.clientOpen) return;
    this.#answered = true;
    const { auditId, facts } = this.#exchange;
    endWithStatus(this.#socket, rejection, { auditId, connection: facts.connection });
    this.#exchange.refused(rejection);
  }

  /** Where nothing can be written, because answers to earlier requests are still to come on the same connection. */
  refuseAndReset(rejection: Rejection): void {
    this.#answered = true;
    this.#exchange.refused(rejection);
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

  answered(): void {
    this.#answered = true;
  }
}

export interface UpgradeOptions {
  readonly deps: Pick<ApiListenerDeps, 'publicUrl' | 'whyEnded' | 'thirdParties' | 'clock' | 'metrics' | 'logger'>;
  readonly exchange: Exchange;
  readonly admitted: Admitted;
  readonly protocol: string;
  readonly pools: Pick<ClusterPools, 'origin' | 'authority' | 'address'>;
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
  /** The answer's head has gone to the client. */
  #answered = false;
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
    this.#stopTimer = timeLimit(timing.upgradeMs, () => this.#fail(fault('UPSTREAM_TIMEOUT')));
    this.#giveUp = connectUpstream(pools.address, (error, link) => {
      if (link === undefined) this.#fail(error ?? fault('ECONNRESET'));
      else this.#ask(link);
    });
  }

  abort(): void {
    this.#aborted = true;
    this.#giveUp?.();
    this.#link?.raw.resetAndDestroy();
    this.#close();
  }

  clientGone(): void {
    // A tunnel hands on what the client sent before it went, and ends by itself.
    if (!this.#tunnelled) this.abort();
  }

  get gone(): boolean {
    return this.#link?.raw.destroyed === true && this.#link.tls.destroyed;
  }

  farewell(reason: CutReason): void {
    const { socket, deps, exchange } = this.#options;
    if (!this.#tunnelled || this.#frames?.open !== true || socket.writableLength > 0 || socket.writableEnded) return;
    socket.write(policyClose(credentialRejection(reason, deps, exchange.caller?.credential).message));
  }

  #ask(link: UpstreamLink): void {
    const { exchange, admitted, pools } = this.#options;
    this.#link = link;
    link.tls.on('error', (error) => this.#fail(error));
    link.tls.on('close', () => this.#fail(fault('ECONNRESET')));
    // Connecting took its time.
    if (!exchange.mayPass()) return;
    const { method } = exchange.facts;
    const headers = ['Host', pools.authority, ...admitted.headers];
    // Written out, because Node would otherwise send a POST chunked, and the end of that body would be the tunnel's first bytes.
    if (method !== 'GET') headers.push('Content-Length', '0');
    const request = httpRequest({ method, path: admitted.target, headers, createConnection: () => link.tls });
    request.on('upgrade', (answer, _socket, head) => this.#switch(answer, head));
    request.on('response', (answer) => this.#judge(answer));
    request.on('error', (error) => this.#fail(error));
    request.end();
  }

  #switch(answer: IncomingMessage, upstreamHead: Buffer): void {
    const { exchange, socket, head, protocol, client } = this.#options;
    this.#stopTimer?.();
    const link = this.#link;
    if (link === undefined || !exchange.mayPass()) return;
    if (answer.headers.upgrade?.toLowerCase() !== protocol) {
      this.#fail(fault('UPSTREAM_PROTOCOL'));
      return;
    }
    const headers = this.#head(101, answer);
    if (headers === undefined) return;
    client.answered();
    exchange.record.responseStarted(101);
    this.#answered = true;
    this.#tunnelled = true;
    socket.write(rawHead(101, [...headers, 'Connection', 'Upgrade', 'Upgrade', answer.headers.upgrade]));
    joinSockets({
      client: socket,
      upstream: link.tls,
      clientHead: head,
      upstreamHead,
      mayPass: () => exchange.mayPass(),
      resetClient: () => exchange.facts.connection.reset(),
      resetUpstream: () => void link.raw.resetAndDestroy(),
      fromClient: (chunk) => void (exchange.record.bytesIn += chunk.length),
      fromUpstream: (chunk) => {
        exchange.record.bytesOut += chunk.length;
        this.#frames?.take(chunk);
      },
    });
  }

  /** Anything but a 101 is an ordinary answer, or one about the proxy's own account. */
  #judge(answer: IncomingMessage): void {
    const { deps, exchange, admitted } = this.#options;
    const held = HeldForbidden.of(answer.statusCode ?? 502, answer.rawHeaders, admitted);
    if (held === undefined) return this.#relay(answer);
    const relay = (): void => {
      answer.off('data', take).off('end', end).off('error', fail);
      this.#relay(answer, held.chunks);
    };
    const take = (chunk: Buffer): void => void (held.take(chunk) || relay());
    const end = (): void => {
      const denial = held.denial();
      if (denial === undefined) return relay();
      deps.logger.warn(
        { cluster: admitted.cluster.name, auditId: exchange.auditId, said: denial.said },
        'own account denied',
      );
      this.#refuse(denial.rejection);
    };
    const fail = (error: Error): void => this.#fail(error);
    answer.on('data', take).on('end', end).on('error', fail);
  }

  /**
   * Relays an answer, after which the connection ends.
   * @param begun what of its body has been read already
   */
  #relay(answer: IncomingMessage, begun: readonly Buffer[] = []): void {
    const { exchange, socket, client } = this.#options;
    this.#stopTimer?.();
    const code = answer.statusCode ?? 502;
    if (!exchange.mayPass()) return;
    const headers = this.#head(code, answer);
    if (headers === undefined) return;
    client.answered();
    exchange.record.responseStarted(code);
    this.#answered = true;
    socket.write(rawHead(code, [...headers, 'Connection', 'close']));
    const pass = (chunk: Buffer): void => {
      if (!exchange.mayPass()) return;
      exchange.record.bytesOut += chunk.length;
      if (!socket.write(chunk)) answer.pause();
    };
    const end = (): void => {
      endHandedOver(socket, exchange.facts.connection);
      exchange.answered();
    };
    for (const chunk of begun) pass(chunk);
    if (answer.readableEnded) return end();
    answer.on('data', pass);
    socket.on('drain', () => answer.resume());
    // There is no new protocol for what the client sends, and a client that leaves meanwhile is to be seen.
    socket.resume();
    answer.on('end', end);
    // Half an answer must not look like a whole one.
    answer.on('error', () => exchange.facts.connection.reset());
  }

  #head(code: number, answer: IncomingMessage): string[] | undefined {
    const { deps, exchange, admitted, pools } = this.#options;
    const publicUrl = loginAddress(deps, exchange.caller?.credential.client);
    const context = { admitted, origin: pools.origin, auditId: exchange.auditId, publicUrl };
    const head = responseHead(code, answer.rawHeaders, { ...context, now: deps.clock.now() / 1000 });
    if (head.ok) return head.value;
    this.#refuse(head.reason);
    return undefined;
  }

  /** Answers in the API server's place, and counts it as its error. */
  #refuse(rejection: Rejection): void {
    const { deps, admitted, client } = this.#options;
    deps.metrics.upstreamError(admitted.cluster.name, rejection.auditReason);
    client.refuse(rejection);
    this.abort();
  }

  #fail(error: Error): void {
    if (this.#closed) return;
    const { exchange, client, deps, admitted } = this.#options;
    if (!this.#answered && !this.#aborted && exchange.clientOpen) {
      const fault = upstreamFault(error);
      deps.metrics.upstreamError(admitted.cluster.name, fault.kind);
      deps.logger.warn(
        { err: error, cluster: admitted.cluster.name, auditId: exchange.auditId },
        'the API server failed',
      );
      client.refuse(fault.rejection);
    }
    this.#giveUp?.();
    this.#link?.raw.destroy();
    this.#close();
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#stopTimer?.();
    this.#options.exchange.upstreamClosed();
  }
}

const fault = (code: 'ECONNRESET' | 'UPSTREAM_PROTOCOL' | 'UPSTREAM_TIMEOUT'): Error =>
  Object.assign(new Error('the API server did not make the upgrade'), { code });

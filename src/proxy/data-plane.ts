/** Takes each request and each upgrade from the listener to its end, and knows what is still open. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { Admission } from './admission.ts';
import type { ClientConnection } from './connection.ts';
import { DEFAULT_TIMING } from './dependencies.ts';
import type { ApiListenerDeps, ProxyTiming } from './dependencies.ts';
import { Exchange } from './exchange.ts';
import { Forwarding } from './forward.ts';
import { valuesOf } from './raw-headers.ts';
import { RequestRecord } from './request-record.ts';
import { RequestSide } from './request-side.ts';
import { malformed } from './status.ts';
import { UpgradeForwarding, UpgradeSide, upgradeProtocol } from './upgrade.ts';
import { createPools } from './upstream-pool.ts';
import type { ClusterPools } from './upstream-pool.ts';

/** By the bytes as they came: whatever is spelt differently is a Kubernetes path, and judged as one. */
export const isMachinePath = (target: string | undefined): boolean => target?.startsWith('/-/') === true;

export class DataPlane {
  readonly #deps: ApiListenerDeps;
  readonly #timing: ProxyTiming;
  readonly #admission: Admission;
  readonly #pools: ReadonlyMap<string, ClusterPools>;
  readonly #open = new Set<Exchange>();
  #draining = false;
  #emptied: (() => void) | undefined;

  constructor(deps: ApiListenerDeps) {
    this.#deps = deps;
    this.#timing = { ...DEFAULT_TIMING, ...deps.timing };
    this.#admission = new Admission(deps, () => this.#draining);
    this.#pools = new Map(deps.clusters.map((cluster) => [cluster.name, createPools(cluster, this.#timing)]));
  }

  get draining(): boolean {
    return this.#draining;
  }

  async request(req: IncomingMessage, res: ServerResponse, connection: ClientConnection): Promise<void> {
    const exchange = this.#begin(req, connection);
    const client = new RequestSide(exchange, req, res, () => this.#draining);
    const fault = framingFault(req);
    if (fault !== undefined) return client.refuse(fault);
    const admitted = await this.#admission.admit(exchange, { upgrade: false });
    if (!admitted.ok) return client.refuse(admitted.reason);
    const pools = this.#pools.get(admitted.value.cluster.name);
    if (pools === undefined || !exchange.clientOpen) return;
    if (expectsContinue(req)) res.writeContinue();
    const { value } = admitted;
    new Forwarding({
      deps: this.#deps,
      exchange,
      admitted: value,
      pools,
      timing: this.#timing,
      req,
      res,
      client,
    }).start();
  }

  async upgrade(req: IncomingMessage, socket: Duplex, head: Buffer, connection: ClientConnection): Promise<void> {
    const exchange = this.#begin(req, connection);
    const client = new UpgradeSide(exchange, socket);
    const protocol = upgradeProtocol(exchange.facts.method, exchange.facts.raw);
    if (!protocol.ok) return client.refuse(protocol.reason);
    // Our own endpoints know no upgrades, and their paths are not the API server's.
    if (isMachinePath(req.url)) return client.refuse(malformed('there is no upgrade here', 'upgrade_unsupported'));
    const admitted = await this.#admission.admit(exchange, { upgrade: true });
    if (!admitted.ok) return client.refuse(admitted.reason);
    const pools = this.#pools.get(admitted.value.cluster.name);
    if (pools === undefined || !exchange.clientOpen) return;
    const of = { deps: this.#deps, exchange, admitted: admitted.value, protocol: protocol.value, pools };
    new UpgradeForwarding({ ...of, timing: this.#timing, client, socket, head }).start();
  }

  /** CONNECT asks for a tunnel to anywhere; it is answered and recorded as any refused request. */
  refuseConnect(req: IncomingMessage, socket: Duplex, connection: ClientConnection): void {
    const exchange = this.#begin(req, connection);
    new UpgradeSide(exchange, socket).refuse(malformed('CONNECT is not allowed here', 'connect_method'));
  }

  /** An `Expect` that is not `100-continue` (RFC 9110 §10.1.1). */
  refuseExpectation(req: IncomingMessage, res: ServerResponse, connection: ClientConnection): void {
    const exchange = this.#begin(req, connection);
    const client = new RequestSide(exchange, req, res, () => this.#draining);
    client.refuse(malformed('this expectation cannot be met', 'expectation_unknown', 417));
  }

  /** From now on nothing new is let in, and watches are ended so that their clients open them elsewhere. */
  drain(): void {
    this.#draining = true;
    for (const exchange of this.#open) exchange.endCleanly();
  }

  /** Resolves when nothing is open any more. */
  empty(): Promise<void> {
    if (this.#open.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#emptied = resolve;
    });
  }

  cutAll(): void {
    this.#draining = true;
    for (const exchange of this.#open) exchange.cut('shutdown');
  }

  async close(): Promise<void> {
    await Promise.all([...this.#pools.values()].map((pools) => pools.close()));
  }

  #begin(req: IncomingMessage, connection: ClientConnection): Exchange {
    const facts = { method: req.method ?? '', target: req.url ?? '', raw: req.rawHeaders, connection };
    const [userAgent] = valuesOf(facts.raw, 'user-agent');
    const exchange = new Exchange({
      facts,
      gate: this.#deps.gate,
      record: ({ auditId }) =>
        new RequestRecord(this.#deps, { ...facts, auditId, userAgent, address: connection.address }),
      onEnd: (ended) => this.#forget(ended),
    });
    this.#open.add(exchange);
    return exchange;
  }

  #forget(exchange: Exchange): void {
    this.#open.delete(exchange);
    if (this.#open.size > 0) return;
    this.#emptied?.();
    this.#emptied = undefined;
  }
}

const expectsContinue = (req: IncomingMessage): boolean => req.headers.expect?.toLowerCase() === '100-continue';

/** Node's parser has refused what is ambiguous; this is what it lets through and the API server would get without its coding. */
function framingFault(req: IncomingMessage): ReturnType<typeof malformed> | undefined {
  const encodings = valuesOf(req.rawHeaders, 'transfer-encoding');
  const plain = encodings.length === 0 || (encodings.length === 1 && encodings[0]?.toLowerCase() === 'chunked');
  return plain ? undefined : malformed('only the transfer coding chunked is understood', 'transfer_coding');
}

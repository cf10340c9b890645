/**
 * The one way in, for requests and for upgrades alike: find cluster, normalise, register, authenticate, check, refuse a client's own
 * impersonation, build headers. What comes out of here may be dialled; everything else has a refusal.
 */
import { bearerToken } from '../core/bearer-token.ts';
import { clusterDirectory, selectCluster } from '../core/cluster-selection.ts';
import type { ClusterDirectory } from '../core/cluster-selection.ts';
import { clusterAudience } from '../core/core.ts';
import { AppError } from '../core/errors.ts';
import { requestInfo } from '../core/request-info.ts';
import type { RequestInfo } from '../core/request-info.ts';
import { requestPath } from '../core/request-path.ts';
import { no, ok } from '../core/result.ts';
import type { Result } from '../core/result.ts';
import { buildUpstreamHeaders, findImpersonation, limitIdentity } from '../core/upstream-headers.ts';
import type { ApiListenerDeps, UpstreamCluster } from './dependencies.ts';
import type { Exchange } from './exchange.ts';
import { valuesOf } from './raw-headers.ts';
import {
  auditBlocked,
  clusterRefusal,
  credentialRefusal,
  draining,
  errorRefusal,
  fenced,
  impersonationRefusal,
  internalError,
  pathRefusal,
} from './status.ts';
import type { Refusal } from './status.ts';

/** Ready to be dialled. */
export interface Admitted {
  readonly cluster: UpstreamCluster;
  readonly info: RequestInfo;
  /** Path and query, exactly as to be forwarded. */
  readonly target: string;
  /** What was cut off the front of the client's target, such as `/clusters/prod`; empty where the host chose the cluster. */
  readonly prefix: string;
  /** Flat list for the API server, without `Host`. */
  readonly headers: string[];
  /** Epoch seconds. */
  readonly sessionExpiresAt: number;
}

type Place = Pick<Admitted, 'cluster' | 'info' | 'target' | 'prefix'>;

export class Admission {
  readonly #deps: ApiListenerDeps;
  readonly #directory: ClusterDirectory;
  readonly #clusters: ReadonlyMap<string, UpstreamCluster>;
  readonly #isDraining: () => boolean;

  constructor(deps: ApiListenerDeps, isDraining: () => boolean) {
    this.#deps = deps;
    this.#directory = clusterDirectory(deps.clusters);
    this.#clusters = new Map(deps.clusters.map((cluster) => [cluster.name, cluster]));
    this.#isDraining = isDraining;
  }

  /** Never rejects: what goes wrong is a refusal, so that no caller can take a fault for a yes. */
  async admit(exchange: Exchange, { upgrade }: { readonly upgrade: boolean }): Promise<Result<Admitted, Refusal>> {
    try {
      const place = this.#locate(exchange);
      if (!place.ok) return place;
      // In the tick of the first check and before any await: from here on a revocation or a fence ends it.
      exchange.register(this.#deps.gate);
      const closed = this.#closed();
      if (closed !== undefined) return no(closed);
      return await this.#letIn(exchange, place.value, upgrade);
    } catch (error) {
      if (error instanceof AppError) return no(errorRefusal(error));
      this.#deps.logger.error({ err: error, auditId: exchange.auditId }, 'a request could not be admitted');
      return no(internalError());
    }
  }

  #locate(exchange: Exchange): Result<Place, Refusal> {
    const { facts } = exchange;
    const { servername } = facts.connection;
    const selected = selectCluster(this.#directory, {
      hosts: valuesOf(facts.raw, 'host'),
      target: facts.target,
      ...(servername === undefined ? {} : { serverName: servername }),
    });
    const cluster = selected.ok ? this.#clusters.get(selected.value.cluster) : undefined;
    if (!selected.ok || cluster === undefined)
      return no(clusterRefusal(selected.ok ? 'cluster_unknown' : selected.reason));
    const path = requestPath(facts.method, selected.value.target);
    if (!path.ok) {
      exchange.describe(exchange.record.info, cluster.name);
      return no(pathRefusal(path.reason));
    }
    const { target } = path.value;
    const info = requestInfo(facts.method, target);
    exchange.describe(info, cluster.name);
    return ok({ cluster, info, target, prefix: prefixOf(facts.target, target) });
  }

  #closed(): Refusal | undefined {
    if (this.#isDraining()) return draining();
    if (this.#deps.audit.blocked) return auditBlocked();
    return this.#deps.gate.fenced ? fenced() : undefined;
  }

  async #letIn(exchange: Exchange, place: Place, upgrade: boolean): Promise<Result<Admitted, Refusal>> {
    const { authenticate, gate, publicUrl } = this.#deps;
    const words = { publicUrl };
    const { raw, connection } = exchange.facts;
    const token = bearerToken(raw);
    if (!token.ok) return no(credentialRefusal(token.reason, words));
    if (token.value === undefined) return no(credentialRefusal('no_token', words));
    const audience = clusterAudience(place.cluster.name);
    const caller = await authenticate({ token: token.value, audience, thumbprint: connection.thumbprint });
    if (!caller.ok) return no(credentialRefusal(caller.reason, words));
    exchange.bind(caller.value);
    const shut = gate.check(caller.value.credential);
    if (shut !== undefined) return no(credentialRefusal(shut, words));
    // Never dropped in silence: `kubectl --as=limited` must not run with the person's full rights.
    if (findImpersonation(raw).length > 0) return no(impersonationRefusal(caller.value.identity.username));

    const upstreamToken = await place.cluster.token();
    const shutMeanwhile = gate.check(caller.value.credential);
    if (shutMeanwhile !== undefined) return no(credentialRefusal(shutMeanwhile, words));
    const headers = buildUpstreamHeaders({
      raw,
      belowProxy: place.info.subresource === 'proxy' || place.info.verb === 'proxy',
      upgrade,
      upstreamToken,
      identity: limitIdentity(caller.value.identity, place.cluster.impersonate),
      sessionId: caller.value.credential.session,
      auditId: exchange.auditId,
      forwardedFor: connection.address,
    });
    return ok({ ...place, headers, sessionExpiresAt: caller.value.sessionExpiresAt });
  }
}

/** `/clusters/prod/api` was cut to `/api`, and `/clusters/prod` to `/`. */
function prefixOf(whole: string, rest: string): string {
  if (whole === rest) return '';
  return whole.endsWith(rest) ? whole.slice(0, whole.length - rest.length) : whole;
}

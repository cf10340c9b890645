/**
 * The one way in, for requests and for upgrades alike: find cluster, normalise, register, authenticate, check, take a place, judge a
 * client's own impersonation, build headers. What comes out of here may be dialled; everything else has a refusal.
 */
import { bearerToken } from '../../core/credential/bearer-token.ts';
import { clusterDirectory, selectCluster } from '../../core/request/cluster-selection.ts';
import type { ClusterDirectory } from '../../core/request/cluster-selection.ts';
import { clusterAudience } from '../../core/core.ts';
import { AppError } from '../../core/errors.ts';
import { requestedIdentity } from '../../core/http/impersonation.ts';
import { requestInfo } from '../../core/request/request-info.ts';
import type { RequestInfo } from '../../core/request/request-info.ts';
import { requestPath } from '../../core/request/request-path.ts';
import { no, ok } from '../../core/result.ts';
import type { Result } from '../../core/result.ts';
import {
  buildPassthroughHeaders,
  buildUpstreamHeaders,
  findImpersonation,
  limitIdentity,
} from '../../core/http/upstream-headers.ts';
import { createClusterReviews } from './cluster-reviews.ts';
import type { ClusterReviews } from './cluster-reviews.ts';
import { Delegation } from './user-impersonation.ts';
import { DEFAULT_TIMING } from '../dependencies.ts';
import type { ApiListenerDeps, UpstreamCluster } from '../dependencies.ts';
import type { Exchange } from '../exchange.ts';
import { InFlight } from './concurrency-limit.ts';
import { isForeign, Passthrough } from './passthrough.ts';
import { valuesOf } from '../raw-headers.ts';
import { SessionAddresses } from './session-addresses.ts';
import {
  auditBlocked,
  clusterRejection,
  credentialRejection,
  draining,
  errorRejection,
  fenced,
  impersonationRejection,
  internalError,
  passthroughRejection,
  pathRejection,
  tooManyAtCluster,
  tooManyOfPerson,
  type Words,
} from '../rejections.ts';
import type { Rejection } from '../status.ts';

/** Ready to be dialled. */
export interface Admitted {
  readonly cluster: UpstreamCluster;
  readonly info: RequestInfo;
  /** Path and query, exactly as to be forwarded. */
  readonly target: string;
  /** Of the client's target, where that chose the cluster; what leads the client anywhere begins with it. */
  readonly prefix: string;
  /** By whom places are counted: an account, or a service account that passes with its own token. */
  readonly person: string;
  /** Flat list for the API server, without `Host`. */
  readonly headers: string[];
  /** True where it goes under the gate's own account, by impersonation; false for a service account with its own token. */
  readonly impersonates: boolean;
  /** Epoch seconds. */
  readonly sessionExpiresAt: number;
}

type Place = Pick<Admitted, 'cluster' | 'info' | 'target' | 'prefix'>;

interface Arrival {
  readonly exchange: Exchange;
  readonly place: Place;
  readonly upgrade: boolean;
  /** Never logged. */
  readonly token: string;
}

export class Admission {
  readonly #deps: ApiListenerDeps;
  readonly #directory: ClusterDirectory;
  readonly #clusters: ReadonlyMap<string, UpstreamCluster>;
  /** A gate that shuts down lets nothing in that lasts. */
  readonly #isShutFor: (info: RequestInfo) => boolean;
  readonly #words: Words;
  readonly #reviews: ReadonlyMap<string, ClusterReviews>;
  readonly #delegation: Delegation;
  readonly #passthrough: Passthrough;
  readonly #inFlight: InFlight;
  readonly #addresses = new SessionAddresses();

  constructor(deps: ApiListenerDeps, isShutFor: (info: RequestInfo) => boolean) {
    this.#deps = deps;
    this.#directory = clusterDirectory(deps.clusters);
    this.#clusters = new Map(deps.clusters.map((cluster) => [cluster.name, cluster]));
    this.#isShutFor = isShutFor;
    this.#words = { publicUrl: deps.publicUrl, whyEnded: deps.whyEnded, thirdParties: deps.thirdParties };
    const { metrics, logger, clock } = deps;
    const timing = { ...DEFAULT_TIMING, ...deps.timing };
    this.#reviews = new Map(
      deps.clusters.map((cluster) => [cluster.name, createClusterReviews(cluster, { timing, metrics, logger, clock })]),
    );
    const reviewsOf = (cluster: string): ClusterReviews => {
      const reviews = this.#reviews.get(cluster);
      if (reviews === undefined) throw new Error(`no cluster ${cluster}`);
      return reviews;
    };
    this.#delegation = new Delegation(reviewsOf, clock);
    this.#passthrough = new Passthrough(reviewsOf, clock);
    this.#inFlight = new InFlight(deps.limits);
    deps.guard.onChange((change) => this.#delegation.drop(change));
  }

  async close(): Promise<void> {
    await Promise.all([...this.#reviews.values()].map((reviews) => reviews.close()));
  }

  /** Never rejects: what goes wrong is a refusal, so that no caller can take a fault for a yes. */
  async admit(exchange: Exchange, { upgrade }: { readonly upgrade: boolean }): Promise<Result<Admitted, Rejection>> {
    try {
      const place = this.#locate(exchange);
      if (!place.ok) return place;
      // In the tick of the first check and before any await: from here on a revocation or a fence ends it.
      exchange.register(this.#deps.guard);
      const closed = this.#closed(place.value.info);
      if (closed !== undefined) return no(closed);
      const admitted = await this.#letIn(exchange, place.value, upgrade);
      // The caller asks once more whether it may pass: the disk took its time.
      return admitted.ok && !(await exchange.record.writeAhead({ upgrade })) ? no(auditBlocked()) : admitted;
    } catch (error) {
      if (error instanceof AppError) return no(errorRejection(error));
      this.#deps.logger.error({ err: error, auditId: exchange.auditId }, 'a request could not be admitted');
      return no(internalError());
    }
  }

  #locate(exchange: Exchange): Result<Place, Rejection> {
    const { facts } = exchange;
    const { servername } = facts.connection;
    const selected = selectCluster(this.#directory, {
      hosts: valuesOf(facts.raw, 'host'),
      target: facts.target,
      ...(servername === undefined ? {} : { serverName: servername }),
    });
    const cluster = selected.ok ? this.#clusters.get(selected.value.cluster) : undefined;
    if (!selected.ok || cluster === undefined)
      return no(clusterRejection(selected.ok ? 'cluster_unknown' : selected.reason));
    const path = requestPath(facts.method, selected.value.target);
    if (!path.ok) {
      exchange.describe(exchange.record.info, cluster.name);
      return no(pathRejection(path.reason));
    }
    const { target } = path.value;
    const info = requestInfo(facts.method, target);
    exchange.describe(info, cluster.name);
    return ok({ cluster, info, target, prefix: selected.value.prefix });
  }

  #closed(info: RequestInfo): Rejection | undefined {
    if (this.#isShutFor(info)) return draining();
    if (this.#deps.audit.blocked) return auditBlocked();
    return this.#deps.guard.fenced ? fenced() : undefined;
  }

  async #letIn(exchange: Exchange, place: Place, upgrade: boolean): Promise<Result<Admitted, Rejection>> {
    const words = this.#words;
    const token = bearerToken(exchange.facts.raw);
    if (!token.ok) return no(credentialRejection(token.reason, words));
    if (token.value === undefined) return no(credentialRejection('no_token', words));
    const arrival = { exchange, place, upgrade, token: token.value };
    // Our publicUrl is our issuer: a token that names it is ours or nobody's.
    const passes = place.cluster.serviceAccountPassthrough === true && isForeign(token.value, words.publicUrl);
    return passes ? this.#serviceAccount(arrival) : this.#person(arrival);
  }

  async #person({ exchange, place, upgrade, token }: Arrival): Promise<Result<Admitted, Rejection>> {
    const { authenticate, guard } = this.#deps;
    const { cluster } = place;
    const { raw, connection } = exchange.facts;
    const audience = clusterAudience(cluster.name);
    const caller = await authenticate({ token, audience, thumbprint: connection.thumbprint });
    if (!caller.ok) return no(credentialRejection(caller.reason, this.#words, caller));
    const { credential } = caller.value;
    exchange.bind(caller.value);
    const shut = guard.check(credential);
    if (shut !== undefined) return no(credentialRejection(shut, this.#words, credential));
    this.#noteAddress(credential.session, connection.address);
    const full = this.#takePlace(exchange, credential.account, cluster.name);
    if (full !== undefined) return no(full);

    const identity = limitIdentity(caller.value.identity, cluster.impersonate);
    // Never dropped in silence: `kubectl --as=limited` must not run with the person's full rights.
    const wanted = requestedIdentity(raw);
    if (!wanted.ok) return no(impersonationRejection(wanted.reason));
    if (wanted.value !== undefined) {
      exchange.record.impersonated = wanted.value;
      const { session, account } = credential;
      const question = { cluster, person: identity, session, account, wanted: wanted.value };
      const refused = await this.#delegation.judge(question);
      if (refused !== undefined) return no(refused);
    }
    const upstreamToken = await cluster.token();
    // The reviews and the token took their time.
    const shutMeanwhile = guard.check(credential);
    if (shutMeanwhile !== undefined) return no(credentialRejection(shutMeanwhile, this.#words, credential));
    const headers = buildUpstreamHeaders({
      ...this.#passing(exchange, place, upgrade),
      upstreamToken,
      identity,
      ...(wanted.value === undefined ? {} : { actingAs: wanted.value }),
      sessionId: credential.session,
    });
    const { sessionExpiresAt } = caller.value;
    return ok({ ...place, person: credential.account, headers, impersonates: true, sessionExpiresAt });
  }

  /** With its own token, unchanged, and no impersonation: the cluster sees and judges the service account itself. */
  async #serviceAccount({ exchange, place, upgrade, token }: Arrival): Promise<Result<Admitted, Rejection>> {
    const { cluster } = place;
    const judged = await this.#passthrough.judge(cluster, token, exchange.facts.connection.address);
    if (!judged.ok) return no(passthroughRejection(judged.reason, this.#words));
    exchange.bindServiceAccount(judged.value);
    const person = `${cluster.name} ${judged.value.username}`;
    const full = this.#takePlace(exchange, person, cluster.name);
    if (full !== undefined) return no(full);
    if (findImpersonation(exchange.facts.raw).length > 0) {
      return no(passthroughRejection('passthrough_impersonation', this.#words));
    }
    if (this.#deps.guard.fenced) return no(fenced());
    const headers = buildPassthroughHeaders({ ...this.#passing(exchange, place, upgrade), clientToken: token });
    return ok({ ...place, person, headers, impersonates: false, sessionExpiresAt: Number.POSITIVE_INFINITY });
  }

  /** Never a reason to refuse: people do travel. Somebody looks at it. */
  #noteAddress(session: string, address: string): void {
    const { clock, metrics, logger } = this.#deps;
    if (!this.#addresses.isOneTooMany(session, address, clock.now() / 1000)) return;
    metrics.sessionAddressesExceeded();
    logger.warn({ session }, 'one session is used from many addresses: ask its person, and revoke it if in doubt');
  }

  #takePlace(exchange: Exchange, person: string, cluster: string): Rejection | undefined {
    const place = this.#inFlight.enter(person, cluster);
    if (place.ok) {
      exchange.hold(place.value);
      return undefined;
    }
    return place.reason === 'person'
      ? tooManyOfPerson(this.#inFlight.perPerson)
      : tooManyAtCluster(this.#inFlight.perCluster);
  }

  #passing(exchange: Exchange, { info }: Place, upgrade: boolean) {
    const { raw, connection } = exchange.facts;
    const belowProxy = info.subresource === 'proxy' || info.verb === 'proxy';
    return { raw, belowProxy, upgrade, auditId: exchange.auditId, forwardedFor: connection.address };
  }
}

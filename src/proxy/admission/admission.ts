/**
 * The one way in, for requests and for upgrades alike: find the cluster, normalise, register, authenticate, check,
 * acquire a connection slot, authorize user impersonation, build headers. Only an admitted request may be dialled;
 * everything else gets a rejection.
 */
import { bearerToken } from '../../core/credential/bearer-token.ts';
import { clusterDirectory, selectCluster } from '../../core/request/cluster-selection.ts';
import type { ClusterDirectory } from '../../core/request/cluster-selection.ts';
import { clusterAudience } from '../../core/core.ts';
import { andThen, orElse, type Awaitable } from '../../core/awaitable.ts';
import { grantIds, ownSession } from '../../core/credential/credential.ts';
import { AppError } from '../../core/errors.ts';
import { byHeaders } from '../../core/http/by-headers.ts';
import { isConstrained } from '../../core/http/constrained-impersonation.ts';
import { isBelowProxy, requestInfo } from '../../core/request/request-info.ts';
import type { RequestInfo } from '../../core/request/request-info.ts';
import { requestPath } from '../../core/request/request-path.ts';
import { no, ok } from '../../core/result.ts';
import type { Result } from '../../core/result.ts';
import { buildPassthroughHeaders, buildUpstreamHeaders } from '../../core/http/upstream-headers.ts';
import type { UpstreamHeaders } from '../../core/http/upstream-headers.ts';
import { firstRejection, notRevoked, SERVICE_ACCOUNT_CHECKS, USER_CHECKS, type CheckParts } from './checks.ts';
import { requestLimit } from './concurrency-limit.ts';
import { createDelegationCheck, type DelegatedPass } from './delegation-check.ts';
import { createClusterReviews } from './cluster-reviews.ts';
import type { ClusterReviews } from './cluster-reviews.ts';
import { UserImpersonation } from './user-impersonation.ts';
import { DEFAULT_TIMING } from '../dependencies.ts';
import type { ApiListenerDeps, UpstreamCluster } from '../dependencies.ts';
import type { Exchange } from '../exchange.ts';
import { isForeign, Passthrough } from './passthrough.ts';
import { valuesOf } from '../raw-headers.ts';
import { ServiceAccountQuestion, UserQuestion, type AdmissionRequest, type Route } from './request-question.ts';
import { SessionAddresses } from './session-addresses.ts';
import { createStepUpCheck } from './step-up-check.ts';
import {
  auditBlocked,
  clusterRejection,
  credentialRejection,
  draining,
  errorRejection,
  fenced,
  internalError,
  passthroughRejection,
  pathRejection,
  type MessageContext,
} from '../rejections.ts';
import type { Rejection } from '../status.ts';

/** Ready to be dialled. */
export interface Admitted extends Route {
  /**
   * The user whose connection slots are counted: an account, or a service account that passes with its own token.
   */
  readonly user: string;
  /** For the API server, without `Host`. */
  readonly headers: UpstreamHeaders;
  /**
   * True if it goes under the proxy's own account, by impersonation; false for a service account with its own
   * token.
   */
  readonly impersonates: boolean;
  /** Epoch seconds. */
  readonly sessionExpiresAt: number;
  /** Present if the request is of a delegated session. */
  readonly delegated?: DelegatedPass;
}

const hostsOf = byHeaders((raw) => valuesOf(raw, 'host'));
const tokenIn = byHeaders(bearerToken);

type Outcome = Result<Admitted, Rejection>;

export class Admission {
  readonly #deps: ApiListenerDeps;
  readonly #directory: ClusterDirectory;
  readonly #clusters: ReadonlyMap<string, UpstreamCluster>;
  /** Made once: a string that has just been put together is copied where it is compared. */
  readonly #audiences: ReadonlyMap<UpstreamCluster, string>;
  /** A server that shuts down admits no long-running request. */
  readonly #isClosedFor: (info: RequestInfo) => boolean;
  readonly #messages: MessageContext;
  readonly #reviews: ReadonlyMap<string, ClusterReviews>;
  readonly #passthrough: Passthrough;
  readonly #parts: CheckParts;

  constructor(deps: ApiListenerDeps, isClosedFor: (info: RequestInfo) => boolean) {
    this.#deps = deps;
    this.#directory = clusterDirectory(deps.clusters);
    this.#clusters = new Map(deps.clusters.map((cluster) => [cluster.name, cluster]));
    this.#audiences = new Map(deps.clusters.map((cluster) => [cluster, clusterAudience(cluster.name)]));
    this.#isClosedFor = isClosedFor;
    this.#messages = { publicUrl: deps.publicUrl, whyEnded: deps.whyEnded, thirdParties: deps.thirdParties };
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
    this.#passthrough = new Passthrough(reviewsOf, clock);
    const impersonation = new UserImpersonation(reviewsOf, clock);
    deps.guard.onChange((change) => impersonation.drop(change));
    this.#parts = {
      deps,
      messages: this.#messages,
      addresses: new SessionAddresses(),
      delegation: createDelegationCheck(deps.delegation),
      stepUp: createStepUpCheck(deps),
      slots: requestLimit(deps.limits),
      impersonation,
    };
  }

  close(): void {
    for (const reviews of this.#reviews.values()) reviews.close();
  }

  /**
   * Admits a request, in the same tick where nothing has to be waited for. Never throws and never rejects its promise:
   * every error becomes a rejection of the request, so that no caller can take an error for an admission.
   */
  admit(exchange: Exchange, { upgrade }: { readonly upgrade: boolean }): Awaitable<Outcome> {
    return orElse(
      () => this.#admit(exchange, upgrade),
      (error) => {
        if (error instanceof AppError) return no(errorRejection(error));
        this.#deps.logger.error({ err: error, auditId: exchange.auditId }, 'request not admitted');
        return no(internalError());
      },
    );
  }

  #admit(exchange: Exchange, upgrade: boolean): Awaitable<Outcome> {
    const route = this.#locate(exchange);
    if (!route.ok) return route;
    // In the tick of the first check and before any await: from here on a revocation or a fence ends it.
    exchange.register(this.#deps.guard);
    const closed = this.#closed(route.value.info);
    if (closed !== undefined) return no(closed);
    const token = this.#tokenOf(exchange);
    if (!token.ok) return token;
    const request = { exchange, route: route.value, upgrade, token: token.value };
    const admitted = this.#isServiceAccount(request) ? this.#admitServiceAccount(request) : this.#admitUser(request);
    return andThen(admitted, (outcome) => {
      if (!outcome.ok) return outcome;
      // The caller checks once more whether it may pass, because the disk took time.
      return andThen(exchange.audit.writeAhead({ upgrade }), (written) => (written ? outcome : no(auditBlocked())));
    });
  }

  #locate(exchange: Exchange): Result<Route, Rejection> {
    const { facts } = exchange;
    const selected = selectCluster(this.#directory, {
      hosts: hostsOf(facts.raw),
      target: facts.target,
      serverName: facts.connection.servername,
    });
    const cluster = selected.ok ? this.#clusters.get(selected.value.cluster) : undefined;
    if (!selected.ok || cluster === undefined)
      return no(clusterRejection(selected.ok ? 'cluster_unknown' : selected.reason));
    const path = requestPath(facts.method, selected.value.target);
    if (!path.ok) {
      exchange.describe(exchange.audit.info, cluster.name);
      return no(pathRejection(path.reason));
    }
    const { target } = path.value;
    const info = requestInfo(facts.method, target);
    exchange.describe(info, cluster.name);
    return ok({ cluster, info, target, prefix: selected.value.prefix });
  }

  #closed(info: RequestInfo): Rejection | undefined {
    if (this.#isClosedFor(info)) return draining();
    if (this.#deps.audit.blocked) return auditBlocked();
    return this.#deps.guard.fenced ? fenced() : undefined;
  }

  #tokenOf(exchange: Exchange): Result<string, Rejection> {
    const token = tokenIn(exchange.facts.raw);
    if (!token.ok) return no(credentialRejection(token.reason, this.#messages));
    return token.value === undefined ? no(credentialRejection('no_token', this.#messages)) : ok(token.value);
  }

  #isServiceAccount({ route, token }: AdmissionRequest): boolean {
    // Our publicUrl is our issuer: a token that names it is ours or no one's.
    return route.cluster.serviceAccountPassthrough === true && isForeign(token, this.#messages.publicUrl);
  }

  #admitUser(request: AdmissionRequest): Awaitable<Outcome> {
    const { exchange, route, token } = request;
    const audience = this.#audiences.get(route.cluster) ?? clusterAudience(route.cluster.name);
    const { thumbprint } = exchange.facts.connection;
    return andThen(this.#deps.authenticate({ token, audience, thumbprint }), (caller) => {
      if (!caller.ok) return no(credentialRejection(caller.reason, this.#messages, caller));
      exchange.bind(caller.value);
      const question = new UserQuestion(request, caller.value);
      return andThen(firstRejection(USER_CHECKS, question, this.#parts), (rejection) =>
        rejection === undefined ? this.#asUser(question) : no(rejection),
      );
    });
  }

  /** Builds the headers by which the proxy's own account impersonates the user, or whom the user acts as. */
  #asUser(question: UserQuestion): Awaitable<Outcome> {
    const { exchange, route, upgrade, caller, user } = question;
    const { cluster, info, target, prefix } = route;
    const { credential, sessionExpiresAt } = caller;
    return andThen(cluster.token(), (upstreamToken) => {
      // The reviews and the token took time.
      const rejection = notRevoked(question, this.#parts);
      if (rejection !== undefined) return no(rejection);
      const delegated = this.#parts.delegation.passOf(question);
      const headers = buildUpstreamHeaders({
        raw: exchange.facts.raw,
        belowProxy: isBelowProxy(info),
        upgrade,
        upstreamToken,
        identity: question.identity,
        actingAs: question.impersonated,
        constrained: isConstrained(cluster.impersonate),
        sessionId: ownSession(credential),
        delegated,
        grantIds: grantIds(caller),
        auditId: exchange.auditId,
        forwardedFor: question.address,
      });
      const admitted = { cluster, info, target, prefix, user, headers, impersonates: true, sessionExpiresAt };
      return ok(delegated === undefined ? admitted : { ...admitted, delegated });
    });
  }

  async #admitServiceAccount(request: AdmissionRequest): Promise<Outcome> {
    const { exchange, route, token } = request;
    const judged = await this.#passthrough.judge(route.cluster, token, exchange.facts.connection.address);
    if (!judged.ok) return no(passthroughRejection(judged.reason, this.#messages));
    exchange.bindServiceAccount(judged.value);
    const question = new ServiceAccountQuestion(request, judged.value);
    return andThen(firstRejection(SERVICE_ACCOUNT_CHECKS, question, this.#parts), (rejection) =>
      rejection === undefined ? this.#asServiceAccount(question, token) : no(rejection),
    );
  }

  /**
   * Builds the headers with a service account's own token, unchanged, and no impersonation: the cluster authenticates
   * and authorizes the service account itself.
   */
  #asServiceAccount({ exchange, route, upgrade, user, address }: ServiceAccountQuestion, clientToken: string): Outcome {
    const headers = buildPassthroughHeaders({
      raw: exchange.facts.raw,
      belowProxy: isBelowProxy(route.info),
      upgrade,
      clientToken,
      auditId: exchange.auditId,
      forwardedFor: address,
    });
    return ok({ ...route, user, headers, impersonates: false, sessionExpiresAt: Number.POSITIVE_INFINITY });
  }
}

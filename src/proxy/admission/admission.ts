/**
 * The one way in, for requests and for upgrades alike: find the cluster, normalise, register, authenticate, check,
 * acquire a connection slot, authorize user impersonation, build headers. Only an admitted request may be dialled;
 * everything else gets a rejection.
 */
import { findImpersonation } from '../../core/http/header-names.ts';
import { bearerToken } from '../../core/credential/bearer-token.ts';
import { clusterDirectory, selectCluster } from '../../core/request/cluster-selection.ts';
import type { ClusterDirectory } from '../../core/request/cluster-selection.ts';
import { clusterAudience } from '../../core/core.ts';
import { andThen, orElse, type Awaitable } from '../../core/awaitable.ts';
import { grantIds, ownSession, type Caller } from '../../core/credential/credential.ts';
import { AppError } from '../../core/errors.ts';
import type { Identity } from '../../core/identity/identity.ts';
import { byHeaders } from '../../core/http/by-headers.ts';
import { isConstrained } from '../../core/http/constrained-impersonation.ts';
import { requestedIdentity } from '../../core/http/impersonation.ts';
import { isBelowProxy, requestInfo } from '../../core/request/request-info.ts';
import type { RequestInfo } from '../../core/request/request-info.ts';
import { requestPath } from '../../core/request/request-path.ts';
import { no, ok } from '../../core/result.ts';
import type { Result } from '../../core/result.ts';
import { buildPassthroughHeaders, buildUpstreamHeaders, limitIdentity } from '../../core/http/upstream-headers.ts';
import type { UpstreamHeaders } from '../../core/http/upstream-headers.ts';
import { createDelegationCheck, type DelegatedPass, type DelegationCheck } from './delegation-check.ts';
import { createClusterReviews } from './cluster-reviews.ts';
import type { ClusterReviews } from './cluster-reviews.ts';
import { UserImpersonation } from './user-impersonation.ts';
import { DEFAULT_TIMING } from '../dependencies.ts';
import type { ApiListenerDeps, UpstreamCluster } from '../dependencies.ts';
import type { Exchange } from '../exchange.ts';
import { requestLimit } from './concurrency-limit.ts';
import { isForeign, Passthrough } from './passthrough.ts';
import { valuesOf } from '../raw-headers.ts';
import { SessionAddresses } from './session-addresses.ts';
import { createStepUpCheck, type StepUpCheck } from './step-up-check.ts';
import { impersonationRejection } from '../impersonation-rejections.ts';
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
  tooManyAtCluster,
  tooManyForUser,
  type MessageContext,
} from '../rejections.ts';
import type { Rejection } from '../status.ts';

/** Ready to be dialled. */
export interface Admitted {
  readonly cluster: UpstreamCluster;
  readonly info: RequestInfo;
  /** Path and query, exactly as they are to be forwarded. */
  readonly target: string;
  /**
   * The part of the client's target that chose the cluster, if any. Every location that is returned to the client
   * starts with it.
   */
  readonly prefix: string;
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
const contentTypesOf = byHeaders((raw) => valuesOf(raw, 'content-type'));
const tokenIn = byHeaders(bearerToken);
const impersonatedBy = byHeaders(requestedIdentity);

type Outcome = Result<Admitted, Rejection>;

type Route = Pick<Admitted, 'cluster' | 'info' | 'target' | 'prefix'>;

interface AdmissionRequest {
  readonly exchange: Exchange;
  readonly route: Route;
  readonly upgrade: boolean;
  /** Never logged. */
  readonly token: string;
}

export class Admission {
  readonly #deps: ApiListenerDeps;
  readonly #directory: ClusterDirectory;
  readonly #clusters: ReadonlyMap<string, UpstreamCluster>;
  /** A server that shuts down admits no long-running request. */
  readonly #isClosedFor: (info: RequestInfo) => boolean;
  readonly #messages: MessageContext;
  readonly #reviews: ReadonlyMap<string, ClusterReviews>;
  readonly #impersonation: UserImpersonation;
  readonly #passthrough: Passthrough;
  readonly #delegationCheck: DelegationCheck;
  /** Undefined where nothing needs a recent proof. */
  readonly #stepUpCheck: StepUpCheck | undefined;
  readonly #concurrency: ReturnType<typeof requestLimit>;
  readonly #addresses = new SessionAddresses();

  constructor(deps: ApiListenerDeps, isClosedFor: (info: RequestInfo) => boolean) {
    this.#deps = deps;
    this.#directory = clusterDirectory(deps.clusters);
    this.#clusters = new Map(deps.clusters.map((cluster) => [cluster.name, cluster]));
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
    this.#impersonation = new UserImpersonation(reviewsOf, clock);
    this.#passthrough = new Passthrough(reviewsOf, clock);
    this.#delegationCheck = createDelegationCheck(deps.delegation);
    this.#stepUpCheck = createStepUpCheck(deps);
    this.#concurrency = requestLimit(deps.limits);
    deps.guard.onChange((change) => this.#impersonation.drop(change));
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
    return andThen(this.#admitToken(exchange, route.value, upgrade), (admitted) => {
      if (!admitted.ok) return admitted;
      // The caller checks once more whether it may pass, because the disk took time.
      return andThen(exchange.audit.writeAhead({ upgrade }), (written) => (written ? admitted : no(auditBlocked())));
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

  #admitToken(exchange: Exchange, route: Route, upgrade: boolean): Awaitable<Outcome> {
    const context = this.#messages;
    const token = tokenIn(exchange.facts.raw);
    if (!token.ok) return no(credentialRejection(token.reason, context));
    if (token.value === undefined) return no(credentialRejection('no_token', context));
    const request = { exchange, route, upgrade, token: token.value };
    // Our publicUrl is our issuer: a token that names it is ours or no one's.
    const passes = route.cluster.serviceAccountPassthrough === true && isForeign(token.value, context.publicUrl);
    return passes ? this.#admitServiceAccount(request) : this.#admitUser(request);
  }

  #admitUser(request: AdmissionRequest): Awaitable<Outcome> {
    const { exchange, route, token } = request;
    const audience = clusterAudience(route.cluster.name);
    const { thumbprint } = exchange.facts.connection;
    return andThen(this.#deps.authenticate({ token, audience, thumbprint }), (caller) =>
      caller.ok
        ? this.#admitCaller(request, caller.value)
        : no(credentialRejection(caller.reason, this.#messages, caller)),
    );
  }

  #admitCaller(request: AdmissionRequest, caller: Caller): Awaitable<Outcome> {
    const { guard } = this.#deps;
    const { exchange, route } = request;
    const { cluster } = route;
    const { raw, connection } = exchange.facts;
    const { credential } = caller;
    exchange.bind(caller);
    const rejection = guard.check(credential);
    if (rejection !== undefined) return no(credentialRejection(rejection, this.#messages, credential));
    this.#noteAddress(credential.session, connection.address);
    const delegated = this.#checkDelegated(request, caller);
    if (delegated?.ok === false) return delegated;
    const unproven =
      this.#stepUpCheck === undefined ? undefined : this.#checkStepUp(this.#stepUpCheck, request, caller);
    if (unproven !== undefined) return no(unproven);
    const limitReached = this.#acquireSlot(exchange, credential.account, cluster.name);
    if (limitReached !== undefined) return no(limitReached);

    const identity = limitIdentity(caller.identity, cluster.impersonate);
    // Never dropped silently: `kubectl --as=limited` must not run with the user's full rights.
    const impersonated = impersonatedBy(raw);
    if (!impersonated.ok) return no(impersonationRejection(impersonated.reason));
    const actingAs = impersonated.value;
    const pass = delegated?.value;
    if (actingAs === undefined) return this.#admitIdentity(request, caller, { identity, delegated: pass });
    exchange.audit.impersonated = actingAs;
    const { info } = route;
    const who = { cluster, user: identity, credential, delegated: pass, grantIds: grantIds(caller) };
    const judged = this.#impersonation.judge({ ...who, impersonated: actingAs, info });
    return judged.then((rejected) =>
      rejected === undefined
        ? this.#admitIdentity(request, caller, { identity, actingAs, delegated: pass })
        : no(rejected),
    );
  }

  /** @returns undefined for a session that is not delegated */
  #checkDelegated(
    { exchange, route, upgrade }: AdmissionRequest,
    caller: Caller,
  ): Result<DelegatedPass, Rejection> | undefined {
    const { delegation } = caller;
    if (delegation === undefined) return undefined;
    const { raw, connection } = exchange.facts;
    const impersonated = impersonatedBy(raw);
    if (impersonated.ok) exchange.audit.impersonated = impersonated.value;
    const checked = this.#delegationCheck(caller, delegation, {
      cluster: route.cluster.name,
      info: route.info,
      upgrade,
      address: connection.address,
      contentTypes: contentTypesOf(raw),
      // What cannot be read as one identity is rejected below.
      impersonated: impersonated.ok ? impersonated.value : undefined,
    });
    this.#deps.metrics.delegatedRequest(route.cluster.name, checked.ok ? 'allowed' : 'refused');
    return checked;
  }

  /** Before a slot is taken and before anything is sent or reviewed. @returns undefined where the proof is recent enough */
  #checkStepUp(
    check: StepUpCheck,
    { exchange, route: { cluster, info }, upgrade }: AdmissionRequest,
    caller: Caller,
  ): Rejection | undefined {
    const { raw } = exchange.facts;
    const asked = impersonatedBy(raw);
    // What cannot be read as one identity is rejected below.
    const impersonated = asked.ok ? asked.value : undefined;
    const question = { cluster: cluster.name, info, upgrade, contentTypes: contentTypesOf(raw), impersonated };
    const rejected = check.user(caller, question);
    if (rejected === undefined) return undefined;
    exchange.audit.impersonated = impersonated;
    this.#deps.metrics.stepUpNeeded?.(cluster.name);
    return rejected;
  }

  #admitIdentity(
    { exchange, route, upgrade }: AdmissionRequest,
    caller: Caller,
    {
      identity,
      actingAs,
      delegated,
    }: { readonly identity: Identity; readonly actingAs?: Identity; readonly delegated: DelegatedPass | undefined },
  ): Awaitable<Outcome> {
    const { credential, sessionExpiresAt } = caller;
    return andThen(route.cluster.token(), (upstreamToken) => {
      // The reviews and the token took time.
      const rejection = this.#deps.guard.check(credential);
      if (rejection !== undefined) return no(credentialRejection(rejection, this.#messages, credential));
      const { cluster, info, target, prefix } = route;
      const headers = buildUpstreamHeaders({
        raw: exchange.facts.raw,
        belowProxy: isBelowProxy(info),
        upgrade,
        upstreamToken,
        identity,
        actingAs,
        constrained: isConstrained(cluster.impersonate),
        sessionId: ownSession(credential),
        delegated,
        grantIds: grantIds(caller),
        auditId: exchange.auditId,
        forwardedFor: exchange.facts.connection.address,
      });
      const user = credential.account;
      const admitted = { cluster, info, target, prefix, user, headers, impersonates: true, sessionExpiresAt };
      return ok(delegated === undefined ? admitted : { ...admitted, delegated });
    });
  }

  /**
   * Admits a service account with its own token, unchanged, and no impersonation: the cluster authenticates and
   * authorizes the service account itself.
   */
  async #admitServiceAccount({ exchange, route, upgrade, token }: AdmissionRequest): Promise<Outcome> {
    const { cluster } = route;
    const judged = await this.#passthrough.judge(cluster, token, exchange.facts.connection.address);
    if (!judged.ok) return no(passthroughRejection(judged.reason, this.#messages));
    exchange.bindServiceAccount(judged.value);
    const unproven = this.#stepUpCheck?.serviceAccount(judged.value.username, {
      cluster: cluster.name,
      info: route.info,
      upgrade,
      contentTypes: contentTypesOf(exchange.facts.raw),
    });
    if (unproven !== undefined) {
      this.#deps.metrics.stepUpNeeded?.(cluster.name);
      return no(unproven);
    }
    const user = `${cluster.name} ${judged.value.username}`;
    const limitReached = this.#acquireSlot(exchange, user, cluster.name);
    if (limitReached !== undefined) return no(limitReached);
    if (findImpersonation(exchange.facts.raw).length > 0) {
      return no(passthroughRejection('passthrough_impersonation', this.#messages));
    }
    if (this.#deps.guard.fenced) return no(fenced());
    const { raw, connection } = exchange.facts;
    const headers = buildPassthroughHeaders({
      raw,
      belowProxy: isBelowProxy(route.info),
      upgrade,
      clientToken: token,
      auditId: exchange.auditId,
      forwardedFor: connection.address,
    });
    return ok({ ...route, user, headers, impersonates: false, sessionExpiresAt: Number.POSITIVE_INFINITY });
  }

  /**
   * Reports a session that is used from many addresses. Never a reason to reject, because users do travel. An
   * operator checks it.
   */
  #noteAddress(session: string, address: string): void {
    const { clock, metrics, logger } = this.#deps;
    if (!this.#addresses.isOneTooMany(session, address, clock.nowMs() / 1000)) return;
    metrics.sessionAddressesExceeded();
    logger.warn({ session }, 'session used from many addresses; find out whether its credential was stolen');
  }

  #acquireSlot(exchange: Exchange, user: string, cluster: string): Rejection | undefined {
    const slot = this.#concurrency.acquire({ user, cluster });
    if (slot.ok) {
      exchange.hold(slot.value);
      return undefined;
    }
    const { most } = this.#concurrency;
    return slot.reason === 'user' ? tooManyForUser(most.user) : tooManyAtCluster(most[slot.reason]);
  }
}

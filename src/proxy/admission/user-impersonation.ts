/**
 * Authorizes user impersonation (`kubectl --as`). The cluster itself is asked, attribute by attribute.
 *
 * An attacker could impersonate anyone: the proxy's own account may, so the API server would grant whatever the
 * proxy sends. These reviews about the real user are therefore the only barrier between a user and full rights.
 * Every one of them must allow; no response is a denial.
 *
 * Where the proxy itself impersonates in a constrained mode (`clusters[].impersonate.constrained`), the user is
 * reviewed as the API server would judge them: first by the constrained verbs, then by the legacy one. An attacker
 * may hold a constrained right at a cluster that does not know constrained impersonation: there it means nothing, and
 * must mean nothing here. So it counts only if the proxy's own account could not impersonate this user by the legacy
 * verb: then no API server carries the request out but one that knows the constrained verbs.
 */
import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { EXTRA_ACTOR, EXTRA_DELEGATED_SESSION, EXTRA_GRANT, EXTRA_SESSION } from '../../core/core.ts';
import { ownSession, type Credential } from '../../core/credential/credential.ts';
import type { Identity } from '../../core/identity/identity.ts';
import {
  constrainedAttributes,
  constrainedMode,
  type ImpersonateOnAttributes,
  impersonateOn,
  unconstrained,
} from '../../core/http/constrained-impersonation.ts';
import { beyondLimits, impersonateAttributes, MOST_REVIEWS } from '../../core/http/impersonation.ts';
import type { ImpersonateAttributes } from '../../core/http/impersonation.ts';
import type { DelegatedExtras } from '../../core/http/upstream-headers.ts';
import type { RequestInfo } from '../../core/request/request-info.ts';
import { isCoveredBy, type CoveringKeys, type LogChange } from '../../core/credential/revocation.ts';
import type { ClusterReviews, Members, ReviewPath } from './cluster-reviews.ts';
import type { UpstreamCluster } from '../dependencies.ts';
import type { Clock } from '../../contracts/clock.ts';
import {
  impersonationDenied,
  impersonationNotConfigured,
  impersonationTooLarge,
  impersonationUnconstrained,
} from '../impersonation-rejections.ts';
import { tooManyReviews } from '../rejections.ts';
import type { Rejection } from '../status.ts';

/** Seconds. How long a right that was removed in RBAC may still be used through the proxy. */
const RESULT_SECONDS = 5;
const MAX_RESULTS = 10_000;
/** For one account at a time: the reviews of one user must not take every connection there is for them. */
const MAX_WAITING = 4 * MOST_REVIEWS;

export interface ImpersonationRequest {
  readonly cluster: Pick<UpstreamCluster, 'name' | 'impersonate'>;
  /**
   * The real user, as this cluster knows them: an attribute that `impersonate` leaves out gives no rights here
   * either.
   */
  readonly user: Identity;
  readonly credential: Pick<Credential, 'session' | 'ancestors' | 'account' | 'keys'>;
  /** Of a delegated session: what the API server would see of it. */
  readonly delegated?: DelegatedExtras | undefined;
  /** `grantIds` of the grants whose groups `user` has: a result is never that of a request without them. */
  readonly grantIds?: string | undefined;
  readonly impersonated: Identity;
  /** What the request is about. */
  readonly info: RequestInfo;
}

/** One review: of the user, or of the proxy's own account. */
interface Review {
  readonly path: ReviewPath;
  readonly kind: string;
  readonly spec: Members;
  /** Whether a response proves what is asked; everything else does not. */
  readonly proves: (status: Members) => boolean;
}

interface KnownResult {
  readonly keys: CoveringKeys;
  readonly proven: boolean;
  /** Epoch seconds. */
  readonly until: number;
}

export class UserImpersonation {
  readonly #reviews: (cluster: string) => Pick<ClusterReviews, 'ask'>;
  readonly #clock: Clock;
  readonly #results = new LRUCache<string, KnownResult>({ max: MAX_RESULTS });
  readonly #waiting = new Map<string, number>();
  /** Counts changes: the result of a review from before one is not kept. */
  #generation = 0;

  constructor(reviews: (cluster: string) => Pick<ClusterReviews, 'ask'>, clock: Clock) {
    this.#reviews = reviews;
    this.#clock = clock;
  }

  /**
   * @returns undefined if everything is allowed
   * @throws AppError `upstream_unavailable` if one review has no response
   */
  async judge(question: ImpersonationRequest): Promise<Rejection | undefined> {
    const { cluster, user, impersonated, credential } = question;
    const { account } = credential;
    const beyond = beyondLimits(impersonated, cluster.impersonate);
    if (beyond !== undefined) return impersonationNotConfigured(beyond);
    const legacy = impersonateAttributes(impersonated);
    if (legacy.length > MOST_REVIEWS) return impersonationTooLarge(legacy.length, MOST_REVIEWS);
    const { constrained } = cluster.impersonate;
    const impossible = constrained === 'off' ? undefined : unconstrained(impersonated);
    if (impossible !== undefined) return impersonationUnconstrained(impossible);
    // Those at the same time: in a constrained mode, first that of the request and that of the proxy's account.
    const atOnce = constrained === 'off' ? legacy.length : Math.max(2, legacy.length);
    const waiting = this.#waiting.get(account) ?? 0;
    if (waiting + atOnce > MAX_WAITING) return tooManyReviews();
    this.#waiting.set(account, waiting + atOnce);
    try {
      const denied =
        constrained === 'off' ? await this.#firstDenied(question, legacy) : await this.#inAnyMode(question, legacy);
      return denied === undefined ? undefined : impersonationDenied(user.username, denied);
    } finally {
      const left = (this.#waiting.get(account) ?? 0) - atOnce;
      if (left > 0) this.#waiting.set(account, left);
      else this.#waiting.delete(account);
    }
  }

  /**
   * Reviews the user by the constrained mode and then by the legacy verb; one of them must allow everything.
   * @returns the first attributes that were denied, as the API server names them
   */
  async #inAnyMode(
    question: ImpersonationRequest,
    legacy: readonly ImpersonateAttributes[],
  ): Promise<ImpersonateOnAttributes | undefined> {
    const [name] = legacy;
    if (name === undefined) throw new Error('no user to review');
    const on = impersonateOn(constrainedMode(question.impersonated), question.info);
    // The account needs the legacy verb on every attribute, so its right to this name is where that fails first.
    const [accountDenied, allowed] = await this.#ask(question, [ownReview(name), userReview(question, on)]);
    if (accountDenied !== true) return this.#firstDenied(question, legacy);
    const constrained =
      allowed === true ? await this.#firstDenied(question, constrainedAttributes(question.impersonated)) : on;
    return constrained === undefined || (await this.#firstDenied(question, legacy)) === undefined
      ? undefined
      : constrained;
  }

  /** @returns the first attributes that are denied to the user; undefined if all are allowed */
  async #firstDenied(
    question: ImpersonationRequest,
    attributes: readonly ImpersonateAttributes[],
  ): Promise<ImpersonateAttributes | undefined> {
    const allowed = await this.#ask(
      question,
      attributes.map((each) => userReview(question, each)),
    );
    return attributes.find((_each, index) => allowed[index] !== true);
  }

  /** @returns of each review, whether it proves what is asked */
  async #ask(question: ImpersonationRequest, reviews: readonly Review[]): Promise<readonly boolean[]> {
    // All are settled: a review that is still open when another has failed would go on uncounted.
    const settled = await Promise.allSettled(reviews.map((review) => this.#proven(question, review)));
    const failed = settled.find((each) => each.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
    return settled.map((each) => each.status === 'fulfilled' && each.value);
  }

  /** Drops what the change concerns. @param change undefined: everything */
  drop(change: LogChange | undefined): void {
    if (change?.kind === 'unlocked' || change?.kind === 'drill') return;
    this.#generation += 1;
    if (change?.kind !== 'identity-changed') {
      this.#results.clear();
      return;
    }
    // A delegated session has the identity of the user's own session.
    for (const [key, { keys }] of this.#results.entries()) if (isCoveredBy(keys, change.key)) this.#results.delete(key);
  }

  async #proven({ cluster, credential }: ImpersonationRequest, { path, kind, spec, proves }: Review): Promise<boolean> {
    // Holds the cluster, the session and every attribute of the user: another version of the identity is another
    // key.
    const key = createHash('sha256')
      .update(JSON.stringify([cluster.name, credential.session, kind, spec]))
      .digest('base64url');
    const known = this.#results.get(key);
    if (known !== undefined && known.until > this.#nowSeconds()) return known.proven;
    const generation = this.#generation;
    const proven = proves(await this.#reviews(cluster.name).ask(path, kind, spec));
    const until = this.#nowSeconds() + RESULT_SECONDS;
    if (generation === this.#generation) this.#results.set(key, { keys: credential.keys, proven, until });
    return proven;
  }

  #nowSeconds(): number {
    return this.#clock.nowMs() / 1000;
  }
}

const userReview = (question: ImpersonationRequest, attributes: ImpersonateOnAttributes): Review => ({
  path: '/apis/authorization.k8s.io/v1/subjectaccessreviews',
  kind: 'SubjectAccessReview',
  spec: { ...subjectOf(question), ...attributesSpec(attributes) },
  // Only the boolean `true` means allowed, and not if the response denies as well.
  proves: ({ allowed, denied }) => allowed === true && denied !== true,
});

/**
 * Asks whether the proxy's own account lacks a right. An attacker with a constrained right that means nothing at a cluster
 * gains by every wrong "it does", as of an authorizer that could not be asked, so a denial with an error proves nothing.
 */
const ownReview = (attributes: ImpersonateAttributes): Review => ({
  path: '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews',
  kind: 'SelfSubjectAccessReview',
  spec: attributesSpec(attributes),
  proves: ({ allowed, evaluationError = '' }) => allowed === false && evaluationError === '',
});

/**
 * The user as the API server would see them. It adds `system:authenticated` to an impersonated user, and to no user
 * that a review is about.
 */
const subjectOf = ({
  user: { username, uid, groups, extra },
  credential,
  delegated,
  grantIds,
}: ImpersonationRequest): Members => ({
  user: username,
  uid,
  groups: [...new Set([...groups, 'system:authenticated'])],
  extra: {
    ...extra,
    [EXTRA_SESSION]: [ownSession(credential)],
    ...(grantIds === undefined ? {} : { [EXTRA_GRANT]: [grantIds] }),
    ...(delegated === undefined
      ? {}
      : { [EXTRA_DELEGATED_SESSION]: [delegated.session], [EXTRA_ACTOR]: [delegated.actor] }),
  },
});

function attributesSpec(attributes: ImpersonateOnAttributes): Members {
  if ('path' in attributes) return { nonResourceAttributes: { path: attributes.path, verb: attributes.verb } };
  const { verb, group, version = 'v1', resource, subresource, namespace, name } = attributes;
  return {
    resourceAttributes: {
      verb,
      ...(group === '' ? {} : { group }),
      version,
      resource,
      ...(subresource === '' ? {} : { subresource }),
      ...(namespace === '' ? {} : { namespace }),
      ...(name === '' ? {} : { name }),
    },
  };
}

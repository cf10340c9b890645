/**
 * Authorizes user impersonation (`kubectl --as`). The cluster itself is asked, attribute by attribute.
 *
 * An attacker could impersonate anyone: the proxy's own account may, so the API server would grant whatever the
 * proxy sends. These reviews about the real user are therefore the only barrier between a user and full rights.
 * Every one of them must allow; no response is a denial.
 */
import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { EXTRA_SESSION } from '../../core/core.ts';
import type { Identity } from '../../core/identity/identity.ts';
import { beyondLimits, impersonateAttributes, MOST_REVIEWS } from '../../core/http/impersonation.ts';
import type { ImpersonateAttributes } from '../../core/http/impersonation.ts';
import { sessionKey, type LogChange, type TargetKey } from '../../core/credential/revocation.ts';
import type { ClusterReviews, Members } from './cluster-reviews.ts';
import type { UpstreamCluster } from '../dependencies.ts';
import type { Clock } from '../../contracts/clock.ts';
import {
  impersonationDenied,
  impersonationNotConfigured,
  impersonationTooLarge,
  tooManyReviews,
} from '../rejections.ts';
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
  readonly session: string;
  readonly account: string;
  readonly impersonated: Identity;
}

interface KnownResult {
  readonly session: TargetKey;
  readonly allowed: boolean;
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
    const { cluster, user, impersonated, account } = question;
    const beyond = beyondLimits(impersonated, cluster.impersonate);
    if (beyond !== undefined) return impersonationNotConfigured(beyond);
    const attributes = impersonateAttributes(impersonated);
    if (attributes.length > MOST_REVIEWS) return impersonationTooLarge(attributes.length, MOST_REVIEWS);
    const waiting = this.#waiting.get(account) ?? 0;
    if (waiting + attributes.length > MAX_WAITING) return tooManyReviews();
    this.#waiting.set(account, waiting + attributes.length);
    try {
      const subject = subjectOf(user, question.session);
      // All are settled: a review that is still open when another has failed would go on uncounted.
      const settled = await Promise.allSettled(attributes.map((each) => this.#allowed(question, subject, each)));
      const failed = settled.find((each) => each.status === 'rejected');
      if (failed !== undefined) throw failed.reason;
      const denied = attributes.find((_each, index) => !isYes(settled[index]));
      return denied === undefined ? undefined : impersonationDenied(user.username, denied);
    } finally {
      const left = (this.#waiting.get(account) ?? 0) - attributes.length;
      if (left > 0) this.#waiting.set(account, left);
      else this.#waiting.delete(account);
    }
  }

  /** Drops what the change concerns. @param change undefined: everything */
  drop(change: LogChange | undefined): void {
    if (change?.kind === 'unlocked' || change?.kind === 'drill') return;
    this.#generation += 1;
    if (change?.kind !== 'identity-changed') {
      this.#results.clear();
      return;
    }
    for (const [key, { session }] of this.#results.entries()) if (session === change.key) this.#results.delete(key);
  }

  async #allowed(
    { cluster, session }: ImpersonationRequest,
    subject: Members,
    attributes: ImpersonateAttributes,
  ): Promise<boolean> {
    const spec = { ...subject, resourceAttributes: resourceAttributes(attributes) };
    // Holds the cluster, the session and every attribute of the user: another version of the identity is another
    // key.
    const key = createHash('sha256')
      .update(JSON.stringify([cluster.name, session, spec]))
      .digest('base64url');
    const known = this.#results.get(key);
    if (known !== undefined && known.until > this.#nowSeconds()) return known.allowed;
    const generation = this.#generation;
    const path = '/apis/authorization.k8s.io/v1/subjectaccessreviews';
    const status = await this.#reviews(cluster.name).ask(path, 'SubjectAccessReview', spec);
    // Only the boolean `true` means allowed, and not if the response denies as well.
    const allowed = status['allowed'] === true && status['denied'] !== true;
    const until = this.#nowSeconds() + RESULT_SECONDS;
    if (generation === this.#generation) this.#results.set(key, { session: sessionKey(session), allowed, until });
    return allowed;
  }

  #nowSeconds(): number {
    return this.#clock.nowMs() / 1000;
  }
}

const isYes = (outcome: PromiseSettledResult<boolean> | undefined): boolean =>
  outcome?.status === 'fulfilled' && outcome.value;

/**
 * The user as the API server would see them. It adds `system:authenticated` to an impersonated user, and to no user
 * that a review is about.
 */
const subjectOf = ({ username, uid, groups, extra }: Identity, session: string): Members => ({
  user: username,
  uid,
  groups: [...new Set([...groups, 'system:authenticated'])],
  extra: { ...extra, [EXTRA_SESSION]: [session] },
});

const resourceAttributes = ({ group, resource, subresource, namespace, name }: ImpersonateAttributes): Members => ({
  verb: 'impersonate',
  ...(group === '' ? {} : { group }),
  version: 'v1',
  resource,
  ...(subresource === '' ? {} : { subresource }),
  ...(namespace === '' ? {} : { namespace }),
  name,
});

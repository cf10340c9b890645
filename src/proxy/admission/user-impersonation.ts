/**
 * May this person act as somebody else (`kubectl --as`)? Asked of the cluster itself, attribute by attribute.
 *
 * Threat: the gate's own account may impersonate anybody, so the API server would grant whatever the gate sends. These reviews, asked about
 * the real person, are the only thing that stands between a person and root. Every one of them must say yes; no answer is a no.
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
import { delegationDenied, delegationOverLimit, delegationTooLarge, tooManyReviews } from '../rejections.ts';
import type { Rejection } from '../status.ts';

/** Seconds. As long as a right that was taken away in RBAC may still be used through the gate. */
const ANSWER_SECONDS = 5;
const MOST_ANSWERS = 10_000;
/** Of one account, at one time: one person's questions must not take every connection there is for them. */
const MOST_WAITING = 4 * MOST_REVIEWS;

export interface DelegationQuestion {
  readonly cluster: Pick<UpstreamCluster, 'name' | 'impersonate'>;
  /** The real person, as this cluster knows them: what `impersonate` leaves out gives no rights here either. */
  readonly person: Identity;
  readonly session: string;
  readonly account: string;
  readonly wanted: Identity;
}

interface Answer {
  readonly session: TargetKey;
  readonly allowed: boolean;
  /** Epoch seconds. */
  readonly until: number;
}

export class Delegation {
  readonly #reviews: (cluster: string) => Pick<ClusterReviews, 'ask'>;
  readonly #clock: Clock;
  readonly #answers = new LRUCache<string, Answer>({ max: MOST_ANSWERS });
  readonly #waiting = new Map<string, number>();
  /** Counts changes: an answer to a question from before one is not kept. */
  #generation = 0;

  constructor(reviews: (cluster: string) => Pick<ClusterReviews, 'ask'>, clock: Clock) {
    this.#reviews = reviews;
    this.#clock = clock;
  }

  /**
   * @returns undefined where everything is allowed
   * @throws AppError `upstream_unavailable` where one question has no answer
   */
  async judge(question: DelegationQuestion): Promise<Rejection | undefined> {
    const { cluster, person, wanted, account } = question;
    const beyond = beyondLimits(wanted, cluster.impersonate);
    if (beyond !== undefined) return delegationOverLimit(beyond);
    const attributes = impersonateAttributes(wanted);
    if (attributes.length > MOST_REVIEWS) return delegationTooLarge(attributes.length, MOST_REVIEWS);
    const waiting = this.#waiting.get(account) ?? 0;
    if (waiting + attributes.length > MOST_WAITING) return tooManyReviews();
    this.#waiting.set(account, waiting + attributes.length);
    try {
      const subject = subjectOf(person, question.session);
      // Settled, all of them: a question that is still open when another has failed would go on uncounted.
      const settled = await Promise.allSettled(attributes.map((each) => this.#allowed(question, subject, each)));
      const failed = settled.find((each) => each.status === 'rejected');
      if (failed !== undefined) throw failed.reason;
      const denied = attributes.find((_each, index) => !isYes(settled[index]));
      return denied === undefined ? undefined : delegationDenied(person.username, denied);
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
      this.#answers.clear();
      return;
    }
    for (const [key, { session }] of this.#answers.entries()) if (session === change.key) this.#answers.delete(key);
  }

  async #allowed(
    { cluster, session }: DelegationQuestion,
    subject: Members,
    attributes: ImpersonateAttributes,
  ): Promise<boolean> {
    const spec = { ...subject, resourceAttributes: resourceAttributes(attributes) };
    // Holds cluster, session and everything about the person: another version of the identity is another key.
    const key = createHash('sha256')
      .update(JSON.stringify([cluster.name, session, spec]))
      .digest('base64url');
    const known = this.#answers.get(key);
    if (known !== undefined && known.until > this.#now()) return known.allowed;
    const generation = this.#generation;
    const path = '/apis/authorization.k8s.io/v1/subjectaccessreviews';
    const status = await this.#reviews(cluster.name).ask(path, 'SubjectAccessReview', spec);
    // By the boolean `true` and by nothing else, and not where somebody has said no as well.
    const allowed = status['allowed'] === true && status['denied'] !== true;
    const until = this.#now() + ANSWER_SECONDS;
    if (generation === this.#generation) this.#answers.set(key, { session: sessionKey(session), allowed, until });
    return allowed;
  }

  #now(): number {
    return this.#clock.now() / 1000;
  }
}

const isYes = (outcome: PromiseSettledResult<boolean> | undefined): boolean =>
  outcome?.status === 'fulfilled' && outcome.value;

/**
 * The person as the API server would see them. It adds `system:authenticated` to whoever is impersonated and to nobody that a review is
 * about.
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

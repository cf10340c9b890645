/**
 * Claims of a wrong shape at a re-check: `groups` is an object, the username is missing.
 *
 * No single response ends a session, and a provider whose mapping is broken for a moment sends this for each user. So it
 * is a failure of the provider at first: the user gets no new token (503), and streams end by `sessions.recheckGrace`,
 * as when it is unavailable.
 *
 * A user may edit parts of their own profile at the provider, and makes their claims malformed, so that nothing
 * that is said of them there is read any more. They gain what an outage gives, and not for long: where the claims are
 * as bad after `recheckGrace`, the session ends. A rule that does not pass ends it at once, whatever else is malformed.
 */
import { LRUCache } from 'lru-cache';
import type { Clock } from '../contracts/clock.ts';
import { atMost } from '../core/cache-bound.ts';
import { isMalformed } from '../core/identity/claims.ts';
import { AppError } from '../core/errors.ts';
import { isRecent } from '../core/time.ts';
import { rejectionStreak } from './refresh.ts';
import type { IdentityProvider } from './types.ts';

const REMEMBERED = 10_000;

interface Doubt {
  /** Epoch milliseconds of the first malformed response, with no good one after it. */
  readonly since: number;
  /** The user's sessions end, and the user counts in the streak. */
  readonly isOver: boolean;
}

/** @param longestMs how long a user's claims may be malformed before their sessions end; one memory for each replica */
export function toleratingMalformedClaims(
  provider: IdentityProvider,
  { clock, longestMs }: { readonly clock: Clock; readonly longestMs: number },
): IdentityProvider {
  const doubts = new LRUCache<string, Doubt>(atMost(REMEMBERED));
  // Beyond so many users in a row it is the provider, and no one else is signed out until one user's claims are good.
  const streak = rejectionStreak();

  const isOver = (subject: string): boolean => {
    const nowMs = clock.nowMs();
    const doubt = doubts.get(subject);
    if (doubt?.isOver === true) return true;
    // A time in the future means nothing: the clock was set back.
    if (doubt === undefined || doubt.since > nowMs) doubts.set(subject, { since: nowMs, isOver: false });
    if (doubt === undefined || isRecent(doubt.since, nowMs, longestMs) || doubt.since > nowMs) return false;
    if (!streak.mayGrow) return false;
    streak.grow();
    doubts.set(subject, { ...doubt, isOver: true });
    return true;
  };

  return {
    ...provider,
    async finish(callback, challenge) {
      const signIn = await provider.finish(callback, challenge);
      doubts.delete(signIn.subject);
      return signIn;
    },
    async recheck(subject, refreshToken, keep) {
      try {
        const signIn = await provider.recheck(subject, refreshToken, keep);
        doubts.delete(subject);
        streak.reset();
        return signIn;
      } catch (error) {
        if (!(error instanceof AppError) || error.code !== 'sign_in_refused' || !isMalformed(error.reason)) throw error;
        if (isOver(subject)) throw error;
        throw new AppError('provider_unavailable', error.message, { reason: error.reason, cause: error });
      }
    },
  };
}

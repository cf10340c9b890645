/**
 * Rotation of refresh tokens that no key protects (RFC 9700 §4.14.2): each may be used for one refresh. If one is
 * used again later, the session ends, because two clients hold it and one of them is an attacker.
 *
 * A response can be lost, and parallel kubectls refresh at once. So within `GRACE_SECONDS` of its first use a
 * token may be used again, and gets a sibling of the token that it got before. Therefore not a token but a
 * rotation is consumed, which siblings share: an attacker and a user who hold two siblings are detected at the
 * next rotation, as if they held one token.
 *
 * The library reads `consumed`, then writes it, then decides. That is neither atomic nor able to wait for the
 * decision: a refresh that is rejected, because the user may not use this cluster or because a replica is fenced,
 * would have cost the token. Here a rotation is consumed after everything is decided.
 */
import type { Clock } from '../contracts/clock.ts';
import { createRateLimiter } from '../core/rate-limit.ts';
import type { ArtefactStore } from '../store/store.ts';

/**
 * How long a rotated refresh token still works, for a client that has lost the response
 * (docs/architecture.md#invariant-8).
 */
export const GRACE_SECONDS = 10;

/** Thirty kubectls, four times a minute. */
const ROTATIONS_PER_MINUTE = 120;

/**
 * Of all sessions of an account. A refresh takes some 5 ms of CPU, so an account has a tenth of a core at each replica.
 * A thousand sessions that a CI runs at once refresh two or three times in ten minutes.
 */
const REFRESHES_PER_MINUTE = 1200;

/**
 * `first`: consumed now. `again`: consumed a moment ago, and allowed once more. `replayed`: consumed before that.
 * `over`: the session has ended meanwhile.
 */
export type RotationUse = 'first' | 'again' | 'replayed' | 'over';

export interface RefreshRotation {
  /**
   * Consumes a rotation, in one step of the store: of racing callers one is first.
   * @param rotation how often the token had been rotated when it was issued, from 0
   */
  consume(session: string, rotation: number): Promise<RotationUse>;
}

export function createRefreshRotation(deps: {
  readonly artefacts: Pick<ArtefactStore, 'save' | 'consume' | 'find'>;
  readonly clock: Clock;
  /** Longest lifetime of a session, seconds. */
  readonly sessionSeconds: number;
}): RefreshRotation {
  return {
    async consume(session, rotation) {
      const turn = `refresh:${session}:${rotation}`;
      // A value that was consumed once stays consumed, however often it is saved again.
      await deps.artefacts.save('ReplayDetection', turn, {}, { ttlSeconds: deps.sessionSeconds, session });
      if (await deps.artefacts.consume('ReplayDetection', turn)) return 'first';
      const spentAt = (await deps.artefacts.find('ReplayDetection', turn))?.['consumed'];
      if (typeof spentAt !== 'number') return 'over';
      return Math.floor(deps.clock.nowMs() / 1000) - spentAt <= GRACE_SECONDS ? 'again' : 'replayed';
    },
  };
}

/** What counts for the limit. */
export interface Refresh {
  readonly session: string;
  readonly account: string;
  /** To a key: then the token stays the same. */
  readonly isBound: boolean;
}

/**
 * Creates the limit on refreshes, on each replica by itself. An attacker with one session refreshes in a loop. Each refresh
 * takes CPU and calls to the store that other users need, so an account has a share. Each rotation also leaves entries
 * in the store until the session ends, so a session whose token rotates has fewer.
 * @returns whether there may be one more within this minute
 */
export function createRefreshLimit(clock: Clock): (refresh: Refresh) => boolean {
  const rotations = createRateLimiter(ROTATIONS_PER_MINUTE, clock, { refill: 'each-minute' });
  const refreshes = createRateLimiter(REFRESHES_PER_MINUTE, clock);
  return ({ session, account, isBound }) =>
    // The limiter shortens what looks like an IPv6 address, and an account may have colons.
    refreshes.take(encodeURIComponent(account)) === 0 && (isBound || rotations.take(session) === 0);
}

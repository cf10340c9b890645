/**
 * Rotation of refresh tokens that no key protects (RFC 9700 §4.14.2): each is good for one refresh, and one that comes back later ends the
 * session, because two hold it and one of them is a thief.
 *
 * An answer can be lost on the way, and parallel kubectls ask at once. So within `GRACE_SECONDS` of its first use a token is answered again, with a
 * sibling of the token that it was answered with before. What is spent is therefore not a token but a turn, which siblings share: a thief and an owner who
 * hold two siblings are told apart by the next rotation as surely as if they held one token.
 *
 * The library's own way (read `consumed`, then write it, then decide) is neither atomic nor able to wait for the decision: a refresh that is
 * refused, because this cluster is not for this person or because a replica is fenced, would have cost the token. Here a turn is spent after all is decided.
 */
import type { Clock } from '../contracts/clock.ts';
import { createRateLimiter } from '../core/rate-limit.ts';
import type { ArtefactStore } from '../store/store.ts';

/** How long a rotated refresh token still works, for a client that has lost the response (docs/architecture.md#invariant-8). */
export const GRACE_SECONDS = 10;

/** Thirty kubectls, four times a minute. */
const ROTATIONS_PER_MINUTE = 120;

/** first: spent now. again: a moment ago, and answered once more. replayed: before that. over: the session ended meanwhile. */
export type RotationUse = 'first' | 'again' | 'replayed' | 'over';

export interface RefreshRotation {
  /**
   * Spends a turn, in one step of the store: of racing callers one is first.
   * @param rotation how often the token's line had been rotated when it was made, from 0
   */
  consume(session: string, rotation: number): Promise<RotationUse>;
}

export function createRefreshRotation(deps: {
  readonly artefacts: Pick<ArtefactStore, 'save' | 'consume' | 'find'>;
  readonly clock: Clock;
  /** Longest life of a session, seconds. */
  readonly sessionSeconds: number;
}): RefreshRotation {
  return {
    async consume(session, rotation) {
      const turn = `refresh:${session}:${rotation}`;
      // What has been used once stays used, however often it is saved again.
      await deps.artefacts.save('ReplayDetection', turn, {}, { ttlSeconds: deps.sessionSeconds, session });
      if (await deps.artefacts.consume('ReplayDetection', turn)) return 'first';
      const spentAt = (await deps.artefacts.find('ReplayDetection', turn))?.['consumed'];
      if (typeof spentAt !== 'number') return 'over';
      return Math.floor(deps.clock.now() / 1000) - spentAt <= GRACE_SECONDS ? 'again' : 'replayed';
    },
  };
}

/**
 * Creates the limit on rotations. Each rotation leaves entries in the store until the session ends. An attacker with one session refreshes in
 * a loop and fills the store for all users, so each session has a limit, on each replica by itself.
 * @returns whether this session may rotate once more within its minute
 */
export function createRotationLimit(clock: Clock): (session: string) => boolean {
  const limiter = createRateLimiter(ROTATIONS_PER_MINUTE, clock, { refill: 'each-minute' });
  return (session) => limiter.take(session) === 0;
}

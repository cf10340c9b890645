/** What the parts of the Redis store share. */
import type { Clock } from '../../contracts/clock.ts';
import type { Displaced } from '../pending.ts';
import type { Connection } from './connection.ts';
import type { Keys } from './keys.ts';
import type { Runner } from './runner.ts';
import type { Sealer } from './sealer.ts';

/** Dependencies that the parts of the Redis store share. */
export interface RedisParts {
  readonly clock: Clock;
  readonly keys: Keys;
  readonly sealer: Sealer;
  readonly runner: Runner;
  readonly main: Connection;
  /** Reports to the operator a sealed value that could not be opened where it is stored. */
  readonly reportTampered: (what: string) => void;
  /**
   * Bytes of the budget of artefacts that unauthenticated clients can create, if the server has no limit of its
   * own or a large one.
   */
  readonly pendingBytes: number;
  readonly reportDisplaced: (displaced: Displaced) => void;
}

/** Redis' own TTL is this much longer than the expiry that counts; it only cleans up. */
const SLACK_SECONDS = 60;

/** @returns whole seconds, at least the slack */
export const cleanUpAfter = (seconds: number): number => Math.max(Math.ceil(seconds), 0) + SLACK_SECONDS;

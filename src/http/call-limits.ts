/**
 * The rate limits of the pages and the APIs for programs: how many calls one account may make on this replica, with
 * one limit for reads and one for changes.
 *
 * One script, or an attacker with one stolen credential, keeps the store and the audit log so busy that no
 * other admin gets through, so each account is limited. The limit for changes is high enough for an incident: an
 * admin who revokes five hundred sessions one by one must not wait for long.
 */
import type { Clock } from '../contracts/clock.ts';
import { createHash } from 'node:crypto';
import type { Request } from 'express';
import { AppError } from '../core/errors.ts';
import { createRateLimiter, type RateLimiter } from '../core/rate-limit.ts';
import { RETRY_SECONDS, type SerialQueue } from '../core/serial-queue.ts';
import { ProblemError } from './problem.ts';
import { contextOf } from './request-context.ts';

/** Calls in one minute. All of them may come at the same time, where there were none before. */
export const CALLS_PER_MINUTE = { reads: 600, changes: 300, rejected: 120 } as const;

export interface CallLimits {
  readonly reads: RateLimiter;
  readonly changes: RateLimiter;
  /** By address: calls without a valid credential. */
  readonly rejected: RateLimiter;
}

/** @param clock milliseconds */
export const createCallLimits = (clock: Clock): CallLimits => ({
  reads: createRateLimiter(CALLS_PER_MINUTE.reads, clock),
  changes: createRateLimiter(CALLS_PER_MINUTE.changes, clock),
  rejected: createRateLimiter(CALLS_PER_MINUTE.rejected, clock),
});

/** @param what there is too much of, for messages */
export const tooMany = (what: string, retryAfterSeconds: number): ProblemError =>
  new ProblemError(
    { problem: 'too_many_requests', status: 429, code: 'conflict' },
    `Too many ${what}. Try again in ${retryAfterSeconds} s.`,
    { retryAfterSeconds },
  );

/** Several calls of one account wait for one another. */
export interface CallQueue {
  readonly queue: SerialQueue;
  /** What there is too much of where too many wait, for messages: `lists at once`. */
  readonly what: string;
}

/**
 * Does the work in its turn.
 * @param key an account, or what stands for its delegated sessions
 * @throws ProblemError `too_many_requests` where too many wait already; and whatever the work throws
 */
export async function inTurn<T>({ queue, what }: CallQueue, key: string, work: () => Promise<T>): Promise<T> {
  const outcome = await queue.run(key, work);
  if (!outcome.ok) throw tooMany(what, RETRY_SECONDS);
  return outcome.value;
}

/**
 * Returns the rate limiter's key of an account, or of its delegated sessions. The limiter shortens IPv6 addresses, so an
 * account with colons is hashed.
 */
export const limiterKey = (account: string): string => createHash('sha256').update(account).digest('hex');

/**
 * Counts one call of a known caller.
 * @param account or what stands for its delegated sessions
 * @returns 0 where the call is allowed, otherwise whole seconds until the next one is
 */
export function takeCall({ reads, changes }: CallLimits, req: Request, account: string): number {
  return (isRead(req) ? reads : changes).take(limiterKey(account));
}

const isRead = ({ method }: Request): boolean => method === 'GET' || method === 'HEAD';

/**
 * Returns the error for a caller whose credential was rejected: that error, or after too many of them
 * `too_many_requests`. A caller with a valid credential never waits because of others with the same address: behind
 * an ingress all clients have the same one, and an admin must get through in an incident.
 */
export function rejectionOrTooMany({ rejected }: CallLimits, req: Request, thrown: unknown): unknown {
  if (!(thrown instanceof AppError) || thrown.code !== 'unauthenticated') return thrown;
  const seconds = rejected.take(contextOf(req).address);
  return seconds > 0 ? tooMany('calls', seconds) : thrown;
}

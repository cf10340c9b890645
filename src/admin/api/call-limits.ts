/**
 * How many calls one account may make, pages and both doors of the admin API of this replica together: a bucket each for reads and for changes.
 *
 * Threat: one script, or one stolen credential, keeps store and record so busy that nobody else gets through. Changes have enough room
 * for an incident: who revokes five hundred sessions one by one must not have to wait for long.
 */
import type { Clock } from '../../contracts/clock.ts';
import { createHash } from 'node:crypto';
import type { Request, RequestHandler } from 'express';
import { AppError } from '../../core/errors.ts';
import { createRateLimiter, type RateLimiter } from '../../core/rate-limit.ts';
import { AdminError } from '../problem.ts';
import { contextOf } from '../../http/request-context.ts';

/** A minute; as many at once, where none were made before. */
export const CALLS_PER_MINUTE = { reads: 600, changes: 300, refused: 120 } as const;

export interface CallLimits {
  readonly reads: RateLimiter;
  readonly changes: RateLimiter;
  /** By address: calls without a good credential. */
  readonly refused: RateLimiter;
}

/** @param clock milliseconds */
export const createCallLimits = (clock: Clock): CallLimits => ({
  reads: createRateLimiter(CALLS_PER_MINUTE.reads, clock),
  changes: createRateLimiter(CALLS_PER_MINUTE.changes, clock),
  refused: createRateLimiter(CALLS_PER_MINUTE.refused, clock),
});

const tooMany = (seconds: number): AdminError =>
  new AdminError('too_many_requests', 'conflict', `Too many calls. Try again in ${seconds} s.`, {
    retryAfterSeconds: seconds,
  });

/** The limit takes addresses, and shortens those with colons; an account must count as itself. */
const keyOf = (account: string): string => createHash('sha256').update(account).digest('hex');

/** Counts one call of a caller that is known. @returns 0 where it may be made, else whole seconds until the next one may */
export function takeCall({ reads, changes }: CallLimits, req: Request, account: string): number {
  return (isRead(req) ? reads : changes).take(keyOf(account));
}

/** To be called once the caller is known. @throws AdminError `too_many_requests` */
export function limitCalls(limits: CallLimits): RequestHandler {
  return (req, _res, next) => {
    const seconds = takeCall(limits, req, contextOf(req).actor?.account ?? '');
    if (seconds > 0) throw tooMany(seconds);
    next();
  };
}

const isRead = ({ method }: Request): boolean => method === 'GET' || method === 'HEAD';

/**
 * What a refused caller is told: that they were refused, or, after too many times, that they come too often. Who has a good credential
 * is never kept waiting for what others do from the same address: behind an ingress everybody has the same one, and an admin must get
 * through in an incident.
 */
export function refusedOrTooMany({ refused }: CallLimits, req: Request, thrown: unknown): unknown {
  if (!(thrown instanceof AppError) || thrown.code !== 'unauthenticated') return thrown;
  const seconds = refused.take(contextOf(req).address);
  return seconds > 0 ? tooMany(seconds) : thrown;
}

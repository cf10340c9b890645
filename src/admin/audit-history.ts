/** Searches in the audit log that this replica has written, for the pages and for the admin API. */
import type { Request } from 'express';
import type { AuditHistory } from '../audit/audit.ts';
import type { HistoryBounds } from '../audit/query/history.ts';
import type { AuditQuery } from '../audit/query/matcher.ts';
import { AppError } from '../core/errors.ts';
import { adminContextOf } from './api/admin-call.ts';
import type { AdminDeps } from './dependencies.ts';
import { AdminError } from './problem.ts';

const RETRY_AFTER_SECONDS = 3;

type Found = Awaited<ReturnType<AuditHistory['search']>>;

/** Returns the name of the replica that responds, whose files are searched. */
export const replicaOf = ({ guard }: Pick<AdminDeps, 'guard'>): string =>
  guard.replicas.find(({ self }) => self)?.id ?? '';

/**
 * Returns the events that match, for the caller of a request and as long as they wait; undefined where this replica has
 * no file.
 * @throws AdminError `too_many_requests` where other searches had to run first for too long
 */
export async function searchHistory(
  { history }: { readonly history?: AuditHistory },
  req: Request,
  query: AuditQuery,
  bounds: HistoryBounds,
): Promise<Found> {
  try {
    // A search for one request is for all that is known of it.
    const every = query.auditId !== undefined;
    const isAbandoned = (): boolean => req.res?.destroyed === true;
    return await history?.search(adminContextOf(req).actor.account, query, { every, isAbandoned, ...bounds });
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== 'conflict') throw error;
    const retryAfterSeconds = RETRY_AFTER_SECONDS;
    throw new AdminError('too_many_requests', 'conflict', error.message, { cause: error, retryAfterSeconds });
  }
}

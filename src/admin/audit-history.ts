/** Searches in the audit log that this replica has written, for the pages and for the admin API. */
import type { AuditHistory } from '../audit/audit.ts';
import type { HistoryBounds } from '../audit/query/history.ts';
import type { AuditQuery } from '../audit/query/matcher.ts';
import { AppError } from '../core/errors.ts';
import type { Actor } from '../http/request-context.ts';
import type { AdminDeps } from './dependencies.ts';
import { AdminError } from './problem.ts';

const RETRY_AFTER_SECONDS = 3;

type Found = Awaited<ReturnType<AuditHistory['search']>>;

/** Returns the name of the replica that responds, whose files are searched. */
export const replicaOf = ({ guard }: Pick<AdminDeps, 'guard'>): string =>
  guard.replicas.find(({ self }) => self)?.id ?? '';

/**
 * Returns the events that match; undefined where this replica has no file.
 * @throws AdminError `too_many_requests` while too many others search, or this account too often
 */
export async function searchHistory(
  { history }: { readonly history?: AuditHistory },
  { account }: Pick<Actor, 'account'>,
  query: AuditQuery,
  bounds: HistoryBounds,
): Promise<Found> {
  try {
    // A search for one request is for all that is known of it.
    return await history?.search(account, query, { every: query.auditId !== undefined, ...bounds });
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== 'conflict') throw error;
    const retryAfterSeconds = RETRY_AFTER_SECONDS;
    throw new AdminError('too_many_requests', 'conflict', error.message, { cause: error, retryAfterSeconds });
  }
}

/** Searches in the audit log that the replicas have written, for the pages and for the admin API. */
import type { AuditHistory } from '../../audit/audit.ts';
import type { HistoryBounds } from '../../audit/query/history.ts';
import type { AuditQuery } from '../../audit/query/matcher.ts';
import { AppError } from '../../core/errors.ts';
import type { Account } from '../../core/identity/identity.ts';
import { no, ok } from '../../core/result.ts';
import type { AdminDeps, AdminResult } from './dependencies.ts';

const RETRY_AFTER_SECONDS = 3;

type Found = Awaited<ReturnType<AuditHistory['search']>>;

/** Returns the name of the replica that responds, whose files are searched. */
export const replicaOf = ({ guard }: Pick<AdminDeps, 'guard'>): string =>
  guard.replicas.find(({ self }) => self)?.id ?? '';

/** Who searches. */
export interface Searcher {
  readonly account: Account;
  /** Whether they do not wait for the result any more. */
  readonly isAbandoned: () => boolean;
}

/**
 * Returns the events that match, for as long as the caller waits; undefined where no replica has a file.
 * Rejects with `too_many_requests` where other searches had to run first for too long.
 */
export async function searchHistory(
  { history }: { readonly history?: AuditHistory },
  { account, isAbandoned }: Searcher,
  query: AuditQuery,
  bounds: HistoryBounds,
): Promise<AdminResult<Found>> {
  try {
    // A search for one request is for all that is known of it.
    const every = query.auditId !== undefined;
    return ok(await history?.search(account, query, { every, isAbandoned, ...bounds }));
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== 'conflict') throw error;
    const { message } = error;
    return no({ reason: 'too_many_requests', message, cause: error, retryAfterSeconds: RETRY_AFTER_SECONDS });
  }
}

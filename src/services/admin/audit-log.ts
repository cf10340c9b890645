/** The audit log for admins and auditors: the filters of its live view, and searches in what this replica has written. */
import type { AdminResult } from '../../core/api/rejections.ts';
import type { AuditHistory } from '../../audit/audit.ts';
import type { HistoryBounds } from '../../audit/query/history.ts';
import type { AuditQuery } from '../../audit/query/matcher.ts';
import type { auditEventsQuerySchema, auditExportQuerySchema, auditQuerySchema } from '../../core/api/audit.ts';
import { momentOf } from '../../core/audit/moment.ts';
import { defined } from '../../core/defined.ts';
import { AppError } from '../../core/errors.ts';
import type { Account } from '../../core/identity/identity.ts';
import { no, ok } from '../../core/result.ts';
import type { AdminConfig, AdminDeps } from './dependencies.ts';
import { malformed, parseQuery } from './session-query.ts';

/** Parses the filter of a query. What is rejected names the field. */
export function auditFilter(
  config: Pick<AdminConfig, 'clusters'>,
  query: object,
  schema: typeof auditQuerySchema | typeof auditEventsQuerySchema | typeof auditExportQuerySchema,
): AdminResult<Readonly<Record<string, string>>> {
  const parsed = parseQuery<typeof schema>(schema, query);
  if (!parsed.ok) return parsed;
  const filter: Record<string, string> = {};
  for (const [name, value] of Object.entries(parsed.value)) if (value !== undefined) filter[name] = value;
  // With a mistyped name no event would ever be shown, and the auditor would believe that there were none.
  if (filter['cluster'] !== undefined && !config.clusters.some(({ name }) => name === filter['cluster']))
    return malformed('cluster: there is no cluster of this name. GET clusters lists them.');
  return ok(filter);
}

/** Returns the range of a search that names none: a request is looked for by its id days later. */
export const defaultSince = ({ auditId }: { readonly auditId?: string | undefined }): string =>
  auditId === undefined ? '24h' : '30d';

/**
 * Returns a filter as a query of the past, with its ages turned into times.
 * @param now milliseconds since the epoch
 */
export function pastQuery(filter: Readonly<Record<string, string>>, now: number): AuditQuery {
  const { since = defaultSince(filter), until, limit: _limit, format: _format, ...rest } = filter;
  const [from, before] = [momentOf(since, now), until === undefined ? undefined : momentOf(until, now)];
  return {
    ...rest,
    ...defined({ since: from, until: before }),
  };
}

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

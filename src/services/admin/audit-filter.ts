/** The filters of the audit log: of the live view, and of searches in what was written before. */
import { momentOf } from '../../core/audit/moment.ts';
import type { AuditQuery } from '../../audit/query/matcher.ts';
import { AppError } from '../../core/errors.ts';
import type { AdminConfig } from './dependencies.ts';
import type { auditEventsQuerySchema, auditExportQuerySchema, auditQuerySchema } from '../../core/api/audit.ts';
import { parseQuery } from './session-query.ts';
import { defined } from '../../core/defined.ts';

const malformed = (message: string): AppError => new AppError('bad_request', message, { reason: 'query_malformed' });

/**
 * Parses the filter of a query.
 * @throws AppError `bad_request` that names the field
 */
export function auditFilter(
  config: Pick<AdminConfig, 'clusters'>,
  query: object,
  schema: typeof auditQuerySchema | typeof auditEventsQuerySchema | typeof auditExportQuerySchema,
): Readonly<Record<string, string>> {
  const filter: Record<string, string> = {};
  for (const [name, value] of Object.entries(parseQuery(schema, query))) if (value !== undefined) filter[name] = value;
  // With a mistyped name no event would ever be shown, and the auditor would believe that there were none.
  if (filter['cluster'] !== undefined && !config.clusters.some(({ name }) => name === filter['cluster']))
    throw malformed('cluster: there is no cluster of this name. GET clusters lists them.');
  return filter;
}

/** Returns the range of a search that names none: a request is looked for by its id days later. */
export const defaultSince = ({ auditId }: { readonly auditId?: string | undefined }): string =>
  auditId === undefined ? '24h' : '30d';

/**
 * Returns a filter as a query of the past, with its ages turned into times.
 * @param now milliseconds since the epoch
 */
export function pastQuery(filter: Readonly<Record<string, string>>, now: number): AuditQuery {
  const { since = defaultSince(filter), until, limit: _limit, ...rest } = filter;
  const [from, before] = [momentOf(since, now), until === undefined ? undefined : momentOf(until, now)];
  return {
    ...rest,
    ...defined({ since: from, until: before }),
  };
}

/** The filters of the audit log: of the live view, and of searches in what was written before. */
import { momentOf } from '../../core/audit/moment.ts';
import type { AuditQuery } from '../../audit/query/matcher.ts';
import { ok } from '../../core/result.ts';
import type { AdminConfig, AdminResult } from './dependencies.ts';
import type { auditEventsQuerySchema, auditExportQuerySchema, auditQuerySchema } from '../../core/api/audit.ts';
import { malformed, parseQuery } from './session-query.ts';
import { defined } from '../../core/defined.ts';

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
  const { since = defaultSince(filter), until, limit: _limit, ...rest } = filter;
  const [from, before] = [momentOf(since, now), until === undefined ? undefined : momentOf(until, now)];
  return {
    ...rest,
    ...defined({ since: from, until: before }),
  };
}

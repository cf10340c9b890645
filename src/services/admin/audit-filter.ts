/** The filters of the audit log: of the live view, and of searches in what was written before. */
import { z } from 'zod';
import { momentOf } from '../../audit/query/moment.ts';
import type { AuditQuery } from '../../audit/query/matcher.ts';
import { isPortcullisEventName } from '../../core/audit/catalogue.ts';
import { AppError } from '../../core/errors.ts';
import type { AdminConfig } from './dependencies.ts';
import { accountSchema, sessionIdSchema } from '../../core/api/fields.ts';
import { parseQuery } from './session-query.ts';

const filterText = (pattern: RegExp, message: string) => z.string().regex(pattern, message).optional();

const FILTERS = {
  user: filterText(/^[^\p{C}]{1,512}$/u, 'a username'),
  account: accountSchema.optional(),
  session: sessionIdSchema.optional(),
  actor: filterText(/^[^\p{C}]{1,512}$/u, 'the name of an actor'),
  grant: filterText(/^[\w-]{1,64}$/, 'the id of an access request'),
  cluster: filterText(/^[a-z0-9.-]{1,63}$/, 'a cluster’s name'),
  verb: filterText(/^[a-z-]{1,40}$/, 'a verb, such as get or delete'),
  resource: filterText(/^[a-z0-9.-]{1,253}(?:\/[a-z0-9-]{1,63})?$/, 'a resource, such as pods or pods/exec'),
  namespace: filterText(/^[a-z0-9-]{1,63}$/, 'a namespace’s name'),
  code: filterText(/^[1-5]\d\d$/, 'an HTTP status, such as 403'),
  refused: z.literal('true', { error: 'true, or nothing' }).optional(),
  event: z.string().refine(isPortcullisEventName, 'there is no event of this name').optional(),
};

const isOneOf = ({ code, refused }: { readonly code?: unknown; readonly refused?: unknown }): boolean =>
  code === undefined || refused === undefined;
const ONE_OF = { message: 'send code or refused, not both' };

export const auditQuerySchema = z.strictObject(FILTERS).refine(isOneOf, ONE_OF);

const timeText = (description: string) =>
  z
    .string()
    .max(40)
    .refine(
      (text) => momentOf(text, Date.now()) !== undefined,
      'a time such as 2026-11-25T14:00:00Z, a day such as 2026-11-25, or an age such as 90s, 15m, 12h or 7d',
    )
    .describe(description)
    .optional();

const MOST_EVENTS = 500;

const PAST = {
  ...FILTERS,
  auditId: filterText(/^[\w.-]{1,128}$/, 'a request id').describe('the request id'),
  since: timeText(
    'not before: a time, a day, or an age such as `12h`; UTC if no zone is given. Default: `24h`, with `auditId` `30d`',
  ),
  until: timeText('before: a time, a day or an age'),
};

export const auditExportQuerySchema = z.strictObject(PAST).refine(isOneOf, ONE_OF);

export const auditEventsQuerySchema = z
  .strictObject({
    ...PAST,
    limit: z
      .string()
      .regex(/^[1-9]\d{0,2}$/, `1 to ${MOST_EVENTS}`)
      .refine((text) => Number(text) <= MOST_EVENTS, `1 to ${MOST_EVENTS}`)
      .describe('most events. Default: 100')
      .optional(),
  })
  .refine(isOneOf, ONE_OF);

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
    ...(from === undefined ? {} : { since: from }),
    ...(before === undefined ? {} : { until: before }),
  };
}

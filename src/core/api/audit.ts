/** The queries of the audit log in the admin API: of the live view, and of searches in what was written before. */
import { z } from 'zod';
import { isPortcullisEventName } from '../audit/catalogue.ts';
import { momentOf } from '../audit/moment.ts';
import { accountSchema, sessionIdSchema } from './fields.ts';

const filterText = (pattern: RegExp, message: string) => z.string().regex(pattern, message).optional();

const FILTERS = {
  user: filterText(/^[^\p{C}]{1,512}$/u, 'a username').describe(
    'who asked, or as whom: both sides of an impersonation',
  ),
  as: filterText(/^[^\p{C}]{1,512}$/u, 'a username').describe('as whom a user acted; `*`: as anyone else'),
  account: accountSchema.describe('what it did, and what was done to it: revocations and locks').optional(),
  session: sessionIdSchema.describe('what was done in it and beneath it, and its revocation').optional(),
  actor: filterText(/^[^\p{C}]{1,512}$/u, 'the name of an actor').describe(
    'who acts in a delegated session; `*`: anyone',
  ),
  grant: filterText(/^[\w-]{1,64}$/, 'the id of an access request'),
  cluster: filterText(/^[a-z0-9.-]{1,63}$/, 'a cluster’s name'),
  verb: filterText(/^[a-z-]{1,40}(?:,[a-z-]{1,40}){0,15}$/, 'a verb, or several, such as create,patch').describe(
    'a verb, or several with commas between them',
  ),
  resource: filterText(
    /^[a-z0-9.-]{1,253}(?:\/[a-z0-9-]{1,63})?(?:,[a-z0-9.-]{1,253}(?:\/[a-z0-9-]{1,63})?){0,7}$/,
    'a resource, such as pods or pods/exec, or several with commas between them',
  ),
  namespace: filterText(/^[a-z0-9-]{1,63}$/, 'a namespace’s name').describe(
    'what was done there; list, watch and deletecollection of all namespaces are found too',
  ),
  code: filterText(/^[1-5]\d\d$/, 'an HTTP status, such as 403'),
  refused: z.literal('true', { error: 'true, or nothing' }).optional(),
  event: z
    .string()
    .max(500)
    .refine((names) => names.split(',').every(isPortcullisEventName), 'there is no event of this name')
    .describe('an event of Portcullis itself, or several with commas between them')
    .optional(),
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
      (text) => momentOf(text, 0) !== undefined,
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

export const auditExportQuerySchema = z
  .strictObject({ ...PAST, format: z.literal('csv', { error: 'csv, or nothing' }).optional() })
  .refine(isOneOf, ONE_OF);

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

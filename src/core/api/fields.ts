/**
 * The value formats of the admin API, for the server that validates them, the document that describes them and the
 * commands that send them. Imports no other module and does no I/O; it needs zod only.
 */
import { z } from 'zod';
import type { Account } from '../identity/identity.ts';

/** `PROVIDER/SUBJECT`, as a caller may send it. */
export const accountSchema = z
  .string()
  .max(512)
  .regex(/^[^/\s]+\/\S(?:.*\S)?$/, 'an account is PROVIDER/SUBJECT')
  .transform((value) => value as Account);

export const sessionIdSchema = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/, 'a session id has letters, digits, - and _');

export const usernameSchema = z.string().min(1, 'is needed').max(512);

/** The name of a cluster, a provider or a workload rule, as the configuration spells it. */
export const nameSchema = z.string().min(1, 'is needed').max(63);

/** An actor of delegated sessions, or several with slashes between them. */
export const actorSchema = z.string().min(1, 'is needed').max(512);

/** An admin's reason for a change, trimmed. */
/** The id of a request, here and in the cluster's audit log. */
export const auditIdSchema = z.uuid('not the id of a request');

export const reasonSchema = z.string().trim().min(1, 'is needed, for the audit log').max(500);

/** Lower-cased, so that the same id is the same request however it was typed. */
export const requestIdSchema = z.uuid({ error: 'a UUID' }).toLowerCase();

export const approvalSchema = z
  .string()
  .regex(/^[A-Za-z0-9_-]{1,64}$/, 'an approval is the id that the first admin received');

const UNIT_SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };

/** `90s`, `30m`, `2h` or `7d`, parsed to whole seconds. */
export const durationSchema = z
  .string()
  .regex(/^[1-9]\d{0,6}[smhd]$/, 'a duration is a number and s, m, h or d, such as 2h')
  .transform((text) => Number(text.slice(0, -1)) * (UNIT_SECONDS[text.slice(-1)] ?? 1));

/** RFC 3339, UTC. */
export const timeSchema = z.iso.datetime();

/** Filters of the audit log by what an event is about: the page, the command and the API have them all. */
export const AUDIT_SUBJECTS = [
  'user',
  'as',
  'account',
  'session',
  'actor',
  'grant',
  'cluster',
  'verb',
  'resource',
  'namespace',
] as const;

/**
 * The parameters of a list that comes in pages.
 * @param what says what `limit` counts
 */
export const pageQuery = ({ usual, most }: { readonly usual: number; readonly most: number }, what: string) =>
  z.strictObject({
    cursor: z.string().max(500).describe('the `cursor` of the page before').exactOptional(),
    limit: z.coerce.number().int().min(1).max(most).describe(what).default(usual),
  });

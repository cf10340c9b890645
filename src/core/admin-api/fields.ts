/**
 * The admin API's words: what each kind of value may look like, for the server that judges it, the document that describes it and the
 * commands that send it. No room of ours, no I/O; zod only.
 */
import { z } from 'zod';
import type { Account } from '../identity/identity.ts';

/** `PROVIDER/SUBJECT`, as a caller may say it. */
export const accountSchema = z
  .string()
  .max(512)
  .regex(/^[^/\s]+\/\S(?:.*\S)?$/, 'an account is PROVIDER/SUBJECT')
  .transform((value) => value as Account);

export const sessionIdSchema = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/, 'a session id has letters, digits, - and _');

export const usernameSchema = z.string().min(1).max(512);

/** Of a cluster, a provider or a workload rule, as the configuration has it. */
export const nameSchema = z.string().min(1).max(63);

/** Trimmed. */
export const reasonSchema = z.string().trim().min(1, 'say why, for the record').max(500);

/** In one case, so that the same id is the same request however it was typed. */
export const requestIdSchema = z.uuid({ error: 'a UUID' }).toLowerCase();

export const approvalSchema = z
  .string()
  .regex(/^[A-Za-z0-9_-]{1,64}$/, 'the id of an approval, as the first admin was given it');

const UNIT_SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };

/** `90s`, `30m`, `2h`, `7d`; in whole seconds. */
export const durationSchema = z
  .string()
  .regex(/^[1-9]\d{0,6}[smhd]$/, 'a duration is a number and s, m, h or d, such as 2h')
  .transform((text) => Number(text.slice(0, -1)) * (UNIT_SECONDS[text.slice(-1)] ?? 1));

/** RFC 3339, UTC. */
export const timeSchema = z.iso.datetime();

/**
 * What an ID token says of when its user authenticated (`auth_time`, OpenID Connect Core §2). Providers send 0, nothing,
 * milliseconds, a text or a moment in the future. Each is said as what it is, so that anyone who cannot prove a fresh
 * sign-in learns why.
 */
import { isPlausible } from './freshness.ts';

/**
 * `missing`: nothing, 0, or a number that is no time of a sign-in. `future`: beyond what clocks may differ by, so it
 * would prove too much. `malformed`: no number, or a negative one. `stale`: a true moment that is too long ago.
 */
export type AuthTimeDefect = 'missing' | 'future' | 'malformed' | 'stale';

/** An `auth_time` that proves no fresh sign-in. */
export interface Unproven {
  readonly defect: AuthTimeDefect;
  /** The value, for the page, the log and the audit log: bounded, and never a text that could be a token. */
  readonly seen: string;
}

/** 2000-01-01. No provider has a user who signed in before that, and some send 0 or 1 for *unknown*. */
const EARLIEST = 946_684_800;
/** The end of the year 9999: what is beyond are milliseconds, or no time at all. */
const LATEST = 253_402_300_799;

/** Whether the claim is there and is no number that can be a time. openid-client throws for each of them. */
export const isMalformedAuthTime = (claim: unknown): boolean =>
  claim !== undefined && (typeof claim !== 'number' || !Number.isFinite(claim) || claim < 0);

/**
 * Reads the claim.
 * @param at.now epoch seconds
 * @param at.clockSkew `clockSkew` of the configuration, seconds
 * @returns epoch seconds, whole ones: a NumericDate may have a fraction (RFC 7519 §2)
 */
export function readAuthTime(
  claim: unknown,
  { now, clockSkew }: { readonly now: number; readonly clockSkew?: number | undefined },
): number | Unproven {
  const seen = seenOf(claim);
  if (isMalformedAuthTime(claim)) return { defect: 'malformed', seen };
  if (typeof claim !== 'number' || claim < EARLIEST || claim > LATEST) return { defect: 'missing', seen };
  return isPlausible(claim, now, clockSkew) ? Math.floor(claim) : { defect: 'future', seen };
}

/** Digits and what dates are written with. A token has letters. */
const DATE_LIKE = /^[0-9TZ:.+ -]{1,40}$/;

function seenOf(claim: unknown): string {
  if (claim === undefined) return 'absent';
  if (claim === null) return 'null';
  if (typeof claim === 'number') return String(claim);
  if (typeof claim === 'string') return DATE_LIKE.test(claim) ? `text ${claim}` : `text of ${claim.length} characters`;
  return Array.isArray(claim) ? 'a list' : `of type ${typeof claim}`;
}

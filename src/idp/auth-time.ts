/**
 * What an ID token proves of when its user authenticated. The claim is compared here, once openid-client has verified
 * everything else: its own check (`maxAge`) says neither what is wrong nor of which account.
 */
import * as oidc from 'openid-client';
import { AppError } from '../core/errors.ts';
import { isMalformedAuthTime, readAuthTime, type AuthTimeDefect, type Unproven } from '../core/identity/auth-time.ts';
import { malformedMessage } from '../core/identity/fresh-sign-in.ts';
import type { Claims } from '../core/identity/types.ts';
import { clockSkewError, DEFAULT_CLOCK_SKEW_SECONDS } from './provider-clock.ts';

const REASONS: Readonly<Record<AuthTimeDefect, string>> = {
  stale: 'fresh_sign_in_needed',
  missing: 'auth_time_missing',
  future: 'auth_time_future',
  malformed: 'auth_time_malformed',
};

/**
 * The sign-in is not the fresh one that was requested, or its `auth_time` cannot be read at all. Anyone who knows what it was
 * for gives it the message (`core/identity/fresh-sign-in.ts`).
 */
export class UnprovenSignIn extends AppError {
  readonly unproven: Unproven;
  /** Of the account; absent where the ID token was not verified. */
  readonly subject: string | undefined;

  constructor(
    provider: string,
    unproven: Unproven,
    { message, subject }: { readonly message?: string; readonly subject?: string | undefined } = {},
  ) {
    const { defect, seen } = unproven;
    const otherwise =
      defect === 'malformed' ? malformedMessage(provider, seen) : `${provider} did not prove a fresh sign-in.`;
    super('sign_in_refused', message ?? otherwise, { reason: REASONS[defect] });
    this.unproven = unproven;
    this.subject = subject;
  }
}

/** @returns the annotation of an error's audit event, where the error is about what the provider said of the time */
export const authTimeIn = (error: unknown): { readonly 'auth-time'?: string } =>
  error instanceof UnprovenSignIn ? { 'auth-time': error.unproven.seen } : {};

/**
 * Returns the `auth_time` for which openid-client rejects an ID token whenever it is there and is no time. Its signature
 * has not been verified by then: the value is only shown.
 */
export function malformedAuthTimeIn(error: unknown): Unproven | undefined {
  if (!(error instanceof oidc.ClientError) || error.code !== 'OAUTH_INVALID_RESPONSE') return undefined;
  const facts: unknown = error.cause instanceof Error ? error.cause.cause : undefined;
  if (typeof facts !== 'object' || facts === null || !('claims' in facts)) return undefined;
  const { claims } = facts;
  if (typeof claims !== 'object' || claims === null || !('auth_time' in claims)) return undefined;
  if (!isMalformedAuthTime(claims.auth_time)) return undefined;
  const read = readAuthTime(claims.auth_time, { now: 0 });
  return typeof read === 'number' ? undefined : read;
}

/** Both are cut to whole seconds, and so is our clock. */
const ROUNDING_SECONDS = 2;

/**
 * Returns when a user authenticated by our clock: so long ago as the ID token says that it was when it was issued. An attacker
 * types a user's password forty seconds before the revocation, and signs in by single sign-on after it: where the two clocks
 * may differ by a minute, the moment alone would be no proof.
 *
 * An `iat` that is earlier than clocks may differ by is not when the token came (Entra ID: five minutes before), and tells
 * nothing of the provider's clock: then that has to be ours.
 */
function byOurClock(authTime: number, { iat }: Claims, now: number, clockSkew: number): number {
  if (typeof iat !== 'number' || iat < authTime || iat < now - clockSkew) return Math.min(authTime, now);
  return now - Math.floor(iat - authTime);
}

/**
 * Reads when the user of a verified ID token authenticated. An attacker at a machine with single sign-on strips the request
 * of its parameters, so where a fresh sign-in was requested, only a moment since then is one. A user may take minutes from
 * the password to the last page, so it is compared with the request, and not with now.
 * @param at.freshSince epoch seconds of that request; absent: any moment will do
 * @param at.nowMs epoch milliseconds
 * @returns epoch seconds, by our clock
 * @throws AppError `provider_unavailable` where the proof only looks old because the provider's clock is behind: another
 *   sign-in there would not help
 */
export function proofIn(
  provider: string,
  idToken: Claims,
  {
    freshSince,
    nowMs,
    clockSkew = DEFAULT_CLOCK_SKEW_SECONDS,
  }: {
    readonly freshSince: number | undefined;
    readonly nowMs: number;
    readonly clockSkew?: number | undefined;
  },
): number | Unproven {
  const now = Math.floor(nowMs / 1000);
  const authTime = readAuthTime(idToken['auth_time'], { now, clockSkew });
  if (typeof authTime !== 'number') return authTime;
  const ours = byOurClock(authTime, idToken, now, clockSkew);
  if (freshSince === undefined || ours >= freshSince - ROUNDING_SECONDS) return ours;
  const behind = typeof idToken['iat'] === 'number' ? Math.round(idToken['iat'] - now) : 0;
  if (behind < -clockSkew) throw clockSkewError(provider, behind);
  return { defect: 'stale', seen: String(authTime) };
}

/** What the latest sign-ins at a provider showed of its proofs, for those who would need one. */
export interface ProofRecord {
  /** @param fresh a fresh sign-in was requested */
  add(proof: number | Unproven, fresh: boolean): void;
  /** Returns, as the end of a sentence, why a fresh sign-in may not be proven. Undefined where nothing speaks for that. */
  doubt(): string | undefined;
}

/** @param advertised returns `freshSignInDoubt`, once the provider's discovery document was read */
export function createProofRecord(advertised: () => string | undefined): ProofRecord {
  let latest: number | Unproven | undefined;
  return {
    add(proof, fresh) {
      // By single sign-on an old moment is no doubt, and a later one does away with none.
      const isStale = typeof latest === 'object' && latest.defect === 'stale';
      if (fresh || !isStale || typeof proof !== 'number') latest = proof;
    },
    doubt() {
      if (typeof latest === 'number') return undefined;
      if (latest === undefined) return advertised();
      const { defect, seen } = latest;
      if (seen === 'absent') return 'the latest ID token had no auth_time';
      const of = defect === 'stale' ? 'after a fresh sign-in was asked for' : `which is ${DEFECT_TEXT[defect]}`;
      return `the latest ID token had auth_time ${seen}, ${of}`;
    },
  };
}

/** Completes a sentence about the value: `auth_time 0, which is …`. */
export const DEFECT_TEXT: Readonly<Record<AuthTimeDefect, string>> = {
  stale: 'too long ago',
  missing: 'no time of a sign-in',
  future: 'in the future: check the clocks',
  malformed: 'no number of seconds',
};

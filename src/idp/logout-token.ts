/**
 * A logout token (OpenID Connect Back-Channel Logout 1.0 §2.4) before anything in it is trusted.
 *
 * An attacker posts a token that is forged, of another provider, for another client, old, or no logout token at
 * all (an ID token that was intercepted, §2.7 "cross-JWT confusion"), to sign users out; all of these are
 * rejected. A check that is too strict would reject a real one, and a user would stay signed in. Nothing of a
 * token is ever repeated in a message or in the audit log.
 */
import { decodeJwt, decodeProtectedHeader, errors, jwtVerify, type JWTPayload, type JWTVerifyGetKey } from 'jose';
import { textProblem } from '../core/identity/names.ts';
import { no, ok, type Result } from '../core/result.ts';
import { isRecent } from '../core/time.ts';
import { defined } from '../core/defined.ts';

/** Logout tokens have a few hundred bytes; a larger token is not one. */
const MAX_TOKEN_LENGTH = 8192;
const MAX_CLAIM_BYTES = 512;
/** How old a token may be, in addition to what the clocks may differ by (seconds). */
const LOGOUT_TOKEN_SECONDS = 300;
/**
 * How long a `jti` is remembered (seconds): from the first moment in which its token may be used, by a clock of
 * the provider that is ahead, to the last one, by a clock that is behind; and a second more, because the last
 * moment counts.
 */
export const logoutTokenSeconds = (clockSkew: number): number => LOGOUT_TOKEN_SECONDS + 2 * clockSkew + 1;
/**
 * Signatures with a private key only: `none` proves nothing, and a secret that several parties know can be used by
 * any of them.
 */
const ALGORITHMS = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
];
/** §2.4 requires `logout+jwt` only lately: many providers write `JWT` or nothing. */
const TYPES = new Set(['logout+jwt', 'application/logout+jwt', 'jwt']);
const LOGOUT_EVENT = 'http://schemas.openid.net/event/backchannel-logout';

export type LogoutTokenRejection =
  | 'logout_token_too_large'
  | 'logout_token_malformed'
  | 'logout_token_type' // a JWT of another kind
  | 'logout_token_algorithm'
  | 'logout_token_issuer'
  | 'logout_token_audience'
  // Older than five minutes, from the future, or without a time; only of a token that the provider has signed.
  | 'logout_token_issued_at'
  // Or not valid yet (`nbf`), or with a time that is no number; only of a token that the provider has signed.
  | 'logout_token_expired'
  | 'logout_token_events'
  | 'logout_token_nonce' // an ID token
  | 'logout_token_subject' // neither `sub` nor `sid`, or not text
  | 'logout_token_id'
  | 'logout_token_key_unknown'
  | 'logout_token_signature';

export interface LogoutRejection {
  readonly reason: LogoutTokenRejection;
  /**
   * Seconds by which the provider's clock seems to be ahead of ours (behind: negative, or the token came late),
   * where a token was rejected for its times. An attacker posts forged tokens to make operators look for a wrong
   * clock, so only a token that the provider has signed has it.
   */
  readonly clockSkew?: number;
  /** The user who signed out there and stays signed in here, where `clockSkew` is there and the token names them. */
  readonly subject?: string;
}

/** What has ended at the provider. At least one of `subject` and `sid` is there. */
export interface LogoutNotice {
  /** `jti`: the caller makes sure that it is used once. */
  readonly tokenId: string;
  readonly subject?: string;
  readonly sid?: string;
}

export interface ExpectedLogout {
  /** As in the provider's discovery document. */
  readonly issuer: string;
  readonly clientId: string;
  /** Epoch milliseconds. */
  readonly nowMs: number;
  /** `clockSkew`, seconds. */
  readonly clockSkew: number;
}

/**
 * Verifies a logout token (§2.6), except that its `jti` is new. Checks that need no key come first, so that an
 * invalid token costs no request to the provider; the times come last, since only the provider may be believed
 * about its clock.
 * @throws what `keys` throws where the provider's keys cannot be read
 */
export async function verifyLogoutToken(
  token: string,
  keys: JWTVerifyGetKey,
  expected: ExpectedLogout,
): Promise<Result<LogoutNotice, LogoutRejection>> {
  const unverified = unverifiedClaims(token);
  const checked = unverified.ok ? readClaims(unverified.value, expected) : unverified;
  if (!checked.ok) return no({ reason: checked.reason });
  try {
    const { payload } = await jwtVerify(token, keys, {
      issuer: expected.issuer,
      audience: expected.clientId,
      algorithms: ALGORITHMS,
      clockTolerance: expected.clockSkew,
      currentDate: new Date(expected.nowMs),
    });
    const { iat } = payload;
    // `exp` is optional: the drafts that many providers implement had none. `iat` bounds a token's use.
    if (typeof iat === 'number' && isIssuedRecently(iat, expected)) return checked;
    return no({ reason: 'logout_token_issued_at', ...clockFacts(payload, checked.value, expected) });
  } catch (error) {
    // jose checks the times after the signature.
    const isAboutTime = error instanceof errors.JWTExpired || error instanceof errors.JWTClaimValidationFailed;
    return no({
      reason: rejectionOf(error),
      ...(isAboutTime ? clockFacts(error.payload, checked.value, expected) : {}),
    });
  }
}

function clockFacts(
  { iat }: JWTPayload,
  { subject }: LogoutNotice,
  { nowMs }: ExpectedLogout,
): Omit<LogoutRejection, 'reason'> {
  if (typeof iat !== 'number') return {};
  return { clockSkew: Math.round(iat - nowMs / 1000), ...defined({ subject }) };
}

function unverifiedClaims(token: string): Result<JWTPayload, LogoutTokenRejection> {
  if (token.length > MAX_TOKEN_LENGTH) return no('logout_token_too_large');
  try {
    const { alg, typ } = decodeProtectedHeader(token);
    if (typ !== undefined && !TYPES.has(typ.toLowerCase())) return no('logout_token_type');
    if (typeof alg !== 'string' || !ALGORITHMS.includes(alg)) return no('logout_token_algorithm');
    return ok(decodeJwt(token));
  } catch {
    return no('logout_token_malformed');
  }
}

function readClaims(payload: JWTPayload, expected: ExpectedLogout): Result<LogoutNotice, LogoutTokenRejection> {
  const { iss, aud, jti } = payload;
  if (iss !== expected.issuer) return no('logout_token_issuer');
  if (![aud].flat().includes(expected.clientId)) return no('logout_token_audience');
  if ('nonce' in payload) return no('logout_token_nonce');
  if (!hasLogoutEvent(payload['events'])) return no('logout_token_events');
  if (typeof jti !== 'string' || textProblem(jti, MAX_CLAIM_BYTES) !== undefined) return no('logout_token_id');
  const notice = readSubject(payload);
  return notice === undefined ? no('logout_token_subject') : ok({ tokenId: jti, ...notice });
}

const isIssuedRecently = (iat: number, { nowMs, clockSkew }: ExpectedLogout): boolean =>
  isRecent(iat * 1000, nowMs, LOGOUT_TOKEN_SECONDS * 1000, clockSkew * 1000);

function hasLogoutEvent(events: unknown): boolean {
  if (typeof events !== 'object' || events === null) return false;
  const event: unknown = Object.getOwnPropertyDescriptor(events, LOGOUT_EVENT)?.value;
  return typeof event === 'object' && event !== null && !Array.isArray(event);
}

/** Returns `sub` and `sid`. One that is there and no text makes the token worthless: its meaning is unknown. */
function readSubject({ sub, sid }: JWTPayload): Pick<LogoutNotice, 'subject' | 'sid'> | undefined {
  const present = [sub, sid].filter((value) => value !== undefined);
  if (present.length === 0 || present.some((value) => textProblem(value, MAX_CLAIM_BYTES) !== undefined))
    return undefined;
  return {
    ...(typeof sub === 'string' ? { subject: sub } : {}),
    ...(typeof sid === 'string' ? { sid } : {}),
  };
}

function rejectionOf(error: unknown): LogoutTokenRejection {
  if (error instanceof errors.JWTExpired) return 'logout_token_expired';
  if (error instanceof errors.JWTClaimValidationFailed) return 'logout_token_expired';
  if (error instanceof errors.JWSSignatureVerificationFailed) return 'logout_token_signature';
  if (error instanceof errors.JOSEAlgNotAllowed || error instanceof errors.JOSENotSupported) {
    return 'logout_token_algorithm';
  }
  if (error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JWKSMultipleMatchingKeys) {
    return 'logout_token_key_unknown';
  }
  if (error instanceof errors.JOSEError) return 'logout_token_malformed';
  throw error;
}

/**
 * A workload's own token (RFC 8693 §2.1, `subject_token`) before anything in it is trusted.
 *
 * An attacker sends a token of another issuer, for another audience, signed with `none` or a shared secret,
 * without an expiry; or one that was meant for us and for another recipient, who could present it here. All of
 * these are rejected. Nothing of a token is ever repeated in a message or in the audit log.
 */
import { createHash } from 'node:crypto';
import { decodeJwt, errors, jwtVerify, type JWTPayload, type JWTVerifyGetKey } from 'jose';
import { textProblem } from '../../core/identity/names.ts';
import { no, ok, type Result } from '../../core/result.ts';

/**
 * Tokens of GitHub, GitLab and Kubernetes have one or two kB; Kubernetes' own limit for a request's headers is far
 * above that.
 */
const MAX_TOKEN_LENGTH = 16_384;
/** Of the 512 bytes that an account may have, less the longest name of a rule. */
const MAX_SUBJECT_BYTES = 400;
const MAX_TOKEN_ID_BYTES = 256;
/** Signatures with a private key only: with a shared secret anyone who can verify can also forge. */
const ALGORITHMS = ['RS256', 'PS256', 'ES256', 'EdDSA'];

export type SubjectTokenRejection =
  | 'subject_token_too_large'
  | 'subject_token_malformed'
  | 'subject_token_algorithm'
  | 'subject_token_key_unknown'
  | 'subject_token_signature'
  | 'subject_token_expired'
  | 'subject_token_not_yet_valid'
  | 'subject_token_audience'
  | 'subject_token_claims';

/** A token that its issuer has signed for us. */
export interface SubjectToken {
  readonly issuer: string;
  readonly subject: string;
  /** `jti`, or the digest of a token that has none. */
  readonly tokenId: string;
  /** Epoch seconds. */
  readonly issuedAt: number;
  /** Epoch seconds. */
  readonly expiresAt: number;
  readonly claims: Readonly<Record<string, unknown>>;
}

/** Returns the issuer that the token names. It is not yet verified: only good for choosing whose keys to try. */
export function claimedIssuer(token: string): Result<string, SubjectTokenRejection> {
  if (token.length > MAX_TOKEN_LENGTH) return no('subject_token_too_large');
  try {
    const { iss } = decodeJwt(token);
    return typeof iss === 'string' ? ok(iss) : no('subject_token_malformed');
  } catch {
    return no('subject_token_malformed');
  }
}

interface Expected {
  /** The issuer that the rule pins. */
  readonly issuer: string;
  /** Our public URL, and no other. */
  readonly audience: string;
  /** Epoch milliseconds. */
  readonly nowMs: number;
  /** `clockSkew`, seconds. */
  readonly clockSkew: number;
}

/**
 * @throws AppError `provider_unavailable` where the issuer's keys cannot be read
 */
export async function verifySubjectToken(
  token: string,
  keys: JWTVerifyGetKey,
  expected: Expected,
): Promise<Result<SubjectToken, SubjectTokenRejection>> {
  let payload: JWTPayload;
  try {
    const verified = await jwtVerify(token, keys, {
      issuer: expected.issuer,
      audience: expected.audience,
      algorithms: ALGORITHMS,
      clockTolerance: expected.clockSkew,
      currentDate: new Date(expected.nowMs),
      requiredClaims: ['sub', 'iat', 'exp'],
    });
    payload = verified.payload;
  } catch (error) {
    return no(rejectionOf(error));
  }
  return readClaims(payload, digestOf(token), expected);
}

/**
 * Returns the id of a token without `jti`, which RFC 7519 §4.1.7 has optional and SPIRE's JWT-SVIDs do not have: the
 * digest of what is signed, header and payload.
 *
 * An attacker who has read a used token sends another text of it, to open a second session. Anyone who sees a signature by
 * ECDSA can write another valid one, and the last character of base64url has bits without a meaning. So the signature
 * is no part of it; of the rest no character can be changed.
 */
const digestOf = (token: string): string =>
  createHash('sha256')
    .update(token.slice(0, token.lastIndexOf('.')))
    .digest('base64url');

function readClaims(
  payload: JWTPayload,
  digest: string,
  { issuer, nowMs, clockSkew }: Expected,
): Result<SubjectToken, SubjectTokenRejection> {
  const { sub, jti = digest, iat, exp, aud } = payload;
  // A recipient of a token with two audiences is an attacker at the other one, so a token has one audience.
  if (Array.isArray(aud) && aud.length !== 1) return no('subject_token_audience');
  if (typeof iat !== 'number' || typeof exp !== 'number') return no('subject_token_claims');
  if (iat > nowMs / 1000 + clockSkew) return no('subject_token_not_yet_valid');
  if (typeof sub !== 'string' || textProblem(sub, MAX_SUBJECT_BYTES) !== undefined) return no('subject_token_claims');
  if (typeof jti !== 'string' || textProblem(jti, MAX_TOKEN_ID_BYTES) !== undefined) return no('subject_token_claims');
  return ok({
    issuer,
    subject: sub,
    tokenId: jti,
    issuedAt: Math.floor(iat),
    expiresAt: Math.floor(exp),
    claims: payload,
  });
}

function rejectionOf(error: unknown): SubjectTokenRejection {
  if (error instanceof errors.JWTExpired) return 'subject_token_expired';
  if (error instanceof errors.JWTClaimValidationFailed) {
    if (error.claim === 'nbf' && error.reason === 'check_failed') return 'subject_token_not_yet_valid';
    return error.claim === 'aud' ? 'subject_token_audience' : 'subject_token_claims';
  }
  if (error instanceof errors.JWSSignatureVerificationFailed) return 'subject_token_signature';
  if (error instanceof errors.JOSEAlgNotAllowed || error instanceof errors.JOSENotSupported) {
    return 'subject_token_algorithm';
  }
  if (error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JWKSMultipleMatchingKeys) {
    return 'subject_token_key_unknown';
  }
  if (error instanceof errors.JOSEError) return 'subject_token_malformed';
  throw error;
}

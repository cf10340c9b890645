/**
 * The user's access token that a client exchanges: one of ours, for exactly this client.
 *
 * An attacker at another program, to which the user has sent a token of theirs, sends it to this one, which would
 * exchange it (a confused deputy). So its audience must be the client's own `resource`, and no other counts: not a
 * cluster's, and not that of another client.
 *
 * Its `cnf`, if it has one, is not checked: it names the key of the program that the user runs, towards which the
 * client was the server. The client has no such key and cannot have it. What counts instead is that the client has
 * authenticated itself, and that the token names it (docs/decisions/0045-token-exchange-for-registered-clients.md).
 */
import { createLocalJWKSet, errors, jwtVerify, type JSONWebKeySet, type JWTPayload } from 'jose';
import { readCredential, type Credential } from '../../core/credential/credential.ts';
import { no, ok, type Result } from '../../core/result.ts';

/** Our own tokens are below 1 KiB. */
const MAX_TOKEN_CHARACTERS = 4096;

export type UserTokenRejection =
  | 'subject_token_malformed'
  | 'subject_token_foreign'
  | 'subject_token_expired'
  | 'subject_token_audience';

interface Expected {
  readonly issuer: string;
  /** The client's `resource`. */
  readonly audience: string;
  readonly keys: JSONWebKeySet;
  readonly nowMs: number;
}

/** Verifies signature, type, issuer, times and audience; whether its session is still good is not known then. */
export async function verifyUserToken(
  token: string,
  { issuer, audience, keys, nowMs }: Expected,
): Promise<Result<Credential, UserTokenRejection>> {
  if (token.length > MAX_TOKEN_CHARACTERS) return no('subject_token_malformed');
  let payload: JWTPayload;
  try {
    const verified = await jwtVerify(token, createLocalJWKSet(keys), {
      algorithms: ['ES256'],
      issuer,
      // An attacker presents an ID token, which the same keys sign (RFC 9068 §4).
      typ: 'at+jwt',
      requiredClaims: ['exp', 'iat', 'sub', 'aud'],
      currentDate: new Date(nowMs),
    });
    payload = verified.payload;
  } catch (error) {
    return no(rejectionOf(error));
  }
  const credential = readCredential(payload, audience);
  if (credential.ok) return ok(credential.value);
  return no(credential.reason === 'wrong_audience' ? 'subject_token_audience' : 'subject_token_foreign');
}

function rejectionOf(error: unknown): UserTokenRejection {
  if (error instanceof errors.JWTExpired) return 'subject_token_expired';
  if (error instanceof errors.JWSInvalid || error instanceof errors.JWTInvalid) return 'subject_token_malformed';
  if (error instanceof errors.JOSEError) return 'subject_token_foreign';
  // An unexpected error must not look like a rejection.
  throw error;
}

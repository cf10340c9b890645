/**
 * Verifies that an access token is ours: signature, issuer, type and times. Says nothing about whether it is still
 * good.
 *
 * A verified token is cached until it expires, because a signature costs more than everything else the proxy does
 * for a request. Whatever can change (binding, audience, revocation) is therefore never part of the cache.
 */
import { createLocalJWKSet, errors, jwtVerify } from 'jose';
import type { JSONWebKeySet, JWK, JWTPayload } from 'jose';
import { LRUCache } from 'lru-cache';
import {
  actorOf,
  readCredential,
  type Credential,
  type CredentialRejection,
} from '../../core/credential/credential.ts';
import { no, ok } from '../../core/result.ts';
import type { Result } from '../../core/result.ts';
import { andThen, type Awaitable } from '../../core/awaitable.ts';
import type { Clock } from '../../contracts/clock.ts';

/** About 40 MB of tokens at most. Beyond that the oldest are verified again. */
const MAX_TOKENS = 20_000;
/** Our RFC 9068 tokens are below 1 KiB. A longer one is not worth a signature check. */
const MAX_TOKEN_CHARACTERS = 4096;

/** A rejection with the token's client, and its actors, if its signature was verified. */
type Verdict<T> = Result<T, CredentialRejection> & {
  readonly client?: string;
  readonly actor?: string | undefined;
};

interface Verified {
  readonly claims: JWTPayload;
  /** For the one audience that a token has: read once, with the digests in it. */
  credential: Credential | undefined;
}

export class TokenVerifier {
  readonly #jwks: JSONWebKeySet;
  #known: readonly JWK[];
  #keys: ReturnType<typeof createLocalJWKSet>;
  readonly #issuer: string;
  readonly #clock: Clock;
  readonly #verified = new LRUCache<string, Verified>({ max: MAX_TOKENS });

  /** @param options.keys its keys are read for each token, because they are rotated */
  constructor(options: { readonly keys: JSONWebKeySet; readonly issuer: string; readonly clock: Clock }) {
    this.#jwks = options.keys;
    this.#known = options.keys.keys;
    this.#keys = createLocalJWKSet({ keys: [...this.#known] });
    this.#issuer = options.issuer;
    this.#clock = options.clock;
  }

  /**
   * @param audience the one audience that it must have
   * @returns the credential in an RFC 9068 access token that we signed and that has not expired
   */
  verify(token: string, audience: string): Awaitable<Verdict<Credential>> {
    return andThen(this.#claimsOf(token), (verified) => {
      if (!verified.ok) return verified;
      const { claims, credential } = verified.value;
      if (credential?.audience === audience) return ok(credential);
      const read = readCredential(claims, audience);
      if (read.ok) verified.value.credential = read.value;
      return read;
    });
  }

  #takeKeys(): void {
    const { keys } = this.#jwks;
    if (keys === this.#known) return;
    // An attacker who steals a signing key can forge any expiry, so nothing stays cached once a key is removed.
    const isGone = this.#known.some(({ kid }) => keys.every((key) => key.kid !== kid));
    if (isGone) this.#verified.clear();
    this.#known = keys;
    this.#keys = createLocalJWKSet({ keys: [...keys] });
  }

  #claimsOf(token: string): Awaitable<Verdict<Verified>> {
    this.#takeKeys();
    const known = this.#verified.get(token);
    if (known !== undefined) {
      if ((known.claims.exp ?? 0) > this.#clock.nowMs() / 1000) return ok(known);
      this.#verified.delete(token);
      return expired(known.claims);
    }
    return token.length > MAX_TOKEN_CHARACTERS ? no('malformed_token') : this.#checkSignature(token);
  }

  async #checkSignature(token: string): Promise<Verdict<Verified>> {
    const keys = this.#keys;
    try {
      const { payload } = await jwtVerify(token, keys, {
        // The one algorithm of our keys: `none` and HMAC with the public key never get as far as a key.
        algorithms: ['ES256'],
        issuer: this.#issuer,
        // Distinguishes an access token from our ID tokens, which the same keys sign (RFC 9068 §4).
        typ: 'at+jwt',
        requiredClaims: ['exp', 'iat', 'sub', 'aud'],
        currentDate: new Date(this.#clock.nowMs()),
      });
      const verified = { claims: payload, credential: undefined };
      // Cached only if the keys have not changed since the verification started.
      if (keys === this.#keys) this.#verified.set(token, verified);
      return ok(verified);
    } catch (error) {
      // The signature is checked before the times.
      return error instanceof errors.JWTExpired ? expired(error.payload) : no(rejectionOf(error));
    }
  }
}

function expired(payload: JWTPayload): Verdict<never> {
  const { client_id } = payload;
  const rejection = { ...no('token_expired' as const), actor: actorOf(payload) };
  return typeof client_id === 'string' ? { ...rejection, client: client_id } : rejection;
}

function rejectionOf(error: unknown): CredentialRejection {
  if (error instanceof errors.JWSInvalid || error instanceof errors.JWTInvalid) return 'malformed_token';
  if (error instanceof errors.JOSEError) return 'foreign_token';
  // An unexpected error must not look like a rejection.
  throw error;
}

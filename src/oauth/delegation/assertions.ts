/**
 * Client assertions (`private_key_jwt`, RFC 7523 §3) beyond what the library checks, which has verified signature, issuer,
 * subject, audience and times.
 */
import { createHash } from 'node:crypto';
import { errors, type Configuration, type KoaContextWithOIDC } from 'oidc-provider';
import type { Clock } from '../../contracts/clock.ts';
import type { ArtefactStore } from '../../store/store.ts';
import type { TokenFacts } from '../token-facts.ts';

/** How far in the future an assertion may expire: what an attacker copies is of no use tomorrow. */
const LONGEST_SECONDS = 300;
/** What clocks may differ by, and how much longer a used assertion is remembered. */
const SKEW_SECONDS = 60;

type CheckAssertion = NonNullable<Configuration['assertJwtClientAuthClaimsAndHeader']>;

export interface AssertionDeps {
  readonly artefacts: Pick<ArtefactStore, 'save' | 'consume'>;
  readonly clock: Clock;
  readonly factsOf: (ctx: KoaContextWithOIDC) => TokenFacts;
}

export function assertionCheck({ artefacts, clock, factsOf }: AssertionDeps): CheckAssertion {
  return async (ctx, claims, _header, client) => {
    const reject = (reason: string, message: string): Error => {
      Object.assign(factsOf(ctx), { rejection: reason, message });
      return new errors.InvalidClientAuth(reason);
    };
    const { aud, exp, jti } = claims;
    // An attacker at another server, which such an assertion is for as well, presents it here.
    if (Array.isArray(aud) && aud.length !== 1) {
      throw reject('client_assertion_audience', 'client_assertion must be for this server alone: one aud, the issuer.');
    }
    const left = Number(exp) - Math.floor(clock.nowMs() / 1000);
    if (!(left <= LONGEST_SECONDS + SKEW_SECONDS)) {
      const message = `client_assertion lives too long: exp may be ${LONGEST_SECONDS} seconds from now at most.`;
      throw reject('client_assertion_too_long', message);
    }
    // The library reads and then writes, so of two copies at the same moment both would pass.
    const use = createHash('sha256')
      .update(JSON.stringify(['assertion', client.clientId, jti]))
      .digest('base64url');
    await artefacts.save('ReplayDetection', use, {}, { ttlSeconds: Math.max(left, 0) + 2 * SKEW_SECONDS });
    if (!(await artefacts.consume('ReplayDetection', use))) {
      throw reject('client_assertion_replayed', 'client_assertion was used before: each needs a jti of its own.');
    }
  };
}

/** What the library finds, by its own messages, which quote nothing of a request. */
const REASONS: readonly (readonly [RegExp, string, string])[] = [
  [/^client not found/, 'client_unknown', 'There is no such client here.'],
  [/^alg mismatch/, 'client_assertion_algorithm', 'client_assertion must be signed with ES256, PS256, RS256 or EdDSA.'],
  [/audience/, 'client_assertion_audience', 'aud of client_assertion must be the issuer.'],
  [/^jwt expired/, 'client_assertion_expired', 'client_assertion has expired.'],
  [/^expiration must/, 'client_assertion_claims', 'client_assertion needs exp.'],
  [/^unique jti/, 'client_assertion_claims', 'client_assertion needs jti.'],
  [/^iss /, 'client_assertion_claims', 'iss and sub of client_assertion must be the client_id.'],
  [
    /no applicable key|signature verification failed/,
    'client_assertion_signature',
    'client_assertion is not signed with a key of this client.',
  ],
  [
    /^unregistered client certificate/,
    'certificate_mismatch',
    'The certificate of this connection is not one of this client.',
  ],
  [/^client certificate was not provided/, 'certificate_missing', 'Connect with a certificate of this client.'],
  [
    /authentication mechanism does not match/,
    'client_authentication_missing',
    'Authenticate as this client is registered: by client_assertion, or by a certificate.',
  ],
];

/** Puts a precise reason and a message for a client that was not authenticated into the facts, where there is none yet. */
export function explainClientError(facts: TokenFacts, error: unknown): void {
  if (!(error instanceof errors.InvalidClientAuth) || facts.rejection !== undefined) return;
  const detail = (error as { readonly error_detail?: string }).error_detail ?? '';
  const [, reason, message] = REASONS.find(([pattern]) => pattern.test(detail)) ?? [];
  facts.rejection = reason ?? 'client_authentication_failed';
  facts.message = message ?? 'The client could not be authenticated.';
}

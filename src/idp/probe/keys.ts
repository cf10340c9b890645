/** Whether ID tokens of a provider can be verified: by which algorithms, and by which of its keys. */
import type { Outbound } from '../outbound.ts';
import { listIn, metadataOf, shown, textIn, type Metadata } from './metadata.ts';
import { needed, type ProbeRow } from './row.ts';
import { connectionMessage } from './connection.ts';

/**
 * The algorithms that openid-client verifies, by the kind of key. Others cannot verify by a secret: HS256 is not
 * among them.
 */
const ALGORITHMS: Readonly<Record<string, readonly string[]>> = {
  RSA: ['RS256', 'PS256', 'RS384', 'PS384', 'RS512', 'PS512'],
  'P-256': ['ES256'],
  'P-384': ['ES384'],
  'P-521': ['ES512'],
  Ed25519: ['EdDSA', 'Ed25519'],
  AKP: ['ML-DSA-44', 'ML-DSA-65', 'ML-DSA-87'],
};
const VERIFIED = new Set(Object.values(ALGORITHMS).flat());

/** Whether a signature by this algorithm can be verified at all, and the provider lists it. */
export const isVerifiable = (alg: string, metadata: Metadata): boolean =>
  VERIFIED.has(alg) && (listIn(metadata, 'id_token_signing_alg_values_supported') ?? DEFAULT).includes(alg);

/** OpenID Connect Core §15.1: the default of a provider that lists nothing. */
const DEFAULT = ['RS256'];

export const USABLE = 'Have the provider sign this client’s ID tokens with RS256 or ES256, by a key that it publishes.';

export function signatureRow(metadata: Metadata): ProbeRow {
  const listed = listIn(metadata, 'id_token_signing_alg_values_supported');
  const usable = (listed ?? DEFAULT).filter((alg) => VERIFIED.has(alg));
  if (usable.length === 0) {
    return needed.fails(
      'ID token signature',
      `it lists ${shown(listed ?? [])} and nothing that can be verified`,
      USABLE,
    );
  }
  if (listed === undefined) {
    return needed.unknown('ID token signature', 'it lists none, so RS256 alone is taken', USABLE);
  }
  // A provider lists what it can do. Which one it uses is in this client's registration, and HS256 may be.
  const seen = `it lists ${shown(usable)}; which one it uses is set for this client`;
  return usable.length === listed.length
    ? needed.unknown('ID token signature', seen)
    : needed.unknown('ID token signature', seen, USABLE);
}

/** Reads the keys from where a sign-in reads them. */
export async function keysRow(
  metadata: Metadata,
  outbound: Outbound,
  redacted: (text: string) => string,
): Promise<ProbeRow> {
  const check = 'keys';
  const action = 'See that jwks_uri of the discovery document can be read from here.';
  let document: Metadata | undefined;
  try {
    const request = { method: 'GET', headers: { accept: 'application/json' } };
    const response = await outbound(textIn(metadata, 'jwks_uri') ?? '', request);
    if (response.status !== 200) return needed.fails(check, `jwks_uri answered ${response.status}`, action);
    document = metadataOf(await response.text(), redacted);
  } catch (error) {
    return needed.fails(check, connectionMessage(error), action);
  }
  const keys: unknown = document?.['keys'];
  if (!Array.isArray(keys)) return needed.fails(check, 'jwks_uri has no key set', action);
  const listed = listIn(metadata, 'id_token_signing_alg_values_supported') ?? DEFAULT;
  const usable = keys.filter((key: unknown) => algorithmsOf(key).some((alg) => listed.includes(alg)));
  if (usable.length === 0)
    return needed.fails(check, `of ${keys.length} key(s) none is for a signature of ${shown(listed)}`, USABLE);
  const seen = `${usable.length} of ${keys.length} key(s) can verify ID tokens`;
  const areNamed = usable.every((key: unknown) => typeof key === 'object' && key !== null && 'kid' in key);
  if (usable.length === 1 || areNamed) return needed.works(check, seen);
  const unnamed =
    'Have the provider give each key a kid, and name it in each ID token: which of them it is cannot be told otherwise.';
  return needed.unknown(check, `${seen}, and not each has a key id`, unnamed);
}

/** Bytes of a modulus of 2048 bits, which openid-client requires. */
const MIN_MODULUS_BYTES = 256;

/** RFC 7517 §4. */
function algorithmsOf(key: unknown): readonly string[] {
  if (typeof key !== 'object' || key === null) return [];
  const { kty, crv, use, alg, n } = key as Readonly<Record<string, unknown>>;
  if (use !== undefined && use !== 'sig') return [];
  if (kty === 'RSA' && Buffer.from(typeof n === 'string' ? n : '', 'base64url').length < MIN_MODULUS_BYTES) return [];
  const kind = kty === 'EC' || kty === 'OKP' ? crv : kty;
  const algorithms = typeof kind === 'string' && Object.hasOwn(ALGORITHMS, kind) ? ALGORITHMS[kind] : undefined;
  return (algorithms ?? []).filter((each) => alg === undefined || alg === each);
}

/**
 * The public keys by which an OAuth client of ours authenticates: of a JWK Set (RFC 7517), or of the certificates
 * that it presents (RFC 8705 §2.2).
 */
import { createPublicKey, X509Certificate, type KeyObject } from 'node:crypto';
import { no, ok, type Result } from '../result.ts';

/** Algorithms of a client's assertion: signatures with a private key only, as anyone who verifies a MAC can also forge it. */
export const CLIENT_ASSERTION_ALGS = ['ES256', 'PS256', 'RS256', 'EdDSA', 'Ed25519'] as const;

/** RFC 7518 §3.3. */
const MIN_RSA_BITS = 2048;
/** A set has the keys of one client, of which a few are rotated at a time. */
const MOST_KEYS = 20;

export const EXPECTED_JWKS =
  'a JWK Set with a public key (EC on P-256, Ed25519, or RSA of 2048 bits or more) and without private and shared keys';
export const EXPECTED_CERTIFICATES =
  'one or more certificates in PEM, whose keys are EC, Ed25519 or RSA of 2048 bits or more';

/** A public key, with nothing of the document that is not needed to choose it. */
export type ClientKeyJwk = Readonly<Record<string, unknown>> & { readonly kty: string };

const PRIVATE_MEMBERS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k'];

/**
 * Returns the keys of a set that can verify a signature; others, such as keys for encryption, are left out.
 * @returns `no` with what was expected, which quotes nothing of the document
 */
function clientKeysIn(document: unknown): Result<readonly ClientKeyJwk[], string> {
  const keys = membersOf(document)?.['keys'];
  if (!Array.isArray(keys) || keys.length > MOST_KEYS) return no(EXPECTED_JWKS);
  const found: ClientKeyJwk[] = [];
  for (const each of keys) {
    const jwk = membersOf(each);
    // An operator who publishes a private key has given the client's identity to everyone who can read the set.
    if (jwk === undefined || jwk['kty'] === 'oct' || PRIVATE_MEMBERS.some((name) => name in jwk))
      return no(EXPECTED_JWKS);
    const key = verifyingKey(jwk);
    if (key !== undefined) found.push(key);
  }
  return found.length === 0 ? no(EXPECTED_JWKS) : ok(found);
}

/** As `clientKeysIn`, for the text of a file or of a response. */
export function clientKeysInText(text: string): Result<readonly ClientKeyJwk[], string> {
  try {
    return clientKeysIn(JSON.parse(text));
  } catch {
    return no(EXPECTED_JWKS);
  }
}

/** Returns the key of each certificate, with the certificate in it (`x5c`), by which it is found. */
export function clientCertificatesIn(pem: string): Result<readonly ClientKeyJwk[], string> {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length === 0 || blocks.length > MOST_KEYS) return no(EXPECTED_CERTIFICATES);
  const found: ClientKeyJwk[] = [];
  for (const block of blocks) {
    const certificate = certificateIn(block);
    if (certificate === undefined || !isStrong(certificate.publicKey)) return no(EXPECTED_CERTIFICATES);
    const { kty = '', ...key } = certificate.publicKey.export({ format: 'jwk' });
    found.push({ ...key, kty, x5c: [certificate.raw.toString('base64')] });
  }
  return ok(found);
}

function certificateIn(block: string): X509Certificate | undefined {
  try {
    return new X509Certificate(block);
  } catch {
    return undefined;
  }
}

function verifyingKey(jwk: Readonly<Record<string, unknown>>): ClientKeyJwk | undefined {
  const { kid, alg } = jwk;
  if (jwk['use'] !== undefined && jwk['use'] !== 'sig') return undefined;
  if (alg !== undefined && !CLIENT_ASSERTION_ALGS.some((known) => known === alg)) return undefined;
  const key = publicKeyOf(jwk);
  if (key === undefined || !isStrong(key) || (key.asymmetricKeyType === 'ec' && jwk['crv'] !== 'P-256'))
    return undefined;
  const { kty = '', ...members } = key.export({ format: 'jwk' });
  return {
    ...members,
    kty,
    use: 'sig',
    ...(typeof kid === 'string' && kid !== '' ? { kid } : {}),
    ...(typeof alg === 'string' ? { alg } : {}),
  };
}

function publicKeyOf(jwk: Readonly<Record<string, unknown>>): KeyObject | undefined {
  try {
    return createPublicKey({ key: jwk, format: 'jwk' });
  } catch {
    return undefined;
  }
}

function isStrong({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject): boolean {
  if (asymmetricKeyType === 'rsa') return (asymmetricKeyDetails?.modulusLength ?? 0) >= MIN_RSA_BITS;
  return asymmetricKeyType === 'ec' || asymmetricKeyType === 'ed25519';
}

const membersOf = (value: unknown): Readonly<Record<string, unknown>> | undefined =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : undefined;

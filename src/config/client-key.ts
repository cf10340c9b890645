/** The private key by which we authenticate at a provider: the allowed content of its file, and its algorithms. */
import { createPrivateKey, X509Certificate, type JsonWebKey, type KeyObject } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import { certificateThumbprint } from '../core/credential/thumbprint.ts';

export const EXPECTED_KEY =
  'a private key in PEM without a passphrase, or as a JWK: EC on P-256, Ed25519, or RSA of 2048 bits or more';
export const EXPECTED_PAIR = 'a certificate in PEM, and in clientKeyFile the private key that belongs to it';

/** RFC 7518 §3.3. */
const MIN_RSA_BITS = 2048;

/**
 * @param text PEM, or one private JWK (RFC 7517)
 * @throws Error that says what was expected; it never quotes the text
 */
export function clientSigningKey(text: string): ClientKey {
  const jwk = jwkIn(text);
  const key = privateKeyIn(jwk ?? text);
  const algs = algsOf(key);
  const named = algs?.find((alg) => alg === jwk?.['alg']);
  if (algs === undefined || (jwk?.['alg'] !== undefined && named === undefined)) throw new Error(EXPECTED_KEY);
  const kid = jwk?.['kid'];
  return { key, algs: named === undefined ? algs : [named], ...(typeof kid === 'string' ? { kid } : {}) };
}

/**
 * Reads a key whose certificate the provider has.
 * @throws Error with what was expected; it never quotes the texts
 */
export function certifiedSigningKey({ cert, key: text }: { readonly cert: string; readonly key: string }): ClientKey {
  const signs = clientSigningKey(text);
  const certificate = certificateIn(cert);
  if (!certificate.checkPrivateKey(signs.key)) throw new Error(EXPECTED_PAIR);
  const thumbprint = certificateThumbprint(certificate.raw);
  // Entra finds the key by its certificate, and requires PS256 for an RSA key.
  const algs: ClientKey['algs'] =
    signs.algs.includes('PS256') && signs.algs.length > 1 ? ['PS256', 'RS256'] : signs.algs;
  return { ...signs, algs, thumbprint };
}

/**
 * Checks that a certificate and its key can be used in a TLS handshake.
 * @throws Error with what was expected; it never quotes the texts
 */
export function assertTlsPair({ cert, key }: { readonly cert: string; readonly key: string }): void {
  try {
    createSecureContext({ cert, key });
  } catch {
    throw new Error(EXPECTED_PAIR);
  }
}

function certificateIn(pem: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch {
    throw new Error(EXPECTED_PAIR);
  }
}

function privateKeyIn(source: string | JsonWebKey): KeyObject {
  try {
    return typeof source === 'string' ? createPrivateKey(source) : createPrivateKey({ key: source, format: 'jwk' });
  } catch {
    // Without the cause: it may quote what it could not read.
    throw new Error(EXPECTED_KEY);
  }
}

function jwkIn(text: string): JsonWebKey | undefined {
  if (!text.trimStart().startsWith('{')) return undefined;
  try {
    return JSON.parse(text) as JsonWebKey;
  } catch {
    throw new Error(EXPECTED_KEY);
  }
}

function algsOf({ asymmetricKeyType: type, asymmetricKeyDetails: details }: KeyObject): ClientKey['algs'] | undefined {
  if (type === 'ec') return details?.namedCurve === 'prime256v1' ? ['ES256'] : undefined;
  if (type === 'ed25519') return ['EdDSA'];
  // RS256 first: every OpenID provider has to know it.
  return type === 'rsa' && (details?.modulusLength ?? 0) >= MIN_RSA_BITS ? ['RS256', 'PS256'] : undefined;
}

/** The key that signs client assertions at a provider (`private_key_jwt`), read from `providers[].clientKeyFile`. */
export interface ClientKey {
  readonly key: KeyObject;
  /** Its algorithms, the preferred one first. */
  readonly algs: readonly [AssertionAlg, ...AssertionAlg[]];
  readonly kid?: string;
  /** SHA-256 of its certificate, base64url (RFC 7515 §4.1.8): Entra finds the uploaded certificate by it. */
  readonly thumbprint?: string;
}

export type AssertionAlg = 'ES256' | 'RS256' | 'PS256' | 'EdDSA';

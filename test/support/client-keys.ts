/** Keys and certificates of a client, as an operator makes them. */
import { generateKeyPairSync, type JsonWebKey, type KeyObject, type webcrypto } from 'node:crypto';
import 'reflect-metadata';
import * as x509 from '@peculiar/x509';

export interface ClientKeyFiles {
  /** PEM (PKCS #8). */
  readonly pem: string;
  /** The public one, as the provider has it. */
  readonly jwk: JsonWebKey;
  readonly privateJwk: JsonWebKey;
}

export type KeyKind = 'ec' | 'ed25519' | 'rsa';

const filesOf = ({ publicKey, privateKey }: { readonly publicKey: KeyObject; readonly privateKey: KeyObject }) => ({
  pem: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  jwk: publicKey.export({ format: 'jwk' }),
  privateJwk: privateKey.export({ format: 'jwk' }),
});

export function newKey(kind: KeyKind): ClientKeyFiles {
  switch (kind) {
    case 'ec':
      return filesOf(generateKeyPairSync('ec', { namedCurve: 'P-256' }));
    case 'ed25519':
      return filesOf(generateKeyPairSync('ed25519'));
    case 'rsa':
      return filesOf(generateKeyPairSync('rsa', { modulusLength: 2048 }));
  }
}

const ALGORITHMS = {
  ec: { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' },
  rsa: { name: 'RSASSA-PKCS1-v1_5', modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]), hash: 'SHA-256' },
} as const;
const DAY_MS = 24 * 60 * 60 * 1000;

const validity = () => ({ notBefore: new Date(Date.now() - DAY_MS), notAfter: new Date(Date.now() + DAY_MS) });

interface CertificatePair {
  readonly cert: string;
  readonly key: string;
}

const pairOf = async (certificate: x509.X509Certificate, key: webcrypto.CryptoKey): Promise<CertificatePair> => ({
  cert: certificate.toString('pem'),
  key: x509.PemConverter.encode(await crypto.subtle.exportKey('pkcs8', key), 'PRIVATE KEY'),
});

/** A self-signed certificate. @param subject such as `CN=client` */
export async function newCertificate(subject: string, kind: 'ec' | 'rsa' = 'ec'): Promise<CertificatePair> {
  const keys = await crypto.subtle.generateKey(ALGORITHMS[kind], true, ['sign', 'verify']);
  const signingAlgorithm = ALGORITHMS[kind];
  const own = { name: subject, keys, signingAlgorithm, ...validity() };
  return pairOf(await x509.X509CertificateGenerator.createSelfSigned(own), keys.privateKey);
}

/** Certificates for each of the subjects, and the CA that signs them. */
export async function newClientCertificates(
  subjects: readonly string[],
): Promise<{ readonly ca: string; readonly pairs: readonly CertificatePair[] }> {
  const generate = () => crypto.subtle.generateKey(ALGORITHMS.ec, true, ['sign', 'verify']);
  const keys = await generate();
  const root = await x509.X509CertificateGenerator.createSelfSigned({
    name: 'CN=CA of clients',
    keys,
    signingAlgorithm: ALGORITHMS.ec,
    ...validity(),
    extensions: [new x509.BasicConstraintsExtension(true, 0, true)],
  });
  const pairs = subjects.map(async (subject) => {
    const { publicKey, privateKey } = await generate();
    const certificate = await x509.X509CertificateGenerator.create({
      subject,
      issuer: root.subject,
      publicKey,
      signingKey: keys.privateKey,
      signingAlgorithm: ALGORITHMS.ec,
      ...validity(),
    });
    return pairOf(certificate, privateKey);
  });
  return { ca: root.toString('pem'), pairs: await Promise.all(pairs) };
}

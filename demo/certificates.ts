/** The demo's certificate authority: one root and one server certificate for loopback names, generated at each start. */
import type { webcrypto } from 'node:crypto';
import 'reflect-metadata';
import * as x509 from '@peculiar/x509';

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const LIFE_MS = 7 * 24 * 60 * 60 * 1000;
/** Clocks of a laptop's virtual machines drift. */
const BACKDATE_MS = 5 * 60 * 1000;

export interface DemoCertificates {
  /** PEM of the root that clients trust. */
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/**
 * @param names DNS names and addresses of the server certificate
 * @param now milliseconds since the epoch
 */
export async function makeCertificates(names: readonly string[], now: number): Promise<DemoCertificates> {
  const [rootKeys, serverKeys] = await Promise.all([generate(), generate()]);
  const validity = { notBefore: new Date(now - BACKDATE_MS), notAfter: new Date(now + LIFE_MS) };
  const root = await x509.X509CertificateGenerator.createSelfSigned({
    name: 'CN=Portcullis demo CA',
    keys: rootKeys,
    signingAlgorithm: ALGORITHM,
    ...validity,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(rootKeys.publicKey),
    ],
  });
  const server = await x509.X509CertificateGenerator.create({
    subject: 'CN=Portcullis demo',
    issuer: root.subject,
    publicKey: serverKeys.publicKey,
    signingKey: rootKeys.privateKey,
    signingAlgorithm: ALGORITHM,
    ...validity,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      // Roots of one name are told apart by their keys, where a client trusts several.
      await x509.AuthorityKeyIdentifierExtension.create(rootKeys.publicKey),
      new x509.SubjectAlternativeNameExtension(
        names.map((value) => ({ type: isAddress(value) ? ('ip' as const) : ('dns' as const), value })),
      ),
    ],
  });
  return { ca: root.toString('pem'), cert: server.toString('pem'), key: await exportKey(serverKeys.privateKey) };
}

const isAddress = (name: string): boolean => /^[\d.]+$/.test(name) || name.includes(':');

const generate = (): Promise<webcrypto.CryptoKeyPair> => crypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);

async function exportKey(key: webcrypto.CryptoKey): Promise<string> {
  return x509.PemConverter.encode(await crypto.subtle.exportKey('pkcs8', key), 'PRIVATE KEY');
}

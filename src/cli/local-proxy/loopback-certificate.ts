/**
 * The certificate of the loopback port, created for one run. Its CA is in the kubeconfig, and the CA's key is
 * discarded.
 *
 * TLS on loopback has two reasons: client-go sends a token of a kubeconfig over https only; and after this program
 * has ended, an attacker on this machine may listen on its port, and would receive the requests of a client that
 * still runs.
 */
import 'reflect-metadata';
import { randomBytes, webcrypto } from 'node:crypto';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509CertificateGenerator,
} from '@peculiar/x509';

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const SERVER_AUTHENTICATION = '1.3.6.1.5.5.7.3.1';
const DAY_MS = 86_400_000;

/** All PEM. */
export interface LoopbackCertificate {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/** @param now epoch milliseconds */
export async function createLoopbackCertificate(now: number): Promise<LoopbackCertificate> {
  const [rootKeys, keys] = await Promise.all([generate(), generate()]);
  // Longer than any session. Only this machine's clock matters, so the margin is for a clock that is set back.
  const validity = { notBefore: new Date(now - DAY_MS), notAfter: new Date(now + 366 * DAY_MS) };
  const common = { signingAlgorithm: ALGORITHM, ...validity };
  // Clients that read RFC 5280 strictly, such as Python from 3.13 on, require each of these extensions.
  const root = await X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: 'CN=portcullis proxy, one run',
    keys: rootKeys,
    ...common,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign, true),
      await SubjectKeyIdentifierExtension.create(rootKeys.publicKey),
    ],
  });
  const server = await X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject: 'CN=portcullis proxy',
    issuer: root.subject,
    publicKey: keys.publicKey,
    signingKey: rootKeys.privateKey,
    ...common,
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension([SERVER_AUTHENTICATION]),
      await AuthorityKeyIdentifierExtension.create(rootKeys.publicKey),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
      new SubjectAlternativeNameExtension([
        { type: 'ip', value: '127.0.0.1' },
        { type: 'dns', value: 'localhost' },
      ]),
    ],
  });
  const key = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey);
  return { ca: root.toString('pem'), cert: server.toString('pem'), key: PemConverter.encode(key, 'PRIVATE KEY') };
}

const generate = (): Promise<webcrypto.CryptoKeyPair> =>
  webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);

/** Positive (RFC 5280 §4.1.2.2). */
function serialNumber(): string {
  const bytes = randomBytes(16);
  bytes.writeUInt8((bytes.readUInt8(0) & 0x7f) | 0x40, 0);
  return bytes.toString('hex');
}

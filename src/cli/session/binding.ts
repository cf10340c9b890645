/**
 * Creates a new key pair for each session: P-256 with a self-signed certificate. No CA signs it; tokens are bound
 * to its thumbprint (RFC 8705 §2.2, self-signed), so it names no user.
 */
import 'reflect-metadata';
import { randomBytes, webcrypto } from 'node:crypto';
import { ExtendedKeyUsageExtension, KeyUsageFlags, KeyUsagesExtension, X509CertificateGenerator } from '@peculiar/x509';
import type { Binding } from './session.ts';

const CLIENT_AUTHENTICATION = '1.3.6.1.5.5.7.3.2';
const DAY_MS = 86_400_000;

/**
 * @param now epoch milliseconds
 * @returns certificate and PKCS #8 key, both PEM
 */
export async function createBinding(now: number): Promise<Binding> {
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const serialNumber = randomBytes(16);
  serialNumber.writeUInt8(serialNumber.readUInt8(0) & 0x7f, 0); // positive (RFC 5280 §4.1.2.2)
  const certificate = await X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber.toString('hex'),
    name: 'CN=portcullis session',
    // Valid from a day earlier, for clocks that differ, and for a year, because the server ends the session long
    // before.
    notBefore: new Date(now - DAY_MS),
    notAfter: new Date(now + 366 * DAY_MS),
    signingAlgorithm: algorithm,
    keys,
    extensions: [
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension([CLIENT_AUTHENTICATION]),
    ],
  });
  const key = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey));
  const lines = key.toString('base64').match(/.{1,64}/g) ?? [];
  return {
    certificate: `${certificate.toString('pem').trim()}\n`,
    privateKey: `-----BEGIN PRIVATE KEY-----\n${lines.join('\n')}\n-----END PRIVATE KEY-----\n`,
  };
}

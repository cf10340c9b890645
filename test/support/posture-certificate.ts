/** A request for a client certificate, and what a signer would have made of it. Both as a CertificateSigningRequest holds them: PEM in base64. */
import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import { Pkcs10CertificateRequestGenerator, X509CertificateGenerator } from '@peculiar/x509';

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;

const base64 = (pem: string): string => Buffer.from(pem).toString('base64');

export async function certificateRequest(
  commonName: string,
  organization: string,
  daysLeft = 30,
): Promise<{ readonly request: string; readonly certificate: string }> {
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const name = `CN=${commonName}, O=${organization}`;
  const request = await Pkcs10CertificateRequestGenerator.create({ name, keys, signingAlgorithm: ALGORITHM });
  const day = 24 * 3600 * 1000;
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name,
    keys,
    signingAlgorithm: ALGORITHM,
    notBefore: new Date(Date.now() - 60 * day),
    notAfter: new Date(Date.now() + daysLeft * day),
  });
  return { request: base64(request.toString('pem')), certificate: base64(certificate.toString('pem')) };
}

/**
 * The CAs that may sign a server's certificate: Node's own list with `NODE_EXTRA_CA_CERTS`, the system's store,
 * where companies install their CA, and the files that `SSL_CERT_FILE` and `SSL_CERT_DIR` name, as OpenSSL and Go
 * read them.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { getCACertificates } from 'node:tls';
import type { NetworkEnvironment } from '../environment.ts';

type CertificateEnvironment = Pick<NetworkEnvironment, 'certFile' | 'certDirs'>;

const PEM = '-----BEGIN CERTIFICATE-----';

/** @returns PEM; a file that cannot be read is left out, as by OpenSSL: see `unreadableCertFile` */
export function trustedCas({ certFile, certDirs }: CertificateEnvironment): string[] {
  const files = [...(certFile === undefined ? [] : [certFile]), ...certDirs.flatMap(filesIn)];
  const named = files.map(readPem).filter((text) => text !== undefined);
  // The first two overlap most, and each certificate costs time to parse.
  return [...new Set([...getCACertificates('default'), ...getCACertificates('system'), ...named])];
}

/** Returns the file of `SSL_CERT_FILE` where it holds no certificate: the error about an untrusted server names it. */
export const unreadableCertFile = ({ certFile }: CertificateEnvironment): string | undefined =>
  certFile === undefined || readPem(certFile) !== undefined ? undefined : certFile;

function filesIn(dir: string): string[] {
  try {
    return readdirSync(dir).map((name) => join(dir, name));
  } catch {
    return [];
  }
}

function readPem(file: string): string | undefined {
  try {
    const text = readFileSync(file, 'utf8');
    return text.includes(PEM) ? text : undefined;
  } catch {
    return undefined;
  }
}

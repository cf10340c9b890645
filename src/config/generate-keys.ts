/** Generates the first keys of an installation. */
import { randomBytes } from 'node:crypto';
import { mkdir, open, readdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { calculateJwkThumbprint, exportJWK, generateKeyPair, type JWK } from 'jose';
import { AppError } from '../core/errors.ts';
import type { KeyKind } from './key-files.ts';

export interface GenerateKeysOptions {
  readonly signingDir: string;
  readonly sealingDir: string;
  /** Absent: no key is generated for the audit log. */
  readonly auditDir?: string;
  /** Epoch seconds; the `iat` of the keys. */
  readonly now?: number;
}

/**
 * Writes one signing and one sealing key, and one for the audit log, each 0600 in a directory of 0700.
 * @returns the files
 * @throws AppError `conflict` where keys exist already: they are never replaced, and nothing is written then
 */
export async function generateKeys(options: GenerateKeysOptions): Promise<readonly string[]> {
  const { signingDir, sealingDir, auditDir, now = Math.floor(Date.now() / 1000) } = options;
  const occupied: string[] = [];
  for (const directory of [signingDir, sealingDir, ...(auditDir === undefined ? [] : [auditDir])]) {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    if ((await readdir(directory)).some((name) => name.endsWith('.json'))) occupied.push(directory);
  }
  if (occupied.length > 0) {
    throw new AppError('conflict', `Keys exist already in ${occupied.join(' and ')}, and are not replaced.`, {
      reason: 'keys_exist',
    });
  }
  const files = [await writeSigningKey(signingDir, now), await writeSealingKey(sealingDir, now)];
  return auditDir === undefined ? files : [...files, await writeSigningKey(auditDir, now)];
}

const writeSigningKey = async (directory: string, iat: number): Promise<string> =>
  writeKey(directory, await makeKey('signing', iat));

const writeSealingKey = async (directory: string, iat: number): Promise<string> =>
  writeKey(directory, await makeKey('sealing', iat));

/**
 * Generates a first key for the audit log in a directory that has none: installations that are older than the
 * signed audit log.
 */
export async function ensureAuditKey(directory: string, now = Math.floor(Date.now() / 1000)): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  if (!(await readdir(directory)).some((name) => name.endsWith('.json'))) await writeSigningKey(directory, now);
}

export type NamedJwk = JWK & { readonly kid: string; readonly iat: number };

/** @param iat epoch seconds */
export async function makeKey(kind: KeyKind, iat: number): Promise<NamedJwk> {
  if (kind === 'sealing') return sealingKey(iat);
  const { privateKey } = await generateKeyPair('ES256', { extractable: true });
  const jwk = await exportJWK(privateKey);
  return { ...jwk, alg: 'ES256', use: 'sig', kid: await calculateJwkThumbprint(jwk), iat };
}

const sealingKey = (iat: number): NamedJwk => ({
  kty: 'oct',
  k: randomBytes(32).toString('base64url'),
  alg: 'A256GCM',
  // Not a thumbprint: a hash of a secret does not belong into every sealed payload's header.
  kid: randomBytes(12).toString('base64url'),
  iat,
});

/** Returns the text of its file. */
export const keyText = (jwk: NamedJwk): string => `${JSON.stringify(jwk, undefined, 2)}\n`;

const writeKey = async (directory: string, jwk: NamedJwk): Promise<string> =>
  writeKeyFile(join(directory, `${jwk.kid}.json`), keyText(jwk));

/** Writes a file as a whole: a server that follows the directory never reads half of it. @returns the file */
export async function writeKeyFile(file: string, text: string): Promise<string> {
  const unfinished = `${file}.new`;
  const handle = await open(unfinished, 'w', 0o600);
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(unfinished, file);
  return file;
}

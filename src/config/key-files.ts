/** The format of key files: JWKs (RFC 7517) with `kid` and `iat`, one a file, as a Secret is mounted. */
import { createPrivateKey, createPublicKey, sign, verify } from 'node:crypto';
import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { JWK } from 'jose';
import { defined } from '../core/defined.ts';
import type { KeyKind } from '../core/credential/key-agreement.ts';
import { AppError } from '../core/errors.ts';
import { no, ok, type Result } from '../core/result.ts';
import { formatErrors, type ValidationError } from './validation-errors.ts';

export interface Key {
  readonly kid: string;
  /** Epoch seconds. */
  readonly issuedAt: number;
  readonly jwk: JWK;
}

interface KeyFile extends Key {
  readonly file: string;
}

export type { KeyKind } from '../core/credential/key-agreement.ts';

/** A mounted Secret keeps its versions in directories that begin with two dots. */
export const isKeyFileName = (name: string): boolean => name.endsWith('.json') && !name.startsWith('.');

/**
 * @returns at least one key, each with a unique `kid`
 * @throws AppError `internal` (`keys_unusable`) that names every file without a key of this kind, and quotes no
 *   file
 */
export async function readKeyFiles(directory: string, kind: KeyKind): Promise<readonly Key[]> {
  const errors: ValidationError[] = [];
  const files: KeyFile[] = [];
  for (const name of await keyFileNames(directory)) {
    const file = join(directory, name);
    const read = parseKey(await readFile(file, 'utf8').catch(() => ''), kind);
    const twin = read.ok ? files.find(({ kid }) => kid === read.value.kid) : undefined;
    if (!read.ok) errors.push({ path: file, expected: read.reason });
    else if (twin !== undefined) errors.push({ path: file, expected: `a kid of its own: ${twin.file} has this one` });
    else files.push({ ...read.value, file });
  }
  if (errors.length > 0) throw unusable(errors);
  return files;
}

async function keyFileNames(directory: string): Promise<readonly string[]> {
  const names = await readdir(directory).catch((cause: unknown) => {
    throw unusable([{ path: directory, expected: 'a directory of JWK files that can be read' }], cause);
  });
  const files = names.filter(isKeyFileName).toSorted();
  if (files.length > 0) return files;
  throw unusable([
    { path: directory, expected: 'at least one JWK file (*.json); make them by: portcullis keys generate' },
  ]);
}

export const unusable = (errors: readonly ValidationError[], cause?: unknown): AppError =>
  new AppError('internal', formatErrors(errors), { reason: 'keys_unusable', cause });

/** @returns the key, or what was expected; the reason never quotes the text */
export function parseKey(text: string, kind: KeyKind): Result<Key, string> {
  let jwk: unknown;
  try {
    jwk = JSON.parse(text);
  } catch {
    return no('a JWK in JSON that can be read');
  }
  if (!isJwk(jwk)) return no('a JWK with kty');
  const { kid, iat } = jwk;
  if (typeof kid !== 'string' || kid === '') return no('a JWK with kid');
  if (typeof iat !== 'number' || !Number.isSafeInteger(iat))
    return no('a JWK with iat, the epoch second at which it was made');
  const error = ERROR_OF[kind](jwk);
  return error === undefined ? ok({ kid, issuedAt: iat, jwk }) : no(error);
}

export const isJwk = (value: unknown): value is JWK & { readonly iat?: unknown } =>
  typeof value === 'object' && value !== null && 'kty' in value && typeof value.kty === 'string';

const ERROR_OF: Record<KeyKind, (jwk: JWK) => string | undefined> = {
  signing: signingKeyError,
  sealing: sealingKeyError,
  audit: (jwk) => {
    if (jwk.d !== undefined) return signingKeyError(jwk);
    return isPublicKey(jwk) ? undefined : 'an EC key on P-256 for ES256';
  },
};

function signingKeyError(jwk: JWK): string | undefined {
  const expected = 'an EC private key on P-256 for ES256';
  if (jwk.kty !== 'EC' || jwk.crv !== 'P-256' || (jwk.alg ?? 'ES256') !== 'ES256' || (jwk.use ?? 'sig') !== 'sig')
    return expected;
  try {
    const probe = Buffer.from('probe');
    const signature = sign('sha256', probe, createPrivateKey({ key: { ...jwk }, format: 'jwk' }));
    const matches = verify('sha256', probe, createPublicKey({ key: { ...publicPart(jwk) }, format: 'jwk' }), signature);
    return matches ? undefined : `${expected} whose public part is its own`;
  } catch {
    return expected;
  }
}

export function isPublicKey(jwk: JWK): boolean {
  try {
    createPublicKey({ key: { ...publicPart(jwk) }, format: 'jwk' });
    return true;
  } catch {
    return false;
  }
}

function sealingKeyError(jwk: JWK): string | undefined {
  const expected = 'a symmetric key (kty oct) of 256 bits';
  if (jwk.kty !== 'oct' || typeof jwk.k !== 'string') return expected;
  return /^[A-Za-z0-9_-]{43}$/.test(jwk.k) ? undefined : expected;
}

/** Returns only the members that are needed: a file may contain more than it should. */
export function publicPart({ kid, x, y }: JWK): JWK {
  return {
    kty: 'EC',
    crv: 'P-256',
    alg: 'ES256',
    use: 'sig',
    ...defined({ kid, x, y }),
  };
}

/**
 * Signing and sealing keys, and those of the record: JWK files (RFC 7517) with `kid` and `iat`, one key a file, as a Secret is mounted.
 *
 * A key verifies (or opens) at once and signs (or seals) ten minutes after its `iat`: replicas see a new Secret at different times,
 * and none may refuse what another has just signed. Where no key is old enough, the oldest signs.
 */
import { createPrivateKey, createPublicKey, sign, verify } from 'node:crypto';
import { readFile, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { base64url, type JWK } from 'jose';
import { AppError } from '../core/errors.ts';
import { no, ok, type Result } from '../core/result.ts';
import type { AuditKeys, SealingKeys, SigningKeys } from './config.ts';
import { formatFaults, type ConfigFault } from './faults.ts';

export type { AuditKeys, SealingKeys, SigningKeys } from './config.ts';
export { generateKeys } from './generate-keys.ts';

/** Seconds. Kubernetes brings a changed Secret to every node within two minutes by default; ten leave room. */
const SIGNS_AFTER_SECONDS = 600;

interface KeyFile {
  readonly file: string;
  readonly kid: string;
  /** Epoch seconds. */
  readonly issuedAt: number;
  readonly jwk: JWK;
}

/**
 * @param now epoch seconds
 * @returns EC P-256 private keys for ES256
 * @throws AppError `internal` that names every file that holds none, and quotes no file
 */
export async function loadSigningKeys(directory: string, now = epochSeconds()): Promise<SigningKeys> {
  const files = await readKeyFiles(directory, signingProblem);
  const current = chooseCurrent(files, now);
  const ordered = [current, ...files.filter((each) => each !== current)].map(privateJwk);
  return {
    current: { kid: current.kid, alg: 'ES256', privateJwk: privateJwk(current) },
    issuedAt: current.issuedAt,
    publicJwks: { keys: ordered.map(publicPart) },
    privateJwks: { keys: ordered },
  };
}

/**
 * @param now epoch seconds
 * @returns 256-bit symmetric keys
 * @throws AppError `internal` as `loadSigningKeys`
 */
export async function loadSealingKeys(directory: string, now = epochSeconds()): Promise<SealingKeys> {
  const files = await readKeyFiles(directory, sealingProblem);
  const keyOf = ({ jwk }: KeyFile): Uint8Array => base64url.decode(jwk.k ?? '');
  const current = chooseCurrent(files, now);
  return {
    current: { kid: current.kid, key: keyOf(current) },
    issuedAt: current.issuedAt,
    all: new Map(files.map((each) => [each.kid, keyOf(each)])),
  };
}

/**
 * @param now epoch seconds
 * @returns EC P-256; a file without its private part is a key that was retired, and only verifies
 * @throws AppError `internal` as `loadSigningKeys`
 */
export async function loadAuditKeys(directory: string, now = epochSeconds()): Promise<AuditKeys> {
  const files = (await readKeyFiles(directory, auditProblem)).filter(({ jwk }) => jwk.d !== undefined);
  if (files.length === 0) throw unusable([{ path: directory, expected: 'a private key: make one by: keys rotate' }]);
  const current = chooseCurrent(files, now);
  return { current: { kid: current.kid, privateJwk: privateJwk(current) }, issuedAt: current.issuedAt };
}

/**
 * @param place a directory as `keys.auditDir`, a JWK file, or a JWK Set (RFC 7517 §5); private parts are not looked at
 * @returns public keys by `kid`
 * @throws AppError `internal` as `loadSigningKeys`
 */
export async function loadAuditPublicKeys(place: string): Promise<ReadonlyMap<string, JWK>> {
  const isDirectory = await stat(place).then(
    (found) => found.isDirectory(),
    () => false,
  );
  const keys = isDirectory ? (await readKeyFiles(place, auditProblem)).map(publicJwk) : await readPublicFile(place);
  return new Map(keys.map((key) => [String(key.kid), key]));
}

/** What a verifier of the record needs, and may be given to anybody. */
export const auditJwkSet = async (directory: string): Promise<{ readonly keys: readonly JWK[] }> => ({
  keys: [...(await loadAuditPublicKeys(directory)).values()],
});

async function readPublicFile(file: string): Promise<readonly JWK[]> {
  const expected = 'a JWK or a JWK Set of EC public keys on P-256, each with kid';
  try {
    const parsed: unknown = JSON.parse(await readFile(file, 'utf8'));
    const keys = typeof parsed === 'object' && parsed !== null && 'keys' in parsed ? parsed.keys : [parsed];
    if (Array.isArray(keys) && keys.length > 0 && keys.every((key) => isJwk(key) && verifies(key) && key.kid)) {
      return keys.map((key: JWK) => publicPart(key));
    }
  } catch (cause) {
    throw unusable([{ path: file, expected }], cause);
  }
  throw unusable([{ path: file, expected }]);
}

const epochSeconds = (): number => Math.floor(Date.now() / 1000);

/** The newest that is old enough, else the oldest. `files` is not empty. */
function chooseCurrent(files: readonly KeyFile[], now: number): KeyFile {
  const byAge = files.toSorted((a, b) => b.issuedAt - a.issuedAt || (a.kid < b.kid ? -1 : 1));
  const chosen = byAge.find(({ issuedAt }) => issuedAt + SIGNS_AFTER_SECONDS <= now) ?? byAge.at(-1);
  if (chosen === undefined) throw new Error('no key to choose from');
  return chosen;
}

async function readKeyFiles(
  directory: string,
  problemOf: (jwk: JWK) => string | undefined,
): Promise<readonly KeyFile[]> {
  const faults: ConfigFault[] = [];
  const files: KeyFile[] = [];
  for (const name of await keyFileNames(directory)) {
    const file = join(directory, name);
    const read = await readKeyFile(file, problemOf);
    const twin = read.ok ? files.find(({ kid }) => kid === read.value.kid) : undefined;
    if (!read.ok) faults.push({ path: file, expected: read.reason });
    else if (twin !== undefined) faults.push({ path: file, expected: `a kid of its own: ${twin.file} has this one` });
    else files.push(read.value);
  }
  if (faults.length > 0) throw unusable(faults);
  return files;
}

async function keyFileNames(directory: string): Promise<readonly string[]> {
  const names = await readdir(directory).catch((cause: unknown) => {
    throw unusable([{ path: directory, expected: 'a directory of JWK files that can be read' }], cause);
  });
  // A mounted Secret keeps its versions in directories that begin with two dots.
  const files = names.filter((name) => name.endsWith('.json') && !name.startsWith('.')).toSorted();
  if (files.length > 0) return files;
  throw unusable([
    { path: directory, expected: 'at least one JWK file (*.json); make them by: portcullis keys generate' },
  ]);
}

const unusable = (faults: readonly ConfigFault[], cause?: unknown): AppError =>
  new AppError('internal', formatFaults(faults), { reason: 'keys_unusable', cause });

/** The reason never quotes the file. */
async function readKeyFile(
  file: string,
  problemOf: (jwk: JWK) => string | undefined,
): Promise<Result<KeyFile, string>> {
  let jwk: unknown;
  try {
    jwk = JSON.parse(await readFile(file, 'utf8'));
  } catch {
    return no('a JWK in JSON that can be read');
  }
  if (!isJwk(jwk)) return no('a JWK with kty');
  const { kid, iat } = jwk;
  if (typeof kid !== 'string' || kid === '') return no('a JWK with kid');
  if (typeof iat !== 'number' || !Number.isSafeInteger(iat))
    return no('a JWK with iat, the epoch second at which it was made');
  const problem = problemOf(jwk);
  return problem === undefined ? ok({ file, kid, issuedAt: iat, jwk }) : no(problem);
}

const isJwk = (value: unknown): value is JWK & { readonly iat?: unknown } =>
  typeof value === 'object' && value !== null && 'kty' in value && typeof value.kty === 'string';

function signingProblem(jwk: JWK): string | undefined {
  const wanted = 'an EC private key on P-256 for ES256';
  if (jwk.kty !== 'EC' || jwk.crv !== 'P-256' || (jwk.alg ?? 'ES256') !== 'ES256' || (jwk.use ?? 'sig') !== 'sig')
    return wanted;
  try {
    const probe = Buffer.from('probe');
    const signature = sign('sha256', probe, createPrivateKey({ key: { ...jwk }, format: 'jwk' }));
    const matches = verify('sha256', probe, createPublicKey({ key: { ...publicPart(jwk) }, format: 'jwk' }), signature);
    return matches ? undefined : `${wanted} whose public part is its own`;
  } catch {
    return wanted;
  }
}

const auditProblem = (jwk: JWK): string | undefined => {
  if (jwk.d !== undefined) return signingProblem(jwk);
  return verifies(jwk) ? undefined : 'an EC key on P-256 for ES256';
};

function verifies(jwk: JWK): boolean {
  try {
    createPublicKey({ key: { ...publicPart(jwk) }, format: 'jwk' });
    return true;
  } catch {
    return false;
  }
}

function sealingProblem(jwk: JWK): string | undefined {
  const wanted = 'a symmetric key (kty oct) of 256 bits';
  if (jwk.kty !== 'oct' || typeof jwk.k !== 'string') return wanted;
  return /^[A-Za-z0-9_-]{43}$/.test(jwk.k) ? undefined : wanted;
}

/** Only the members that are needed: a file may hold more than it should. */
const privateJwk = ({ kid, jwk }: KeyFile): JWK => ({
  ...publicPart({ ...jwk, kid }),
  ...(jwk.d === undefined ? {} : { d: jwk.d }),
});

const publicJwk = ({ kid, jwk }: KeyFile): JWK => publicPart({ ...jwk, kid });

function publicPart({ kid, x, y }: JWK): JWK {
  return {
    kty: 'EC',
    crv: 'P-256',
    alg: 'ES256',
    use: 'sig',
    ...(kid === undefined ? {} : { kid }),
    ...(x === undefined ? {} : { x }),
    ...(y === undefined ? {} : { y }),
  };
}

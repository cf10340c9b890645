/**
 * Signing and sealing keys, and those of the audit log, as they are at one moment (`followed-keys.ts` follows
 * them).
 *
 * A key verifies (or opens) immediately. It signs (or seals) ten minutes after its `iat`, and once every live replica
 * has been able to read it for as long (`KeyAgreement`): replicas see a new Secret at different times, and none may
 * reject what another has just signed. Where there is no such key, the oldest signs.
 */
import { readFile, stat } from 'node:fs/promises';
import { base64url, type JWK } from 'jose';
import type { KeyStanding } from '../core/credential/key-agreement.ts';
import type { AuditKeys, SealingKeys, SigningKeys } from './config.ts';
import { isJwk, isPublicKey, publicPart, readKeyFiles, unusable, type Key } from './key-files.ts';

export type { AuditKeys, SealingKeys, SigningKeys } from './config.ts';
export { generateKeys } from './generate-keys.ts';

/** Seconds. Kubernetes brings a changed Secret to every node within two minutes by default; ten minutes are enough. */
export const SIGNS_AFTER_SECONDS = 600;

/** The keys of one kind. */
export interface KeySet {
  /** In the directory; at least one. */
  readonly keys: readonly Key[];
  /** Removed a while ago: they verify and open, and never sign or seal. */
  readonly leaving: readonly Key[];
  /** One of `keys`: it signs or seals. */
  readonly current: Key;
}

const setOf = (keys: readonly Key[], now: number): KeySet => ({ keys, leaving: [], current: chooseCurrent(keys, now) });

/**
 * @param now epoch seconds
 * @returns EC P-256 private keys for ES256
 * @throws AppError `internal` that names every file that holds none, and quotes no file
 */
export const loadSigningKeys = async (directory: string, now = epochSeconds()): Promise<SigningKeys> =>
  signingKeysOf(setOf(await readKeyFiles(directory, 'signing'), now));

export function signingKeysOf({ keys, leaving, current }: KeySet): SigningKeys {
  const ordered = [current, ...keys.filter((each) => each !== current)];
  return {
    current: { kid: current.kid, alg: 'ES256', privateJwk: privateJwk(current) },
    issuedAt: current.issuedAt,
    publicJwks: { keys: [...ordered, ...leaving].map(publicJwk) },
    privateJwks: { keys: ordered.map(privateJwk) },
  };
}

/**
 * @param now epoch seconds
 * @returns 256-bit symmetric keys
 * @throws AppError `internal` as `loadSigningKeys`
 */
export const loadSealingKeys = async (directory: string, now = epochSeconds()): Promise<SealingKeys> =>
  sealingKeysOf(setOf(await readKeyFiles(directory, 'sealing'), now));

export function sealingKeysOf({ keys, leaving, current }: KeySet): SealingKeys {
  const keyOf = ({ jwk }: Key): Uint8Array => base64url.decode(jwk.k ?? '');
  return {
    current: { kid: current.kid, key: keyOf(current) },
    issuedAt: current.issuedAt,
    all: new Map([...leaving, ...keys].map((each) => [each.kid, keyOf(each)])),
  };
}

/**
 * @param now epoch seconds
 * @returns EC P-256; a file without its private part is a key that was retired, and only verifies
 * @throws AppError `internal` as `loadSigningKeys`
 */
export const loadAuditKeys = async (directory: string, now = epochSeconds()): Promise<AuditKeys> =>
  auditKeysOf(setOf(await readAuditKeys(directory), now));

/** Reads the keys that can sign. @throws AppError `internal` as `loadSigningKeys` */
export async function readAuditKeys(directory: string): Promise<readonly Key[]> {
  const keys = (await readKeyFiles(directory, 'audit')).filter(({ jwk }) => jwk.d !== undefined);
  if (keys.length === 0) throw unusable([{ path: directory, expected: 'a private key: make one by: keys rotate' }]);
  return keys;
}

export function auditKeysOf({ current }: KeySet): AuditKeys {
  return { current: { kid: current.kid, privateJwk: privateJwk(current) }, issuedAt: current.issuedAt };
}

/**
 * @param path a directory as `keys.auditDir`, a JWK file, or a JWK Set (RFC 7517 §5); private parts are ignored
 * @returns public keys by `kid`
 * @throws AppError `internal` as `loadSigningKeys`
 */
export async function loadAuditPublicKeys(path: string): Promise<ReadonlyMap<string, JWK>> {
  const isDirectory = await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
  const keys = isDirectory ? (await readKeyFiles(path, 'audit')).map(publicJwk) : await readPublicFile(path);
  return new Map(keys.map((key) => [String(key.kid), key]));
}

/** Returns the keys that a verifier of the audit log needs; they are public. */
export const auditJwkSet = async (directory: string): Promise<{ readonly keys: readonly JWK[] }> => ({
  keys: [...(await loadAuditPublicKeys(directory)).values()],
});

async function readPublicFile(file: string): Promise<readonly JWK[]> {
  const expected = 'a JWK or a JWK Set of EC public keys on P-256, each with kid';
  try {
    const parsed: unknown = JSON.parse(await readFile(file, 'utf8'));
    const keys = typeof parsed === 'object' && parsed !== null && 'keys' in parsed ? parsed.keys : [parsed];
    if (Array.isArray(keys) && keys.length > 0 && keys.every((key) => isJwk(key) && isPublicKey(key) && key.kid)) {
      return keys.map((key: JWK) => publicPart(key));
    }
  } catch (cause) {
    throw unusable([{ path: file, expected }], cause);
  }
  throw unusable([{ path: file, expected }]);
}

const epochSeconds = (): number => Math.floor(Date.now() / 1000);

/** What decides about a key beside its age: nothing, in a command that is no replica. */
type StandingOf<K> = (key: K) => KeyStanding & { readonly inUse: boolean };

const BY_AGE = (): ReturnType<StandingOf<unknown>> => ({ lackedBy: [], used: false, agreed: true, inUse: false });

/**
 * Returns the key that signs or seals now. `keys` is not empty.
 *
 * It is the newest that is old enough and agreed upon, or that another replica uses already, so that all of them
 * change at almost the same moment. Where there is none, because the others were removed, it is the oldest that each
 * live replica has. The choice never goes back to an older key: what the newer one has signed and sealed is there.
 * @param now epoch seconds
 */
export function chooseCurrent<K extends Pick<Key, 'kid' | 'issuedAt'>>(
  keys: readonly K[],
  now: number,
  standingOf: StandingOf<K> = BY_AGE,
): K {
  const newestFirst = keys.toSorted((a, b) => b.issuedAt - a.issuedAt || (a.kid < b.kid ? -1 : 1));
  const isEverywhere = (key: K): boolean => standingOf(key).lackedBy.length === 0;
  const isReady = (key: K): boolean => {
    const standing = standingOf(key);
    const isOldEnough = key.issuedAt + SIGNS_AFTER_SECONDS <= now;
    return standing.inUse || standing.used || (standing.agreed && isOldEnough);
  };
  const chosen = newestFirst.find(isReady) ?? newestFirst.findLast(isEverywhere) ?? newestFirst.at(-1);
  if (chosen === undefined) throw new Error('no key to choose from');
  return chosen;
}

/** Returns only the members that are needed: a file may contain more than it should. */
const privateJwk = ({ kid, jwk }: Key): JWK => ({
  ...publicPart({ ...jwk, kid }),
  ...(jwk.d === undefined ? {} : { d: jwk.d }),
});

const publicJwk = ({ kid, jwk }: Key): JWK => publicPart({ ...jwk, kid });

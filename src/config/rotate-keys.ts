/**
 * Adds a key to the old ones: it verifies immediately and signs ten minutes later. Keys that are no longer needed
 * are removed.
 */
import { mkdir, readFile, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { keyText, makeKey, writeKeyFile, type NamedJwk } from './generate-keys.ts';
import { isKeyFileName, parseKey, unusable, type Key, type KeyKind } from './key-files.ts';
import { chooseCurrent, SIGNS_AFTER_SECONDS } from './keys.ts';

export interface RotationTimes {
  /** Epoch seconds; the `iat` of the keys. */
  readonly now: number;
  /** Seconds after which a key that no longer signs or seals is removed. Absent: none is. */
  readonly retireAfter?: number;
}

/** The new state of one kind of key, where each file contains one key. */
export interface KeyRotation {
  /** Text by name. */
  readonly files: ReadonlyMap<string, string>;
  readonly made: readonly string[];
  /** They verify and no longer sign. */
  readonly retired: readonly string[];
  readonly removed: readonly string[];
}

interface NamedKey extends Key {
  readonly name: string;
}

/**
 * Adds one key. Keys of the audit log that were replaced before lose their private part: what they signed can be
 * verified for ever, and no attacker can sign as of then any more. Keys that sign tokens or seal are removed once
 * another one has done so for `retireAfter`.
 * @param files text by name, as they are now
 * @throws AppError `internal` (`keys_unusable`) where one of them is no key of this kind: nothing is added to
 *   unusable keys
 */
export async function rotate(
  kind: KeyKind,
  files: ReadonlyMap<string, string>,
  { now, retireAfter }: RotationTimes,
): Promise<KeyRotation> {
  const keys = readKeys(kind, files);
  const fresh = await makeKey(kind, now);
  const name = `${fresh.kid}.json`;
  const result = new Map(files).set(name, keyText(fresh));
  const retired = kind === 'audit' ? replacedKeys(keys, now).filter(({ jwk }) => jwk.d !== undefined) : [];
  for (const key of retired) result.set(key.name, keyText(withoutPrivatePart(key)));
  const removed = kind === 'audit' || retireAfter === undefined ? [] : idleKeys(keys, now - retireAfter);
  for (const key of removed) result.delete(key.name);
  const names = (some: readonly NamedKey[]): readonly string[] => some.map((key) => key.name);
  return { files: result, made: [name], retired: names(retired), removed: names(removed) };
}

function readKeys(kind: KeyKind, files: ReadonlyMap<string, string>): readonly NamedKey[] {
  return [...files].map(([name, text]) => {
    const key = parseKey(text, kind);
    if (!key.ok) throw unusable([{ path: name, expected: key.reason }]);
    return { ...key.value, name };
  });
}

/** Returns the keys that are older than the one that signs now. */
function replacedKeys(keys: readonly NamedKey[], now: number): readonly NamedKey[] {
  const signing = keys.filter(({ jwk }) => jwk.d !== undefined);
  if (signing.length === 0) return [];
  const { issuedAt } = chooseCurrent(signing, now);
  return keys.filter((key) => key.issuedAt < issuedAt);
}

/** Returns the keys that another one had replaced at that time already. */
function idleKeys(keys: readonly NamedKey[], thenSeconds: number): readonly NamedKey[] {
  const began = keys.map(({ issuedAt }) => issuedAt).filter((at) => at + SIGNS_AFTER_SECONDS <= thenSeconds);
  return keys.filter(({ issuedAt }) => issuedAt < Math.max(...began, Number.NEGATIVE_INFINITY));
}

function withoutPrivatePart({ kid, issuedAt, jwk }: NamedKey): NamedJwk {
  const { d: _secret, ...rest } = jwk;
  return { ...rest, kid, iat: issuedAt };
}

export interface RotateKeysOptions extends Partial<RotationTimes> {
  readonly signingDir: string;
  readonly sealingDir: string;
  readonly auditDir: string;
}

/**
 * Rotates every kind in its directory, which is created where there is none.
 * @returns the files that were made, retired and removed
 * @throws AppError `internal` where a directory of keys cannot be read: then nothing has changed in it
 */
export async function rotateKeys(options: RotateKeysOptions): Promise<Omit<KeyRotation, 'files'>> {
  const { signingDir, sealingDir, auditDir, retireAfter, now = Math.floor(Date.now() / 1000) } = options;
  const times = { now, ...(retireAfter === undefined ? {} : { retireAfter }) };
  const rotated = [
    await rotateDirectory('signing', signingDir, times),
    await rotateDirectory('sealing', sealingDir, times),
    await rotateDirectory('audit', auditDir, times),
  ];
  return {
    made: rotated.flatMap(({ made }) => made),
    retired: rotated.flatMap(({ retired }) => retired),
    removed: rotated.flatMap(({ removed }) => removed),
  };
}

async function rotateDirectory(
  kind: KeyKind,
  directory: string,
  times: RotationTimes,
): Promise<Omit<KeyRotation, 'files'>> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const names = (await readdir(directory)).filter(isKeyFileName);
  const texts = names.map(async (name) => [name, await readFile(join(directory, name), 'utf8')] as const);
  const { files, made, retired, removed } = await rotate(kind, new Map(await Promise.all(texts)), times);
  const at = (name: string): string => join(directory, name);
  for (const name of [...made, ...retired]) await writeKeyFile(at(name), files.get(name) ?? '');
  for (const name of removed) await rm(at(name));
  return { made: made.map(at), retired: retired.map(at), removed: removed.map(at) };
}

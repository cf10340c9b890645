/** A new key beside the old ones: at once to verify with, ten minutes later to sign with. */
import { mkdir, readFile, readdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeSealingKey, writeSigningKey } from './generate-keys.ts';
import { loadAuditKeys } from './keys.ts';

export interface RotateKeysOptions {
  readonly signingDir: string;
  readonly sealingDir: string;
  readonly auditDir: string;
  /** Epoch seconds; stands in the keys as `iat`. */
  readonly now?: number;
}

/**
 * Makes one key of each kind. Of the record's keys, those that were replaced before lose their private part: what they signed can be verified
 * for ever, and nobody can sign as of then any more. Keys that sign or seal are left: how long they are needed depends on what is in use.
 * @returns the files that were made, and those that were retired
 * @throws AppError `internal` where a directory of keys cannot be read
 */
export async function rotateKeys(
  options: RotateKeysOptions,
): Promise<{ readonly made: readonly string[]; readonly retired: readonly string[] }> {
  const { signingDir, sealingDir, auditDir, now = Math.floor(Date.now() / 1000) } = options;
  for (const directory of [signingDir, sealingDir, auditDir]) await mkdir(directory, { recursive: true, mode: 0o700 });
  const retired = await retireAuditKeys(auditDir, now);
  const made = [
    await writeSigningKey(signingDir, now),
    await writeSealingKey(sealingDir, now),
    await writeSigningKey(auditDir, now),
  ];
  return { made, retired };
}

/** Older than the one that signs now. */
async function retireAuditKeys(directory: string, now: number): Promise<readonly string[]> {
  const files = (await readdir(directory)).filter((name) => name.endsWith('.json') && !name.startsWith('.'));
  if (files.length === 0) return [];
  const { issuedAt } = await loadAuditKeys(directory, now);
  const retired: string[] = [];
  for (const file of files.map((name) => join(directory, name))) {
    const { d, ...rest } = JSON.parse(await readFile(file, 'utf8')) as { d?: string; iat: number };
    if (d === undefined || rest.iat >= issuedAt) continue;
    await writeFile(`${file}.new`, `${JSON.stringify(rest, undefined, 2)}\n`, { mode: 0o600 });
    await rename(`${file}.new`, file);
    retired.push(file);
  }
  return retired;
}

import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { loadSealingKeys, loadSigningKeys } from '../../../src/config/keys.ts';
import { rotate, rotateKeys, type KeyRotation } from '../../../src/config/rotate-keys.ts';
import { temporaryDirectory } from './sandbox.ts';

const NOW = 1_800_000_000;
const HOUR = 3600;

describe.each(['signing', 'sealing'] as const)('keys for %s', (kind) => {
  /** One key after the other, at these seconds after NOW. */
  async function rotations(...times: readonly number[]): Promise<readonly KeyRotation[]> {
    let files: ReadonlyMap<string, string> = new Map();
    const done: KeyRotation[] = [];
    for (const at of times) {
      const rotation = await rotate(kind, files, { now: NOW + at, retireAfter: HOUR });
      done.push(rotation);
      files = rotation.files;
    }
    return done;
  }

  test('go once another one has been in their place for long enough', async () => {
    const [first, second, early, late] = await rotations(0, 10 * HOUR, 10 * HOUR + 600 + HOUR - 1, 11 * HOUR + 600);
    expect(second?.removed).toEqual([]);
    expect(early?.removed).toEqual([]);
    expect(late?.removed).toEqual(first?.made);
    expect(late?.files.size).toBe(3);
  });

  test('stay however old, where no other has signed for long enough', async () => {
    const [, , last] = await rotations(0, 99_999 * HOUR, 99_999 * HOUR + 60);
    expect(last?.removed).toEqual([]);
  });

  test('stay where no retirement is set', async () => {
    const [first] = await rotations(0);
    const next = await rotate(kind, first?.files ?? new Map(), { now: NOW + 1000 * HOUR });
    const last = await rotate(kind, next.files, { now: NOW + 2000 * HOUR });
    expect(last.files.size).toBe(3);
  });

  test('a file that is no key stops it', async () => {
    const files = new Map([['a.json', 'canary']]);
    await expect(rotate(kind, files, { now: NOW })).rejects.toMatchObject({ reason: 'keys_unusable' });
    await expect(rotate(kind, files, { now: NOW })).rejects.not.toThrow('canary');
  });
});

test('the audit log’s keys are never removed, however long ago they were replaced', async () => {
  let files: ReadonlyMap<string, string> = new Map();
  for (const at of [0, 100, 200, 300]) {
    const rotation = await rotate('audit', files, { now: NOW + at * HOUR, retireAfter: HOUR });
    expect(rotation.removed).toEqual([]);
    ({ files } = rotation);
  }
  const texts = [...files.values()];
  expect(texts).toHaveLength(4);
  expect(texts.filter((text) => text.includes('"d"'))).toHaveLength(2);
});

test('directories hold after it what can be used at once, and nothing unfinished', async () => {
  const base = temporaryDirectory();
  const at = (name: string): string => join(base, name);
  const where = { signingDir: at('signing'), sealingDir: at('sealing'), auditDir: at('audit'), retireAfter: HOUR };
  await rotateKeys({ ...where, now: NOW });
  await rotateKeys({ ...where, now: NOW + HOUR });
  const { removed } = await rotateKeys({ ...where, now: NOW + 3 * HOUR });
  expect(removed).toHaveLength(2);
  for (const directory of [where.signingDir, where.sealingDir]) {
    const names = readdirSync(directory);
    expect(names).toHaveLength(2);
    for (const name of names) expect(statSync(join(directory, name)).mode & 0o777).toBe(0o600);
  }
  expect((await loadSigningKeys(where.signingDir, NOW + 3 * HOUR)).issuedAt).toBe(NOW + HOUR);
  expect((await loadSealingKeys(where.sealingDir, NOW + 3 * HOUR)).issuedAt).toBe(NOW + HOUR);
});

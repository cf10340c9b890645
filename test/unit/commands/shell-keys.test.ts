import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it, onTestFinished, vi } from 'vitest';
import { shellKeys } from '../../../src/commands/shell-keys.ts';
import { makeKey } from '../../../src/config/generate-keys.ts';
import { keyId } from '../../../src/core/credential/key-agreement.ts';

afterEach(() => void vi.useRealTimers());

/** Three keys, the newest of which has reached this folder alone. */
async function folder(): Promise<{ readonly path: string; readonly kids: readonly string[] }> {
  const path = await mkdtemp(join(tmpdir(), 'portcullis-keys-'));
  onTestFinished(() => rm(path, { recursive: true }));
  const kids: string[] = [];
  for (const hours of [3, 2, 1]) {
    const key = await makeKey('sealing', Math.floor(Date.now() / 1000) - hours * 3600);
    await writeFile(join(path, `${key.kid}.json`), JSON.stringify(key), { mode: 0o600 });
    kids.push(key.kid);
  }
  return { path, kids };
}

it('seals with the key that replicas use, and with the oldest while a store that hangs does not tell which', async () => {
  const { path, kids } = await folder();
  const keys = await shellKeys(path);
  onTestFinished(() => keys.stop());
  const current = (): string | undefined => keys.sealing.current.kid;
  vi.useFakeTimers({ toFake: ['setTimeout'] });
  const known = keys.known();
  await vi.advanceTimersByTimeAsync(3_000);
  await known;
  expect(current()).toBe(kids[0]);
  const has = kids.slice(0, 2).map((kid) => keyId('sealing', kid));
  keys.ofReplicas.seen([{ name: 'one', keys: { has, uses: has.slice(1) } }], performance.now());
  expect(current()).toBe(kids[1]);
});

it('seals with the newest that is old enough where no replica lives', async () => {
  const { path, kids } = await folder();
  const keys = await shellKeys(path);
  onTestFinished(() => keys.stop());
  keys.ofReplicas.seen([], performance.now());
  await keys.known();
  expect(keys.sealing.current.kid).toBe(kids[2]);
});

import { randomBytes } from 'node:crypto';
import { appendFile, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { expect, it, vi } from 'vitest';
import { gzipFile } from '../../../../src/audit/sinks/gzip.ts';
import { aFolder } from '../fixtures.ts';

/** The machine may be busy with other things. */
vi.setConfig({ testTimeout: 30_000 });

it('puts the compressed file in the place of the plain one', async () => {
  const folder = await aFolder();
  const content = randomBytes(3_000_000);
  await writeFile(join(folder, 'a'), content);
  await gzipFile(join(folder, 'a'));
  expect(await readdir(folder)).toEqual(['a.gz']);
  expect(gunzipSync(await readFile(join(folder, 'a.gz')))).toEqual(content);
});

it('leaves a file that someone still writes to as it is', async () => {
  const folder = await aFolder();
  const path = join(folder, 'a');
  await writeFile(path, randomBytes(16_000_000));
  const outcome = gzipFile(path).catch(String);
  await vi.waitFor(async () => expect(await readdir(folder)).toContain('a.gz.tmp'), { interval: 1, timeout: 15_000 });
  await appendFile(path, 'one line more\n');
  expect(await outcome).toContain('still written to');
  expect(await readdir(folder)).toEqual(['a']);
  expect((await readFile(path)).subarray(-14).toString()).toBe('one line more\n');
});

it('leaves everything as it was when it is ended early', async () => {
  const folder = await aFolder();
  const path = join(folder, 'a');
  await writeFile(path, randomBytes(16_000_000));
  const ending = new AbortController();
  const outcome = gzipFile(path, ending.signal).catch(String);
  await vi.waitFor(async () => expect(await readdir(folder)).toContain('a.gz.tmp'), { interval: 1, timeout: 15_000 });
  ending.abort();
  expect(await outcome).toContain('aborted');
  expect(await readdir(folder)).toEqual(['a']);
});

it('follows no link', async () => {
  const folder = await aFolder();
  await writeFile(join(folder, 'victim'), 'untouched');
  await symlink(join(folder, 'victim'), join(folder, 'a'));
  await expect(gzipFile(join(folder, 'a'))).rejects.toThrow('ELOOP');
  expect((await readdir(folder)).toSorted()).toEqual(['a', 'victim']);
});

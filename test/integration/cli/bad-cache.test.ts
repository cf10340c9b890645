/** A cache that is not as this program leaves it is rejected with a message or ignored, whatever program changed it. */
import { chmodSync, chownSync, cpSync, readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { stage } from './setup.ts';

const at = stage();

const entryDir = (): string => {
  const name = readdirSync(at.machine.cacheDir).find((file) => /^[0-9a-f]{32}$/.test(file));
  return join(at.machine.cacheDir, name ?? 'none');
};

/** The shell front has its own files next to the session, which are checked as well. */
const everyFile = (): string[] =>
  readdirSync(entryDir(), { withFileTypes: true })
    .filter((found) => found.isFile())
    .map(({ name }) => join(entryDir(), name));

describe('a cache that other users may have read or written is rejected, exit 2', () => {
  test.each<{ name: string; spoil: () => void; says: RegExp }>([
    {
      name: 'readable by every user',
      spoil: () => everyFile().forEach((file) => chmodSync(file, 0o644)),
      says: /is open to other users \(mode 644\)[^]*Next: chmod 600 /,
    },
    {
      name: 'in a folder that every user may enter',
      spoil: () => chmodSync(entryDir(), 0o755),
      says: /is open to other users \(mode 755\)[^]*Next: chmod 700 /,
    },
    {
      name: 'in a cache folder that every user may write to',
      spoil: () => chmodSync(at.machine.cacheDir, 0o777),
      says: /is open to other users \(mode 777\)/,
    },
    {
      name: 'a link to a file of the same user',
      spoil: () => {
        for (const file of everyFile()) {
          renameSync(file, `${file}.moved`);
          symlinkSync(`${file}.moved`, file);
        }
      },
      says: /is a symbolic link[^]*Next: remove it/,
    },
    {
      name: 'in a folder that is a link',
      spoil: () => {
        const [dir, elsewhere] = [entryDir(), join(at.machine.home, 'elsewhere')];
        cpSync(dir, elsewhere, { recursive: true });
        chmodSync(elsewhere, 0o700);
        rmSync(dir, { recursive: true });
        symlinkSync(elsewhere, dir);
      },
      says: /is not a folder \(a link is not followed\)/,
    },
  ])('$name', async ({ spoil, says }) => {
    await at.login();
    spoil();
    const ended = await at.getToken();
    expect(ended).toMatchObject({ code: 2, stdout: '' });
    expect(ended.stderr).toMatch(says);
    expect(at.fakeServer.counts).toMatchObject({ authorizations: 1, refreshes: 0 });
  });

  test.skipIf(process.getuid?.() !== 0)('of another user', async () => {
    await at.login();
    for (const file of everyFile()) chownSync(file, 65_534, 65_534);
    const ended = await at.getToken();
    expect(ended).toMatchObject({ code: 2, stdout: '' });
    expect(ended.stderr).toMatch(/belongs to another user[^]*Next: remove it/);
  });
});

describe('a cache with other content is ignored, and the user signs in again', () => {
  test.each<{ name: string; text: (good: string) => string }>([
    { name: 'cut in the middle', text: (good) => good.slice(0, good.length / 2) },
    { name: 'empty', text: () => '' },
    { name: 'of bytes', text: () => '\u0000\u0001\u0002' },
    { name: 'of another program', text: () => '{"version":1}' },
    { name: 'of another server', text: (good) => good.replaceAll(at.fakeServer.web, 'https://evil.example.com') },
  ])('$name', async ({ text }) => {
    await at.login();
    const good = JSON.stringify({ version: 1, ...at.machine.session });
    for (const file of everyFile()) if (!file.endsWith('server.json')) rmSync(file);
    writeFileSync(join(entryDir(), 'session.json'), text(good), { mode: 0o600 });
    expect(await at.getToken()).toMatchObject({ code: 0 });
    expect(at.fakeServer.counts).toMatchObject({ authorizations: 2, refreshes: 0 });
  });
});

test('a cache that cannot be created is reported, and no browser is opened', async () => {
  writeFileSync(join(at.machine.home, 'file'), '');
  at.machine.env = { PORTCULLIS_CACHE_DIR: join(at.machine.home, 'file', 'cache') };
  const ended = await at.getToken();
  expect(ended).toMatchObject({ code: 1, stdout: '' });
  expect(ended.stderr).toMatch(/cannot be written: a folder in the path is a file \(ENOTDIR\)\.\n {2}Next: /);
  expect(at.fakeServer.counts.authorizations).toBe(0);
});

test('one session serves every cluster of a server, and another server has its own', async () => {
  await at.login();
  expect((await at.getToken('prod')).code).toBe(0);
  expect((await at.getToken('staging')).code).toBe(0);
  expect(at.fakeServer.sessions).toHaveLength(1);
  expect(at.fakeServer.counts.authorizations).toBe(1);
  expect(readdirSync(at.machine.cacheDir).filter((name) => /^[0-9a-f]{32}$/.test(name))).toHaveLength(1);
});

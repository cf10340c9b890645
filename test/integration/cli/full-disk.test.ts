/** A full disk is reported with a message, breaks nothing, and leaves valid credentials in use. The tests mount a small file system. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { dropReadyFiles } from '../../../src/cli/plugin/ready-file.ts';
import { stage } from './setup.ts';

const at = stage();

/** Only root may mount; for other users the unit tests of private-files.ts limit the size of files instead. */
const mayMount = process.getuid?.() === 0 && process.platform === 'linux';

describe.skipIf(!mayMount)('a full disk', () => {
  let mount: string;
  beforeEach(() => {
    mount = join(at.machine.home, 'small');
    mkdirSync(mount);
    // Space for some files; each takes a page, each folder an inode.
    execFileSync('/bin/mount', ['-t', 'tmpfs', '-o', 'size=256k,nr_inodes=200', 'portcullis-test', mount]);
    at.machine.env = { PORTCULLIS_CACHE_DIR: join(mount, 'cache') };
  });
  afterEach(() => execFileSync('/bin/umount', [mount]));

  /** Uses every page that is left, and every inode as well if `inodes` says so. */
  function fill(inodes: boolean): void {
    untilFull(() => writeFileSync(join(mount, 'pages'), 'x'.repeat(1024 * 1024)));
    if (inodes) untilFull((index) => writeFileSync(join(mount, `inode-${index}`), ''));
  }

  function untilFull(write: (index: number) => void): void {
    for (let index = 0; ; index += 1) {
      try {
        write(index);
      } catch {
        return;
      }
    }
  }

  function empty(): void {
    for (const name of readdirSync(mount)) if (name !== 'cache') rmSync(join(mount, name));
  }

  function entryDir(): string {
    const cache = join(mount, 'cache');
    return join(cache, readdirSync(cache).find((name) => /^[0-9a-f]{32}$/.test(name)) ?? 'none');
  }
  const sessionText = (): string => readFileSync(join(entryDir(), 'session.json'), 'utf8');
  /** These files are deleted before a session is written, which would leave space for it. */
  const dropReady = (): void => dropReadyFiles({ dir: entryDir() });

  test('that is read-only, as a folder that is mounted into a container: each command gets a token of its own', async () => {
    await at.login();
    rmSync(join(entryDir(), 'served'), { recursive: true });
    execFileSync('/bin/mount', ['-o', 'remount,ro', mount]);
    const ended = await at.getToken('staging');
    expect(ended.code, ended.stderr).toBe(0);
    expect(JSON.parse(ended.stdout)).toMatchObject({ kind: 'ExecCredential' });
    expect(ended.stderr).toContain('read-only');
  });

  test.each([
    { name: 'no page', inodes: false },
    { name: 'no inode', inodes: true },
  ])('with $name left, a valid token from the cache is used without any message', async ({ inodes }) => {
    await at.login();
    fill(inodes);
    const ended = await at.getToken();
    expect(ended).toMatchObject({ code: 0, stderr: '' });
    expect(at.fakeServer.counts.refreshes).toBe(0);
  });

  test.each([
    { name: 'no page', inodes: false },
    { name: 'no inode', inodes: true },
  ])(
    'with $name left, a new token is used by its command, the cache stays whole, and a message reports the full disk',
    async (row) => {
      at.fakeServer.expiresIn = 1;
      await at.login();
      at.fakeServer.expiresIn = 300;
      const before = sessionText();
      await expect.poll(() => Date.now() > lastEnd(before), { timeout: 10_000 }).toBe(true);
      dropReady();
      fill(row.inodes);
      const ended = await at.getToken();
      expect(ended.code, ended.stderr).toBe(0);
      expect(JSON.parse(ended.stdout)).toMatchObject({ kind: 'ExecCredential' });
      expect(ended.stderr).toMatch(/cannot be written: the disk is full \(ENOSPC\)\.\n {2}Next: free some space/);
      expect(ended.stderr).toContain('Continuing: the new token is for this command only.');
      expect(sessionText()).toBe(before);
      empty();
      expect(await at.getToken()).toMatchObject({ code: 0, stderr: '' });
      expect(await at.getToken()).toMatchObject({ code: 0, stderr: '' });
      expect(at.fakeServer.counts.refreshes).toBe(2);
      expect(at.fakeServer.counts.authorizations).toBe(1);
    },
  );

  test('with no page left, whoami shows the user as the server has them, not as the file does', async () => {
    await at.login();
    dropReady();
    fill(false);
    at.fakeServer.clusters = ['prod', 'new-one'];
    const ended = await at.machine.run('whoami');
    expect(ended.stdout).toContain('new-one');
  });

  test('no user is sent to a browser when there is no space to keep the session', async () => {
    fill(false);
    const ended = await at.getToken();
    expect(ended).toMatchObject({ code: 1, stdout: '' });
    expect(ended.stderr).toContain('the disk is full (ENOSPC)');
    expect(ended.stderr).toContain('PORTCULLIS_CACHE_DIR');
    expect(at.fakeServer.counts.authorizations).toBe(0);
    empty();
    expect((await at.getToken()).code).toBe(0);
  });
});

const lastEnd = (session: string): number => {
  const { tokens } = JSON.parse(session) as { tokens: Record<string, { expiresAt: number }> };
  return Math.max(...Object.values(tokens).map(({ expiresAt }) => expiresAt));
};

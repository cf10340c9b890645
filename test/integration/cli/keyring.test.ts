/** Sessions in the keyring, with a real Secret Service: gnome-keyring behind a D-Bus session of its own. */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { dirname, join, relative } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { SecretService } from '../../support/secret-service.ts';
import { stage } from './setup.ts';

const at = stage();
const desktop = new SecretService();

beforeAll(() => desktop.start());
afterAll(() => desktop.stop());
beforeEach(() => {
  at.machine.env = { DBUS_SESSION_BUS_ADDRESS: desktop.address };
});

const server = (): readonly string[] => ['--server', at.fakeServer.web];

/** Signs in as a user does, with this machine's bus. */
async function login(...more: readonly string[]): Promise<string> {
  const ended = await at.machine.run('login', ...server(), ...more);
  expect(ended).toMatchObject({ code: 0 });
  return ended.stderr;
}

/** What an attacker finds who can read every file of the user. */
const filesOfUser = (): string =>
  [at.machine.home, desktop.home]
    .flatMap((home) => readdirSync(home, { recursive: true, withFileTypes: true }))
    .filter((found) => found.isFile())
    .map((found) => readFileSync(join(found.parentPath, found.name), 'latin1'))
    .join('\n');

const refreshToken = (): string => at.fakeServer.sessions.at(-1)?.refreshToken ?? 'no session';

const sessionFile = (): string => at.machine.cachedFiles.find((file) => file.endsWith('session.json')) ?? 'none';

interface KeptFile {
  readonly path: string;
  readonly content: Buffer;
}

const keptFiles = (): readonly KeptFile[] =>
  at.machine.cachedFiles.map((path) => ({ path, content: readFileSync(path) }));

/** An attacker who kept the files finds nothing in the keyring. */
async function expectNoEntry(files: readonly KeptFile[]): Promise<void> {
  for (const { path, content } of files) {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    writeFileSync(path, content, { mode: 0o600 });
  }
  at.machine.age(400);
  const ended = await at.getToken('prod', '--no-browser');
  expect(ended).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining('has no credential') });
}

/** A keyring that accepts connections and says nothing. */
async function silentBus(): Promise<{ readonly address: string; readonly sockets: readonly Socket[]; close(): void }> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => sockets.push(socket.on('error', () => undefined)));
  const path = join(at.machine.home, 'bus');
  await new Promise<void>((listening) => void server.listen(path, listening));
  const close = (): void => {
    for (const socket of sockets) socket.destroy();
    server.close();
  };
  return { address: `unix:path=${path}`, sockets, close };
}

const whoami = async (): Promise<unknown> =>
  (JSON.parse((await at.machine.run('whoami', '-o', 'json')).stdout) as { session: unknown }).session;

describe('a session in the keyring', () => {
  test('is renewed and revoked with a refresh token that no file has, and leaves no entry', async () => {
    expect(await login()).not.toContain('kept in a file');
    expect(filesOfUser()).not.toContain(refreshToken());
    expect(await at.getToken()).toMatchObject({ code: 0, stderr: '' });
    at.machine.age(400);
    expect(await at.getToken()).toMatchObject({ code: 0, stderr: '' });
    expect(at.fakeServer.counts).toMatchObject({ authorizations: 1, refreshes: 1 });
    expect(await whoami()).toMatchObject({ credentialStore: 'keyring' });
    expect(filesOfUser()).not.toContain(refreshToken());
    const files = keptFiles();
    expect(await at.machine.run('logout')).toMatchObject({ code: 0 });
    expect(at.fakeServer.counts.revocations).toBe(1);
    await expectNoEntry(files);
  });

  test.each([
    ['whose files the user has deleted', () => Promise.resolve(rmSync(at.machine.cacheDir, { recursive: true }))],
    [
      'that another one in a file has replaced, because the keyring was unavailable',
      async () => {
        at.machine.env = {};
        await login();
        at.machine.env = { DBUS_SESSION_BUS_ADDRESS: desktop.address };
      },
    ],
  ])('%s, leaves no entry after logout', async (_name, happens) => {
    await login();
    const files = keptFiles();
    await happens();
    expect(await at.machine.run('logout', ...server())).toMatchObject({ code: 0 });
    await expectNoEntry(files);
  });

  test('is the same for a relative and an absolute PORTCULLIS_CACHE_DIR of one folder', async () => {
    at.machine.env['PORTCULLIS_CACHE_DIR'] = relative(process.cwd(), at.machine.cacheDir);
    await login();
    at.machine.env['PORTCULLIS_CACHE_DIR'] = at.machine.cacheDir;
    at.machine.age(400);
    expect(await at.getToken()).toMatchObject({ code: 0, stderr: '' });
  });

  test('moves to a file and back, without a sign-in', async () => {
    await login('--credential-store', 'file');
    expect(filesOfUser()).toContain(refreshToken());
    const moved = await at.machine.run('credential-store', 'keyring', '-o', 'json');
    expect(JSON.parse(moved.stdout)).toMatchObject({ choice: 'keyring', credentialStore: 'keyring' });
    expect(filesOfUser()).not.toContain(refreshToken());
    at.machine.age(400);
    expect(await at.getToken()).toMatchObject({ code: 0 });
    expect(await at.machine.run('credential-store', 'file')).toMatchObject({ code: 0 });
    // Nothing asks the keyring any more.
    at.machine.env = {};
    at.machine.age(400);
    expect(await at.getToken()).toMatchObject({ code: 0, stderr: '' });
    expect(at.fakeServer.counts).toMatchObject({ authorizations: 1, refreshes: 2 });
  });

  test('is not sent to another token endpoint that an attacker writes into its file', async () => {
    await login();
    const session = JSON.parse(readFileSync(sessionFile(), 'utf8')) as { endpoints: { token: string } };
    session.endpoints.token = session.endpoints.token.replace(/token$/, 'other');
    writeFileSync(sessionFile(), JSON.stringify(session));
    at.machine.age(400);
    const ended = await at.getToken('prod', '--no-browser');
    expect(ended).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining('has no credential') });
    expect(at.fakeServer.counts.refreshes).toBe(0);
  });
});

describe('a keyring that cannot be used', () => {
  test('is replaced by a file, which login and whoami say', async () => {
    at.machine.env = {};
    expect(await login()).toMatch(/kept in a file, because no keyring can be used: there is no D-Bus session/);
    expect(await whoami()).toMatchObject({ credentialStore: 'file', notInKeyring: expect.stringContaining('D-Bus') });
    expect(await at.getToken()).toMatchObject({ code: 0, stderr: '' });
  });

  test('leaves the session open at the server after logout, which says so, and which ends it once the keyring is back', async () => {
    await login();
    const files = keptFiles();
    at.machine.env = {};
    const ended = await at.machine.run('logout');
    expect(ended).toMatchObject({ code: 1, stderr: expect.stringMatching(/still open at the server: The keyring/) });
    expect(ended.stderr).toContain(`then end it: portcullis logout ${server().join(' ')}`);
    at.machine.env = { DBUS_SESSION_BUS_ADDRESS: desktop.address };
    const after = await at.getToken('prod', '--no-browser');
    expect(after).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining('not signed in') });
    expect(await at.machine.run('logout')).toMatchObject({ code: 0 });
    expect(at.fakeServer.counts).toMatchObject({ revocations: 1, refreshes: 0 });
    await expectNoEntry(files);
  });

  test('is not asked where the file was chosen', async () => {
    const bus = await silentBus();
    at.machine.env = { DBUS_SESSION_BUS_ADDRESS: bus.address };
    await login('--credential-store', 'file');
    expect(await at.machine.run('logout')).toMatchObject({ code: 0 });
    bus.close();
    expect(bus.sockets).toEqual([]);
  });

  test('ends a sign-in before the browser opens where it was chosen', async () => {
    at.machine.env = { PORTCULLIS_CREDENTIAL_STORE: 'keyring' };
    const ended = await at.machine.run('login', ...server());
    expect(ended).toMatchObject({ code: 2, stderr: expect.stringContaining('--credential-store file') });
    expect(at.fakeServer.counts.authorizations).toBe(0);
    at.machine.env = { PORTCULLIS_CREDENTIAL_STORE: 'drawer' };
    expect(await at.machine.run('login', ...server())).toMatchObject({ code: 2 });
  });

  test('because it is locked or hangs costs kubectl seconds, once, and the session stays', async () => {
    await login();
    await desktop.lock();
    at.machine.age(400);
    const locked = await at.getToken();
    expect(locked).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining('unlock the keyring') });
    const bus = await silentBus();
    at.machine.env = { DBUS_SESSION_BUS_ADDRESS: bus.address };
    const began = Date.now();
    // client-go asks five times.
    const hung = await at.machine.runUnderOneParent(5, 'get-token', ...server(), '--cluster', 'prod');
    const took = Date.now() - began;
    bus.close();
    expect(hung.stderr.match(/has not responded within 10 seconds/g)).toHaveLength(5);
    expect(took).toBeLessThan(60_000);
    await desktop.stopKeyring();
    await desktop.unlock();
    at.machine.env = { DBUS_SESSION_BUS_ADDRESS: desktop.address };
    expect(await at.getToken()).toMatchObject({ code: 0 });
    expect(at.fakeServer.counts.authorizations).toBe(1);
  });
});

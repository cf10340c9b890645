import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, describe, expect, test } from 'vitest';
import { readEnvironment } from '../../../../src/cli/environment.ts';
import { createCliContext } from '../../../../src/cli/context.ts';
import { locateEntry } from '../../../../src/cli/session/cache.ts';
import { whyNoKeyring } from '../../../../src/cli/session/keyring.ts';
import { storeSecrets } from '../../../../src/cli/session/secrets.ts';

const dir = mkdtempSync(join(tmpdir(), 'portcullis-keyring-'));
writeFileSync(join(dir, 'bus'), '');
afterAll(() => rmSync(dir, { recursive: true }));

const why = (platform: NodeJS.Platform, env: NodeJS.ProcessEnv): string | undefined =>
  whyNoKeyring(readEnvironment(env, platform, '/home/alice', 'laptop'));

describe('the keyring', () => {
  test.each([
    ['a Mac', 'darwin', {}],
    ['Windows', 'win32', {}],
    ['a desktop', 'linux', { DBUS_SESSION_BUS_ADDRESS: 'unix:path=/run/user/1000/bus' }],
    ['a session of systemd', 'linux', { XDG_RUNTIME_DIR: dir }],
  ] as const)('is asked on %s', (_name, platform, env) => {
    expect(why(platform, env)).toBeUndefined();
  });

  test.each([
    ['a server', {}, 'D-Bus'],
    ['a container', { XDG_RUNTIME_DIR: '/nonexistent' }, 'D-Bus'],
    ['a machine with a relative folder', { XDG_RUNTIME_DIR: '.' }, 'D-Bus'],
    ['WSL with a display, where libdbus could start a bus of its own', { WSL_DISTRO_NAME: 'D', DISPLAY: ':0' }, 'WSL'],
  ])('is not asked on %s', (_name, env, part) => {
    expect(why('linux', env)).toContain(part);
  });

  test('does not keep kubectl waiting for a process that its own has left behind with its pipe', async () => {
    const pid = join(dir, 'pid');
    const left = `spawn('sleep', ['60'], { detached: true, stdio: ['ignore', 'inherit', 'ignore'] })`;
    const child = join(dir, 'child.mjs');
    writeFileSync(
      child,
      `import { spawn } from 'node:child_process'; import { writeFileSync } from 'node:fs';
       console.log(); writeFileSync('${pid}', String(${left}.pid)); setInterval(() => undefined, 1000);`,
    );
    const asks = join(dir, 'asks.mjs');
    writeFileSync(
      asks,
      `const real = setTimeout; globalThis.setTimeout = (work, ms) => real(work, ms / 10);
       process.argv[1] = '${child}';
       const { accessKeyring } = await import('${new URL('../../../../src/cli/session/keyring.ts', import.meta.url).href}');
       const place = { platform: 'linux', bus: { address: 'unix:path=/nonexistent' }, cacheDir: '${dir}', wsl: false };
       console.log((await accessKeyring(place, { action: 'read', account: 'a' }, false)).why);`,
    );
    const ended = await promisify(execFile)(process.execPath, [asks], { timeout: 20_000 }).catch(
      (error: unknown) => error,
    );
    process.kill(Number(readFileSync(pid, 'utf8')));
    expect(ended).toMatchObject({ stdout: expect.stringContaining('has not responded within 10 seconds') });
    expect(ended).not.toHaveProperty('killed', true);
  }, 30_000);

  test('is not given more than Windows can keep: the file has it then, with the reason, or nothing has where it must not', async () => {
    const env = { DBUS_SESSION_BUS_ADDRESS: 'unix:path=/nonexistent', PORTCULLIS_CACHE_DIR: dir };
    const messages: string[] = [];
    const context = {
      ...createCliContext(),
      environment: readEnvironment(env, 'linux', dir, 'laptop'),
      notify: (message: string) => void messages.push(message),
    };
    const server = 'https://portcullis.example.com';
    const session = {
      server,
      endpoints: { token: `${server}/t`, revocation: `${server}/r`, adminApi: `${server}/a` },
      user: { sessionId: 's', sessionExpiresAt: '', account: 'a/b', username: 'u', groups: [], clusters: [] },
      refreshToken: 'r'.repeat(2500),
      binding: { certificate: 'c', privateKey: 'k' },
      tokens: {},
    };
    const entry = locateEntry(dir, { url: server });
    const kept = await storeSecrets(context, entry, session, 'auto');
    expect(kept).toMatchObject({ refreshToken: 'r'.repeat(2500), notInKeyring: expect.stringContaining('2560 bytes') });
    expect(messages.splice(0)).toEqual([expect.stringContaining('2560 bytes')]);
    // `--credential-store keyring`: its user has asked that no file ever has them.
    await expect(storeSecrets(context, entry, session, 'keyring')).rejects.toThrow('2560 bytes');
    expect(messages).toEqual([]);
  });
});

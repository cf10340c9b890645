/**
 * A user's day with the command line, by means that every system has: the workflow runs this on macOS and Windows too.
 *
 * `PORTCULLIS_TEST_PROGRAM` names an executable to test in place of the sources, and `PORTCULLIS_TEST_STORE=keyring` has it use the
 * system's own keyring.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { stage } from './setup.ts';

const at = stage();
const main = fileURLToPath(new URL('../../../src/cli-package/main.ts', import.meta.url));
const browser = fileURLToPath(new URL('browser.ts', import.meta.url));
const given = process.env['PORTCULLIS_TEST_PROGRAM'];
const [program, ...first] = given === undefined ? [process.execPath, main] : [given];
const store = process.env['PORTCULLIS_TEST_STORE'] === 'keyring' ? 'keyring' : 'file';

/** @returns standard output; throws with standard error where the exit code is another one */
async function portcullis(args: readonly string[], code = 0): Promise<string> {
  const child = spawn(program, [...first, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...process.env,
      PORTCULLIS_CACHE_DIR: at.machine.cacheDir,
      PORTCULLIS_CREDENTIAL_STORE: store,
      KUBECONFIG: join(at.machine.home, 'kubeconfig'),
      BROWSER: `${process.execPath} ${browser} ${join(at.machine.home, 'tabs')}`,
    },
  });
  const [stdout, stderr, [ended]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  if (ended !== code) throw new Error(`exit ${String(ended)} of ${args.join(' ')}:\n${stderr}`);
  return stdout;
}

const token = (output: string): string => (JSON.parse(output) as { status: { token: string } }).status.token;

test('signs in, gives credentials, renews them, writes a kubeconfig, moves the session, and signs out', async () => {
  const server = ['--server', at.fakeServer.web];
  await portcullis(['login', ...server]);
  const getToken = ['get-token', ...server, '--cluster', 'prod'];
  const before = token(await portcullis(getToken));
  at.machine.age(400);
  const after = token(await portcullis(getToken));
  expect(after).not.toBe(before);
  expect(JSON.parse(await portcullis(['whoami', '-o', 'json']))).toMatchObject({
    account: 'corp/alice',
    session: { credentialStore: store },
  });
  await portcullis(['kubeconfig', ...server]);
  expect(readFileSync(join(at.machine.home, 'kubeconfig'), 'utf8')).toContain('command: portcullis');
  expect(await portcullis(['credential-store', 'file'])).toMatch(/kept in +file/);
  await portcullis(['logout']);
  expect(at.fakeServer.counts).toMatchObject({ authorizations: 1, redemptions: 1, revocations: 1 });
  await portcullis([...getToken, '--no-browser'], 1);
  expect(at.machine.session).toBeUndefined();
});

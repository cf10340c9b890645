/** The single executable of this machine: a user signs in with it, and a real kubectl gets its credentials from it. */
import { execFile } from 'node:child_process';
import { mkdir, readdir, readFile, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RunningDemo } from '../../demo/launch.ts';
import { startTestInstance, temporaryFolder } from '../support/instance.ts';
import { PageShell } from '../support/page-shell.ts';
import { SecretService } from '../support/secret-service.ts';
import { ROOT } from '../unit/docs/markdown.ts';

const run = promisify(execFile);
const BUILD = fileURLToPath(new URL('../../scripts/build-executables.ts', import.meta.url));

describe('the single executable', { timeout: 300_000 }, () => {
  const desktop = new SecretService();
  let folder: string;
  let instance: RunningDemo;
  let laptop: PageShell;

  beforeAll(async () => {
    folder = await temporaryFolder();
    const target = `linux-${process.arch}`;
    await run(process.execPath, [BUILD, '--out', join(folder, 'out'), '--targets', target]);
    instance = await startTestInstance();
    await desktop.start();
    await mkdir(join(folder, 'bin'));
    await symlink(join(folder, `out/portcullis-${target}`), join(folder, 'bin/portcullis'));
    laptop = new PageShell(folder, {
      HOME: folder,
      KUBECONFIG: join(folder, 'kubeconfig'),
      // No Node here but the one inside.
      PATH: `${join(folder, 'bin')}:/usr/local/bin:/usr/bin:/bin`,
      PORTCULLIS_CACHE_DIR: join(folder, 'cache'),
      PORTCULLIS_CREDENTIAL_STORE: 'keyring',
      DBUS_SESSION_BUS_ADDRESS: desktop.address,
      PORTCULLIS_DEMO_USER: 'alice',
      BROWSER: `${process.execPath} ${join(ROOT, 'demo/headless-browser.ts')}`,
    });
  }, 300_000);
  afterAll(async () => {
    laptop.close();
    await desktop.stop();
    await instance.stop();
    await rm(folder, { recursive: true, force: true });
  });

  it('signs in, keeps the session in the keyring, and gives kubectl its credentials until the user signs out', async () => {
    await laptop.run(`portcullis login --server ${instance.urls.web} && portcullis kubeconfig`);
    expect(await laptop.run('kubectl get pods')).toMatch(/web-1 +/);
    expect(await laptop.run('portcullis whoami -o json')).toContain('"credentialStore": "keyring"');
    // An attacker who can write to the cache would replace a library there.
    expect((await readdir(join(folder, 'cache'))).filter((name) => name.endsWith('.node'))).toEqual([]);
    await laptop.run('portcullis logout');
    const after = await laptop.try('PORTCULLIS_NO_BROWSER=1 kubectl get pods');
    expect(after.code).not.toBe(0);
    expect(after.all).toContain('not signed in');
  });

  it('names what is inside with its licences', async () => {
    const notices = await readFile(join(folder, 'out/THIRD-PARTY-NOTICES.txt'), 'utf8');
    expect(notices).toMatch(/^--- @napi-rs\/keyring-linux-\S+ \S+ \(MIT\)/m);
    expect(notices).toMatch(/^--- commander /m);
  });
});

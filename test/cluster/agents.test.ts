/** The container of docs/agents.md: an agent in it has the delegated session, and nothing else of its user. */
import { execFile } from 'node:child_process';
import { copyFile, mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { RunningDemo } from '../../demo/launch.ts';
import { startTestInstance, temporaryFolder } from '../support/instance.ts';
import { newestClients } from '../support/kubectl-versions.ts';
import { CliContext } from '../support/kubectl.ts';
import { pageBlock, programsIn, withValues } from '../support/page-blocks.ts';
import { PageShell } from '../support/page-shell.ts';

const run = promisify(execFile);
const BUILD = fileURLToPath(new URL('../../scripts/build-cli.ts', import.meta.url));

/** Looks around, reads, and then goes too far. */
const AGENT = `#!/bin/sh
find / -path /proc -prune -o -name session.json -print
kubectl get pods --output name && kubectl delete pod web-1
`;

let folder: string;
let instance: RunningDemo;
let alice: CliContext;
let shell: PageShell;

/** An image with busybox, kubectl, the packaged command line and the libraries that it loads. */
async function makeImage(environment: NodeJS.ProcessEnv): Promise<void> {
  const root = join(folder, 'root');
  const bin = join(root, 'usr/local/bin');
  await mkdir(bin, { recursive: true });
  await mkdir(join(root, 'bin'));
  await mkdir(join(root, 'tmp'));
  const { stdout: busybox } = await run('sh', ['-c', 'command -v busybox']);
  await copyFile(busybox.trim(), join(root, 'bin/busybox'));
  for (const name of ['sh', 'find']) await symlink('busybox', join(root, 'bin', name));
  // This process is the same Node, so the executable loads the same libraries.
  const { sharedObjects } = process.report.getReport() as { readonly sharedObjects: readonly string[] };
  for (const library of sharedObjects.filter((path) => /^\/(?:usr\/)?lib/.test(path))) {
    await mkdir(join(root, dirname(library)), { recursive: true });
    await copyFile(library, join(root, library));
  }
  const built = join(folder, 'cli');
  await run(process.execPath, [BUILD, '--out', built, '--arch', process.arch], { maxBuffer: 1e7 });
  await copyFile(join(built, `portcullis-linux-${process.arch}`), join(bin, 'portcullis'));
  await copyFile((await newestClients()).kubectl, join(bin, 'kubectl'));
  await writeFile(join(bin, 'claude'), AGENT, { mode: 0o755 });
  const image = 'tar --create --directory "$1" . | podman import --quiet - agent-image';
  await run('sh', ['-c', image, 'sh', root], { env: environment });
}

beforeAll(async () => {
  folder = await temporaryFolder();
  instance = await startTestInstance();
  alice = new CliContext(instance, 'alice');
  const signedIn = await alice.portcullis('login');
  if (signedIn.code !== 0) throw new Error(signedIn.all);
  const at = (name: string): string => join(folder, name);
  const storage = `[storage]\ndriver = "vfs"\nrunroot = "${at('run')}"\ngraphroot = "${at('images')}"\n`;
  await writeFile(at('storage.conf'), storage);
  await writeFile(
    at('containers.conf'),
    '[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "none"\nruntime = "runc"\n',
  );
  const bin = await programsIn(folder, { portcullis: `exec '${instance.files.command}' "$@"` });
  const environment = {
    ...alice.environment,
    PATH: `${bin}:${process.env['PATH']}:/usr/sbin`,
    CONTAINERS_CONF: at('containers.conf'),
    CONTAINERS_STORAGE_CONF: at('storage.conf'),
  };
  await makeImage(environment);
  shell = new PageShell(folder, environment);
});
afterAll(async () => {
  shell?.close();
  alice?.close();
  await instance?.stop();
  if (folder !== undefined) await rm(folder, { recursive: true, force: true });
});

it('an agent in a container reads, is told what it may not do, and finds no other session', async () => {
  const block = pageBlock('docs/agents.md', 'mkdir -m 700 claude');
  // The server of this test is on loopback.
  const here = { '--namespace shop': '--namespace default', 'podman run ': 'podman run --network host ' };
  const { code, stdout, all } = await shell.try(withValues(block, here));
  expect(code, all).toBe(1);
  expect(stdout).toContain('pod/web-1');
  expect(all).toContain('this session was delegated to "claude": read-only in default');
  const sessions = all.split(/\r?\n/).filter((line) => line.endsWith('/session.json'));
  expect(sessions).toEqual([expect.stringContaining(join(folder, 'claude/kubeconfig.d/'))]);
});

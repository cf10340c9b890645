/**
 * docs/break-glass.md, typed as it stands before a real API server with the audit policy of deploy/examples. No controller manager runs here,
 * so the test signs what it would have signed, with the CA by which the API server knows its clients.
 */
import { copyFile, mkdir, readFile, rm, stat, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startDemo, type RunningDemo } from '../../demo/launch.ts';
import { freePortBase, temporaryFolder } from '../support/instance.ts';
import { CliContext } from '../support/kubectl.ts';
import { pageBlock, withValues } from '../support/page-blocks.ts';
import { PageShell } from '../support/page-shell.ts';
import { readPage, ROOT } from '../unit/docs/markdown.ts';
import { CsrSigner } from './csr-signer.ts';
import { startHardenedApiServer, type HardenedApiServer } from './hardened-api-server.ts';

const DEPLOYMENT = `kubectl --namespace portcullis create deployment portcullis --image registry.example.com/portcullis:0.1.0 --replicas 3`;

describe('docs/break-glass.md', () => {
  let folder: string;
  let server: HardenedApiServer;
  let instance: RunningDemo;
  let root: CliContext;
  let signer: CsrSigner;
  let signing: Promise<void>;
  const shells: PageShell[] = [];

  /** An operator with the cluster's own credential, in an empty folder. */
  async function administrator(name: string): Promise<PageShell> {
    await mkdir(join(folder, name));
    const shell = new PageShell(join(folder, name), { KUBECONFIG: server.kubeconfig });
    shells.push(shell);
    return shell;
  }

  beforeAll(async () => {
    folder = await temporaryFolder();
    await mkdir(join(folder, 'controller'));
    const machine = new PageShell(join(folder, 'controller'), {});
    const clientCaFile = await new CsrSigner(machine, join(folder, 'controller')).makeCa();
    server = await startHardenedApiServer({ clientCaFile });
    const controller = new PageShell(join(folder, 'controller'), { KUBECONFIG: server.kubeconfig });
    signer = new CsrSigner(controller, join(folder, 'controller'));
    signing = signer.watch();
    const { kubeconfig } = server;
    instance = await startDemo({ directory: join(folder, 'demo'), portBase: await freePortBase(), kubeconfig });
    root = new CliContext(instance, 'root');
    await (await administrator('before')).run(`kubectl create namespace portcullis\n${DEPLOYMENT}`);
  });
  afterAll(async () => {
    signer.stop();
    await signing;
    for (const shell of shells) shell.close();
    root.close();
    await instance.stop();
    await server.close();
    await rm(folder, { recursive: true, force: true });
  });

  /** Both blocks of *Create it*, one after the other in one shell. @returns where the kubeconfig lies */
  async function make(number: number): Promise<{ readonly kubeconfig: string; readonly said: string }> {
    const name = `made-${number}`;
    const shell = await administrator(name);
    const certificate = withValues(pageBlock('docs/break-glass.md', 'N='), { 'N=1 ': `N=${number} ` });
    const file = pageBlock('docs/break-glass.md', 'kubectl config view');
    const said = await shell.run(`${certificate}\n${file}`);
    return { kubeconfig: join(folder, name, 'break-glass.kubeconfig'), said };
  }

  /** The commands that a step of the drill gives. */
  const step = (number: number): readonly string[] => {
    const [, drill = ''] = readPage('docs/break-glass.md').split('\n## Drill');
    const [text = ''] = drill.split(/\n(?=\d+\. )/).filter((one) => one.startsWith(`${number}. `));
    return [...text.matchAll(/`(kubectl [^`]*)`/g)].map(([, command = '']) => command);
  };

  /** What the page's `jq` finds in what the API server wrote since the last call: `[when, who, from, verb, URI, status]`. */
  async function wentAround(): Promise<readonly (readonly unknown[])[]> {
    const shell = await administrator(`log-${shells.length}`);
    await copyFile(server.auditLog, join(folder, `log-${shells.length - 1}`, 'kube-audit.log'));
    const found = await shell.run(pageBlock('docs/break-glass.md', 'jq'));
    return found
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as readonly unknown[]);
  }

  /** The users that the command of the alert's runbook names as having bypassed Portcullis. */
  async function counted(): Promise<readonly unknown[]> {
    await instance.server.audit.flush();
    const command = withValues(pageBlock('docs/runbooks/proxy-bypassed.md', 'node deploy/prometheus'), {
      '--portcullis audit.log': `--portcullis ${instance.files.auditLog}`,
      'kube-audit.log': server.auditLog,
    });
    const { code, stdout } = await new PageShell(ROOT, {}).try(command);
    expect(code).toBe(1);
    const found = stdout.trim().split('\n');
    return [...new Set(found.map((line) => (JSON.parse(line) as { readonly user: string }).user))];
  }

  let old = '';

  it('makes a kubeconfig that is of its own group alone, and says so', async () => {
    const { kubeconfig, said } = await make(1);
    old = kubeconfig;
    expect(said).toMatch(/Username +break-glass:1\n/);
    expect(said).toMatch(/Groups +\[break-glass:admins-1 system:authenticated\]/);
    expect((await stat(kubeconfig)).mode & 0o077).toBe(0);
    // Nothing in it is a path: the folder's other files may go.
    expect(await readFile(kubeconfig, 'utf8')).not.toMatch(/certificate-authority:|client-key:|client-certificate:/);
  });

  it('is drilled: the log names the two commands of step 4, and nothing that came through Portcullis', async () => {
    const admin = await administrator('officer');
    const [look = '', stop = ''] = step(2);
    await admin.run(`${look}\n${stop}`);
    // From here on only the drill and users of Portcullis send requests; the signer waits for nothing more.
    signer.stop();
    await signing;
    await truncate(server.auditLog);
    expect((await root.kubectl('get', 'pods')).code).toBe(0);
    expect((await root.kubectl('get', 'secrets', '--all-namespaces')).code).toBe(0);

    const [whoami = '', start = '', ...rest] = step(4);
    expect(rest).toEqual([]);
    const here = (command: string): string => withValues(command, { 'break-glass.kubeconfig': old });
    const two = new PageShell(folder, { KUBECONFIG: '/nonexistent' });
    expect(await two.run(here(whoami))).toContain('break-glass:admins-1');
    expect(await two.run(here(start))).toContain('deployment.apps/portcullis scaled');

    const [name, review, scale] = ['break-glass:1', 'selfsubjectreviews', 'deployments/portcullis/scale'];
    const changes = async () => (await wentAround()).filter(([, , , verb]) => verb !== 'get');
    await expect.poll(changes).toHaveLength(2);
    expect(await changes()).toEqual([
      [expect.any(String), name, '127.0.0.1', 'create', expect.stringContaining(review), 201],
      [expect.any(String), name, '127.0.0.1', 'patch', expect.stringContaining(scale), 200],
    ]);
    const callers = (await wentAround()).map(([, who]) => who);
    expect(new Set(callers)).toEqual(new Set([name]));
    // And those of Portcullis are in the same log, under its own account.
    expect(await readFile(server.auditLog, 'utf8')).toContain('"username":"demo:root"');
    expect(await counted()).toEqual([name]);
  });

  it('is replaced: the new one may, and the old one may no more once its binding is gone', async () => {
    signer = new CsrSigner(
      new PageShell(join(folder, 'controller'), { KUBECONFIG: server.kubeconfig }),
      join(folder, 'controller'),
    );
    signing = signer.watch();
    const { kubeconfig } = await make(2);
    const [unbind = ''] = step(6);
    const mayI = (/`(kubectl --kubeconfig FILE [^`]*)`/.exec(readPage('docs/break-glass.md')) ?? [])[1] ?? '';
    const admin = await administrator('ender');
    const answer = (file: string) => admin.try(withValues(mayI, { FILE: file }));
    expect(await answer(old)).toMatchObject({ code: 0, stdout: 'yes\n' });
    await admin.run(withValues(unbind, { 'break-glass-N': 'break-glass-1' }));
    await expect.poll(async () => (await answer(old)).stdout).toBe('no\n');
    expect(await answer(kubeconfig)).toMatchObject({ code: 0, stdout: 'yes\n' });
    expect((await admin.try(`kubectl --kubeconfig ${old} get pods`)).all).toContain('is forbidden');
  });
});

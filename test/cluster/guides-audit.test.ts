/** Commands of the documents that need `jq`, `curl` or both audit logs: typed as they are, over logs of Portcullis and a real API server. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { copyFile, mkdir, readFile, rm, stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startDemo, type RunningDemo } from '../../demo/launch.ts';
import { freePortBase, temporaryFolder } from '../support/instance.ts';
import { pageBlock, withValues } from '../support/page-blocks.ts';
import { terminalOf } from '../support/page-terminal.ts';
import { PageShell } from '../support/page-shell.ts';
import { ROOT } from '../unit/docs/markdown.ts';
import { startHardenedApiServer, type HardenedApiServer } from './hardened-api-server.ts';

describe('what the documents tell to do with the records', () => {
  let folder: string;
  let server: HardenedApiServer;
  let instance: RunningDemo;
  let admin: PageShell;
  let root: PageShell;
  let alice: PageShell;

  beforeAll(async () => {
    folder = await temporaryFolder();
    server = await startHardenedApiServer();
    const { kubeconfig } = server;
    instance = await startDemo({ directory: join(folder, 'demo'), portBase: await freePortBase(), kubeconfig });
    admin = new PageShell(folder, { KUBECONFIG: kubeconfig });
    [root, alice] = await Promise.all([terminalOf(folder, 'root'), terminalOf(folder, 'alice')]);
    for (const user of [root, alice])
      await user.run(`portcullis login --server ${instance.urls.web}\nportcullis kubeconfig`);
    await root.run('kubectl get secrets --all-namespaces\nkubectl get pods');
    await root.try('kubectl exec web-1 -- true');
    await alice.try('kubectl get secrets');
  });
  afterAll(async () => {
    for (const shell of [admin, root, alice]) shell.close();
    await instance.stop();
    await server.close();
    await rm(folder, { recursive: true, force: true });
  });

  /** Where an admin stands, with both records as they are now. */
  async function withRecords(): Promise<void> {
    await instance.server.audit.flush();
    await copyFile(instance.files.auditLog, join(folder, 'home-of-root/audit.log'));
    for (const name of ['kube-audit.log', 'kube-apiserver-audit.log'])
      await copyFile(server.auditLog, join(folder, 'home-of-root', name));
  }

  it('docs/runbooks/sensitive-surge.md counts by user', async () => {
    await withRecords();
    const counts = await root.run(pageBlock('docs/runbooks/sensitive-surge.md', 'portcullis audit query'));
    expect(counts).toMatch(/\d+ demo:root\n/);
    expect(counts).toMatch(/\d+ demo:alice\n/);
    expect(counts.match(/demo:root/g)).toHaveLength(2);
  });

  it('docs/audit-verify.md: line 8 follows line 7', async () => {
    await withRecords();
    const said = await root.run(pageBlock('docs/audit-verify.md', '# does line 8'));
    const [sum = '', named = ''] = said.trim().split('\n');
    const lines = (await readFile(join(folder, 'home-of-root/audit.log'), 'utf8')).split('\n');
    expect(named).toBe(
      createHash('sha256')
        .update(lines[6] ?? '')
        .digest('hex'),
    );
    expect(sum).toBe(`${named}  -`);
  });

  it('docs/audit-tail.md: why sign-ins are rejected', async () => {
    // A reader's jq writes to a terminal, line by line.
    const block = pageBlock('docs/audit-tail.md', 'portcullis audit tail --event');
    const typed = root.open(withValues(block, { 'jq -r': 'jq --unbuffered -r' }));
    await typed.until(/following the audit log/);
    await root.run('portcullis lock demo/alice --reason INC-4711');
    const refused = alice.open(`portcullis login --server ${instance.urls.web}`);
    await typed.until(/^(?:account_)?locked$/m);
    expect((await typed.interrupt()).all).toContain('following the audit log');
    await refused.interrupt();
    await root.run('portcullis unlock demo/alice --reason INC-4711');
  });

  it('docs/posture: a token for a run, and what an account really does', async () => {
    await root.run('kubectl create namespace build\nkubectl create serviceaccount ci -n build');
    const token = (await root.run(pageBlock('docs/posture/legacy-token.md', 'kubectl create token'))).trim();
    const { exp = 0, iat = 0 } = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as Record<
      string,
      number
    >;
    expect(exp - iat).toBe(3600);
    await admin.try(`kubectl --kubeconfig '${server.kubeconfig}' --token '${token}' get configmaps -n build`);
    const asked = async () => {
      await withRecords();
      return root.run(pageBlock('docs/posture/account-admin.md', 'portcullis audit query'));
    };
    await expect.poll(asked).toMatch(/^ *\d+ list\t\tconfigmaps$/m);
  });

  it('docs/runbooks/unissued-impersonation.md: silent over honest audit logs, and not when the account acts without Portcullis', async () => {
    await withRecords();
    const here = join(folder, 'home-of-root');
    const checkout = new PageShell(ROOT, {});
    const compare = withValues(pageBlock('docs/runbooks/unissued-impersonation.md', 'node deploy/prometheus'), {
      'system:serviceaccount:portcullis:portcullis': 'system:serviceaccount:portcullis-demo:portcullis-demo',
      '--cluster prod': '--cluster demo',
      '--portcullis audit.log': `--portcullis ${here}/audit.log`,
      'kube-audit.log': `${here}/kube-audit.log`,
      '/var/lib/node_exporter': here,
    });
    // The test itself is the cluster's administrator.
    const asHere = `${compare} --settle 0 --expected masters`;
    expect(await checkout.try(asHere)).toMatchObject({ code: 0 });
    expect(await readFile(join(here, 'portcullis.prom'), 'utf8')).toMatch(/^portcullis_\w+(?:\{.*\})? 0$/m);
    const token = await readFile(join(instance.files.directory, 'cluster-token'), 'utf8');
    await admin.run(`kubectl --token '${token}' --as demo:bob auth whoami`);
    const found = async () => {
      await withRecords();
      return (await checkout.try(asHere)).code;
    };
    await expect.poll(found).toBe(1);
  });

  it('docs/workloads.md: a job of GitHub Actions keeps its token in a file that no other user can read', async () => {
    const github = createServer((req, res) => {
      const asked = new URL(req.url ?? '', 'http://github');
      const right =
        req.headers.authorization === 'bearer of-the-job' &&
        asked.searchParams.get('audience') === 'https://portcullis.example.com';
      res.writeHead(right ? 200 : 401, { 'content-type': 'application/json' }).end(JSON.stringify({ value: 'a.b.c' }));
    }).listen(0, '127.0.0.1');
    await once(github, 'listening');
    const runner = join(folder, 'runner');
    await mkdir(runner);
    const job = new PageShell(runner, {
      RUNNER_TEMP: runner,
      ACTIONS_ID_TOKEN_REQUEST_TOKEN: 'of-the-job',
      ACTIONS_ID_TOKEN_REQUEST_URL: `http://127.0.0.1:${(github.address() as AddressInfo).port}/token?api-version=2.0`,
    });
    await job.run(pageBlock('docs/workloads.md', 'umask 077'));
    expect(await readFile(join(runner, 'portcullis-token'), 'utf8')).toBe('a.b.c\n');
    expect((await stat(join(runner, 'portcullis-token'))).mode & 0o777).toBe(0o600);
    github.close();
  });
});

/** README.md's steps to one's own cluster, typed as they are before a real API server, until a user lists pods through Portcullis. */
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { temporaryFolder } from '../support/instance.ts';
import { checkoutIn, linesOf, pageBlock, withValues } from '../support/page-blocks.ts';
import { terminalOf } from '../support/page-terminal.ts';
import { PageShell } from '../support/page-shell.ts';
import { ROOT } from '../unit/docs/markdown.ts';
import { gatherRoles } from './aggregated.ts';
import { clusterOf, startGuideMachine, type GuideMachine } from './guide-instance.ts';
import { startHardenedApiServer, type HardenedApiServer } from './hardened-api-server.ts';

describe('README.md, steps 2 to 7', () => {
  let folder: string;
  let checkout: string;
  let server: HardenedApiServer;
  let machine: GuideMachine;
  let admin: PageShell;
  let alice: PageShell;

  beforeAll(async () => {
    folder = await temporaryFolder();
    checkout = await checkoutIn(folder);
    server = await startHardenedApiServer();
    machine = await startGuideMachine(join(folder, 'machine'));
    admin = new PageShell(checkout, { KUBECONFIG: server.kubeconfig });
    alice = await terminalOf(folder, 'alice');
    await gatherRoles(admin);
  });
  afterAll(async () => {
    alice.close();
    admin.close();
    await machine.close();
    await server.close();
    await rm(folder, { recursive: true, force: true });
  });

  it('step 2 makes an account that may impersonate, its token, and the file of the CA', async () => {
    await admin.run(pageBlock('README.md', 'kubectl apply --server-side -f deploy/examples/service-account.yaml'));
    expect(await readFile(join(checkout, 'cluster-ca.crt'), 'utf8')).toBe((await clusterOf(server.kubeconfig)).ca);
    const { server: upstream } = await clusterOf(server.kubeconfig);
    const account = `--kubeconfig /dev/null --server ${upstream} --certificate-authority cluster-ca.crt --token "$(cat upstream-token)"`;
    const as = (command: string) => admin.try(`kubectl ${account} ${command}`);
    expect((await as('auth whoami')).all).toContain('system:serviceaccount:portcullis:portcullis');
    expect((await as('--as corp:alice@example.com auth whoami')).all).toMatch(/Username +corp:alice@example\.com/);
    expect((await as('get pods')).all).toContain('forbidden');
    // Who prunes what they did not apply themselves does not delete it.
    await admin.run('kubectl create configmap any --dry-run=client -o yaml | kubectl apply --prune --all -f -');
    await admin.run('kubectl --namespace portcullis get serviceaccount portcullis');
  });

  it('a server with that token and that CA lets the user of step 6 do what step 7 allows', async () => {
    await admin.run('npx portcullis keys generate --dir keys');
    const at = (name: string): string => join(checkout, name);
    const { cert, key } = machine.certificate;
    const files = { 'tls.crt': cert, 'tls.key': key, 'client-secret': machine.clientSecret };
    for (const [name, text] of Object.entries(files)) await writeFile(at(name), text);
    const { server: upstream } = await clusterOf(server.kubeconfig);
    await machine.start(await readFile(`${ROOT}deploy/examples/portcullis.yaml`, 'utf8'), {
      keys: at('keys'),
      certFile: at('tls.crt'),
      keyFile: at('tls.key'),
      clientSecretFile: at('client-secret'),
      clusters: [{ server: upstream, caFile: at('cluster-ca.crt'), tokenFile: at('upstream-token') }],
    });
    // The first line of step 6 needs a package: test/integration/docs-packages.test.ts builds and installs it.
    const [, ...onTheMachine] = linesOf(pageBlock('README.md', 'npm install --global'));
    const typed = withValues(onTheMachine.join('\n'), {
      'https://portcullis.example.com': machine.values.server,
      'prod@portcullis.example.com': machine.values.context,
    });
    const refused = await alice.try(typed);
    expect(refused.code).toBe(1);
    expect(refused.all).toContain('pods is forbidden: User "corp:alice@demo.example" cannot list resource "pods"');
    await admin.run(pageBlock('README.md', 'kubectl create rolebinding'));
    await expect.poll(async () => (await alice.try(typed)).all).toContain('No resources found in default namespace.');
  });
});

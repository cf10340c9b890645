/**
 * docs/install.md, typed as it stands before a real API server. There is neither kubelet nor controller manager, so the server is started manually
 * from the ConfigMap and the Secrets that the commands made, and the test says of the Deployment what its controller would have said.
 */
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import { temporaryFolder } from '../support/instance.ts';
import { newestClients } from '../support/kubectl-versions.ts';
import { checkoutIn, linesOf, pageBlock, programsIn, withValues } from '../support/page-blocks.ts';
import { terminalOf } from '../support/page-terminal.ts';
import { PageShell } from '../support/page-shell.ts';
import { fencedBlocks, readPage } from '../unit/docs/markdown.ts';
import { gatherRoles } from './aggregated.ts';
import { clusterOf, startGuideMachine, type GuideMachine } from './guide-instance.ts';
import { startHardenedApiServer, type HardenedApiServer } from './hardened-api-server.ts';

describe('docs/install.md', () => {
  let folder: string;
  let checkout: string;
  let bin: string;
  let server: HardenedApiServer;
  let machine: GuideMachine;
  let admin: PageShell;
  let alice: PageShell;
  let root: PageShell;

  beforeAll(async () => {
    folder = await temporaryFolder();
    checkout = await checkoutIn(folder);
    bin = await programsIn(folder, { helm: `exec '${(await newestClients()).helm}' "$@"` });
    server = await startHardenedApiServer();
    machine = await startGuideMachine(join(folder, 'machine'));
    admin = engineer(server);
    await gatherRoles(admin);
    alice = await terminalOf(folder, 'alice');
    root = await terminalOf(folder, 'root');
    await writeFile(join(checkout, 'client-secret'), machine.clientSecret);
    for (const name of ['api', 'web']) {
      await writeFile(join(checkout, `${name}.crt`), machine.certificate.cert);
      await writeFile(join(checkout, `${name}.key`), machine.certificate.key);
    }
    const values = fencedBlocks(readPage('docs/install.md')).find(({ text }) => text.startsWith('# values.yaml'));
    await writeFile(join(checkout, 'values.yaml'), values?.text ?? '');
  });
  afterAll(async () => {
    for (const shell of [admin, alice, root]) shell.close();
    await machine.close();
    await server.close();
    await rm(folder, { recursive: true, force: true });
  });

  /** In a checkout, with that cluster's own credential. */
  function engineer({ kubeconfig }: HardenedApiServer): PageShell {
    return new PageShell(checkout, { HOME: folder, KUBECONFIG: kubeconfig, PATH: `${bin}:${process.env['PATH']}` });
  }

  it('section 2 makes the namespace and the Secrets', async () => {
    await admin.run(pageBlock('docs/install.md', 'kubectl create namespace portcullis'));
    await admin.run(pageBlock('docs/install.md', 'kubectl --namespace portcullis create secret tls'));
    for (const kind of ['signing', 'sealing', 'audit'])
      expect(await readdir(join(checkout, 'keys', kind))).toHaveLength(1);
  });

  it('section 3 shows the configuration before anything is installed', async () => {
    expect(await admin.run(pageBlock('docs/install.md', 'helm template'))).toMatch(/^valid: 1 provider.*not read$/m);
    expect((await admin.try('kubectl --namespace portcullis get deployment portcullis')).code).toBe(1);
  });

  it('section 4 installs; `rollout status` waits for the Deployment, and the Service is there', async () => {
    const [install = '', status = '', service = '', ...rest] = linesOf(
      pageBlock('docs/install.md', 'helm install portcullis deploy/chart --namespace portcullis --values'),
    );
    expect(rest).toEqual([]);
    expect(await admin.run(install)).toContain('STATUS: deployed');
    const waiting = admin.open(status);
    await waiting.until(/Waiting for deployment/);
    // In place of its controller.
    const replicas = { replicas: 3, updatedReplicas: 3, readyReplicas: 3, availableReplicas: 3, observedGeneration: 1 };
    const patch = JSON.stringify({ status: replicas });
    await admin.run(
      `kubectl --namespace portcullis patch deployment portcullis --subresource status --type merge -p '${patch}'`,
    );
    expect((await waiting.ended).all).toContain('successfully rolled out');
    expect(await admin.run(service)).toMatch(/portcullis-api +LoadBalancer/);
  });

  /** Files of a Secret, as kubelet mounts them. */
  async function mounted(secret: string, directory: string): Promise<string> {
    const { data } = JSON.parse(await admin.run(`kubectl --namespace portcullis get secret ${secret} -o json`)) as {
      readonly data: Readonly<Record<string, string>>;
    };
    await mkdir(directory, { recursive: true });
    for (const [name, value] of Object.entries(data))
      await writeFile(join(directory, name), Buffer.from(value, 'base64'));
    return directory;
  }

  /** As kubelet and the pod of the chart would. @param elsewhere a further cluster: its settings, and where it is */
  async function startInstance(elsewhere?: Further): Promise<void> {
    const at = (name: string): string => join(folder, 'pod', name);
    for (const kind of ['signing', 'sealing', 'audit']) await mounted(`portcullis-${kind}-keys`, at(`keys/${kind}`));
    await mounted('portcullis-api-tls', at('tls'));
    await mounted('portcullis-oidc', at('oidc'));
    const { server: upstream, ca } = await clusterOf(server.kubeconfig);
    await writeFile(at('ca.crt'), ca);
    await writeFile(at('token'), await admin.run('kubectl --namespace portcullis create token portcullis'));
    const config = `kubectl --namespace portcullis get configmap portcullis -o jsonpath='{.data.portcullis\\.yaml}'`;
    const settings = parse(await admin.run(config)) as { readonly clusters: readonly object[] };
    const clusters = [...settings.clusters, ...(elsewhere === undefined ? [] : [elsewhere.settings])];
    await machine.start(stringify({ ...settings, clusters }), {
      keys: at('keys'),
      certFile: at('tls/tls.crt'),
      keyFile: at('tls/tls.key'),
      clientSecretFile: at('oidc/client-secret'),
      clusters: [
        { server: upstream, caFile: at('ca.crt'), tokenFile: at('token') },
        ...(elsewhere === undefined ? [] : [elsewhere.files]),
      ],
    });
  }

  it('section 5: the first user lists pods, and an admin’s drill passes', async () => {
    await startInstance();
    const block = withValues(pageBlock('docs/install.md', 'portcullis login'), {
      'https://portcullis.example.com': machine.values.server,
      'prod@portcullis.example.com': machine.values.context,
    });
    const [login = '', kubeconfig = '', binding = '', ofAdmins = '', pods = '', drill = '', ...rest] = linesOf(block);
    expect(rest).toEqual([]);
    await alice.run(`${login}\n${kubeconfig}`);
    expect((await alice.try(pods)).all).toContain('pods is forbidden: User "corp:alice@demo.example"');
    await admin.run(binding);
    await expect.poll(async () => (await alice.try(pods)).all).toContain('No resources found in default namespace.');
    expect((await root.try(`${login}\n${drill}`)).all).toContain('needs the right to watch /api/v1/namespaces');
    await admin.run(ofAdmins);
    await expect.poll(async () => (await root.try(drill)).all).toMatch(/drill PASSED[^]* applied /);
  });

  describe('in a further cluster', () => {
    let elsewhere: HardenedApiServer;
    beforeAll(async () => {
      elsewhere = await startHardenedApiServer();
    });
    afterAll(() => elsewhere.close());

    it('installs the account alone, with a token that may impersonate the group that is named', async () => {
      const there = engineer(elsewhere);
      const block = pageBlock(
        'docs/install.md',
        'helm install portcullis deploy/chart --namespace portcullis --create-',
      );
      const said = await there.run(block);
      expect(said).toContain('STATUS: deployed');
      expect(await there.run('kubectl --namespace portcullis get deployments,secrets,services -o name')).not.toMatch(
        /deployment|service\//,
      );
      const { server: upstream, ca } = await clusterOf(elsewhere.kubeconfig);
      await writeFile(join(checkout, 'elsewhere.crt'), ca);
      const account = `kubectl --kubeconfig /dev/null --server ${upstream} --certificate-authority elsewhere.crt --token "$(cat token)"`;
      const as = (group: string) => there.try(`${account} --as corp:alice --as-group ${group} auth can-i list pods`);
      expect((await as('corp:developers')).all).toBe('no\n');
      expect((await as('corp:others')).all).toContain('cannot impersonate resource "groups"');
      // What docs/clusters.md has in two blocks.
      const chart = pageBlock('docs/clusters.md', 'helm install');
      expect(linesOf(`${chart}\n${pageBlock('docs/clusters.md', 'kubectl create token')}`)).toEqual(linesOf(block));
    });

    it('docs/clusters.md: a user who signs in again is known there too', async () => {
      const there = engineer(elsewhere);
      await there.run(pageBlock('docs/clusters.md', 'kubectl create rolebinding'));
      const shown =
        fencedBlocks(readPage('docs/clusters.md')).find(({ text }) => text.startsWith('clusters:'))?.text ?? '';
      const [settings = {}] = (parse(shown) as { readonly clusters: readonly object[] }).clusters;
      const { server: upstream } = await clusterOf(elsewhere.kubeconfig);
      const files = { server: upstream, caFile: join(checkout, 'elsewhere.crt'), tokenFile: join(checkout, 'token') };
      await startInstance({ settings, files });
      await alice.run(`portcullis login --server ${machine.values.server}\nportcullis kubeconfig`);
      const whoami = withValues(pageBlock('docs/clusters.md', 'kubectl --context elsewhere'), {
        'elsewhere@portcullis.example.com': machine.values.context.replace('prod@', 'elsewhere@'),
      });
      expect(await alice.run(whoami)).toMatch(/Groups +\[corp:developers system:authenticated\]/);
    });
  });

  it('docs/network-policies.md, step 3: the pod may run here, and no policy opens anything for it', async () => {
    const block = pageBlock('docs/network-policies.md', 'kubectl --namespace portcullis run try');
    const typed = admin.open(block);
    const pod = async () => (await admin.try('kubectl --namespace portcullis get pod try -o json')).stdout;
    await expect.poll(pod).toContain('"try"');
    const { metadata, spec } = JSON.parse(await pod()) as {
      readonly metadata: { readonly labels: Readonly<Record<string, string>> };
      readonly spec: { readonly containers: readonly { readonly args: readonly string[] }[] };
    };
    expect(spec.containers.map(({ args }) => args.join(' '))).toEqual(['wget -T 3 -O - http://1.1.1.1']);
    const policies = JSON.parse(await admin.run('kubectl --namespace portcullis get networkpolicies -o json')) as {
      readonly items: readonly Policy[];
    };
    const chosen = policies.items.filter(({ spec: { podSelector } }) =>
      Object.entries(podSelector.matchLabels ?? {}).every(([label, value]) => metadata.labels[label] === value),
    );
    expect(chosen.length).toBeGreaterThan(0);
    for (const { spec: policy } of chosen) {
      expect(policy.policyTypes).toContain('Egress');
      expect(policy.egress ?? []).toEqual([]);
    }
    // In place of kubelet: wget gave up.
    const terminated = { exitCode: 1, reason: 'Error' };
    const state = {
      name: 'try',
      image: 'busybox:1.37',
      imageID: '',
      ready: false,
      restartCount: 0,
      state: { terminated },
    };
    const patch = JSON.stringify({ status: { phase: 'Failed', containerStatuses: [state] } });
    await admin.run(`kubectl --namespace portcullis patch pod try --subresource status --type merge -p '${patch}'`);
    await typed.ended;
    await expect
      .poll(async () => (await admin.try('kubectl --namespace portcullis get pod try')).all)
      .toContain('NotFound');
  });
});

interface Further {
  readonly settings: object;
  readonly files: { readonly server: string; readonly caFile: string; readonly tokenFile: string };
}

interface Policy {
  readonly spec: {
    readonly podSelector: { readonly matchLabels?: Readonly<Record<string, string>> };
    readonly policyTypes: readonly string[];
    readonly egress?: readonly object[];
  };
}

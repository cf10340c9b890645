import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CliContext } from '../support/kubectl.ts';
import { newestClients } from '../support/kubectl-versions.ts';
import { expectJoinedAudit } from './audit-join.ts';
import { startRealInstance, type RealInstance } from './real-instance.ts';

const manifest = (image: string): string => `apiVersion: apps/v1
kind: Deployment
metadata: { name: shop, namespace: default }
spec:
  selector: { matchLabels: { app: shop } }
  template:
    metadata: { labels: { app: shop } }
    spec: { containers: [{ name: shop, image: "registry.example/shop:${image}" }] }
`;

const newest = await newestClients();
const KUBECTLS = [
  { version: 'of the system', program: 'kubectl' },
  { version: '1.35', program: newest.kubectl },
];

let real: RealInstance;
beforeAll(async () => {
  real = await startRealInstance();
});
afterAll(() => real.stop());

describe.each(KUBECTLS)('kubectl $version before a real API server', ({ program }) => {
  let root: CliContext;
  beforeAll(() => {
    root = new CliContext(real.instance, 'root', {}, program);
  });
  afterAll(() => root.close());

  async function done(...args: string[]): Promise<string> {
    const { code, stdout, all } = await root.kubectl(...args);
    expect(code, all).toBe(0);
    return stdout;
  }

  const apply = (image: string, ...args: string[]) =>
    root.kubectlWith(manifest(image), 'apply', '--server-side', '--filename', '-', ...args);

  it('talks with a kube-apiserver', async () => {
    const said = JSON.parse(await done('version', '--output', 'json')) as { serverVersion: { gitVersion: string } };
    expect(said.serverVersion.gitVersion).toMatch(/^v1\.\d+\.\d+$/);
    expect(await done('get', '--raw', '/readyz')).toBe('ok');
    expect(await done('api-resources', '--output', 'name')).toMatch(/^deployments\.apps$/m);
    expect(await done('get', 'namespaces', '--output', 'name')).toContain('namespace/kube-system');
  });

  it('applies on the server side: ownership of fields, a conflict, and force', async () => {
    expect((await apply('1')).stdout).toContain('serverside-applied');
    expect((await root.kubectlWith(manifest('2'), 'diff', '--server-side', '--filename', '-')).stdout).toMatch(
      /^\+.*shop:2/m,
    );
    const conflict = await apply('2', '--field-manager', 'somebody-else');
    expect(conflict.code).toBe(1);
    expect(conflict.stderr).toMatch(/conflict with "kubectl"[^]*\.image/);
    expect((await apply('2', '--field-manager', 'somebody-else', '--force-conflicts')).code).toBe(0);
    const owners = await done('get', 'deployment', 'shop', '--show-managed-fields', '--output', 'json');
    const { metadata } = JSON.parse(owners) as { metadata: { managedFields: { manager: string }[] } };
    expect(metadata.managedFields.map(({ manager }) => manager)).toEqual(
      expect.arrayContaining(['kubectl', 'somebody-else']),
    );
  });

  it('rolls out: restart, image, scale, pause, resume, and the status as it is reported', async () => {
    await done('rollout', 'restart', 'deployment/shop');
    await done('set', 'image', 'deployment/shop', 'shop=registry.example/shop:3');
    await done('scale', 'deployment/shop', '--replicas', '2');
    await done('rollout', 'pause', 'deployment/shop');
    await done('rollout', 'resume', 'deployment/shop');
    const waiting = root.openKubectl('rollout', 'status', 'deployment/shop', '--timeout', '60s');
    await waiting.until(/Waiting for deployment/);
    // No controller runs here; what it would report is written in its place.
    const generation = Number(await done('get', 'deployment', 'shop', '--output', 'jsonpath={.metadata.generation}'));
    const count = { replicas: 2, updatedReplicas: 2, readyReplicas: 2, availableReplicas: 2 };
    const patch = JSON.stringify({ status: { observedGeneration: generation, ...count } });
    await done('patch', 'deployment', 'shop', '--subresource', 'status', '--type', 'merge', '--patch', patch);
    const { code, stdout } = await waiting.finished;
    expect(code).toBe(0);
    expect(stdout).toContain('successfully rolled out');
    await done('delete', 'deployment', 'shop');
  });

  it('explains, from either form of the OpenAPI document', async () => {
    expect(await done('explain', 'deployment.spec.replicas')).toMatch(/FIELD: replicas <integer>/);
    expect(await done('explain', 'pod.spec', '--output', 'plaintext-openapiv2')).toMatch(/RESOURCE: +spec <Object>/);
  });

  it('watches, waits and deletes many', async () => {
    const watch = root.openKubectl('get', 'configmaps', '--watch', '--output', 'name');
    for (const name of ['one', 'two']) await done('create', 'configmap', name, '--from-literal', 'a=b');
    await watch.until(/configmap\/one[^]*configmap\/two/);
    watch.child.kill();
    const gone = root.openKubectl('wait', 'configmap/one', 'configmap/two', '--for', 'delete', '--timeout', '30s');
    await done('label', 'configmap', 'one', 'two', 'of=these');
    await done('delete', 'configmaps', '--selector', 'of=these');
    expect((await gone.finished).code).toBe(0);
  });

  it('reports what the user may do, by the rules of the API server', async () => {
    expect(await done('auth', 'can-i', 'create', 'clusterrolebindings')).toBe('yes\n');
    const alice = new CliContext(real.instance, 'alice', {}, program);
    expect((await alice.kubectl('auth', 'can-i', '--list')).stdout).toMatch(/^pods\/exec +\[\] +\[\] +\[get list/m);
    const refused = await alice.kubectl('get', 'secrets');
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain('secrets is forbidden: User "demo:alice" cannot list resource "secrets"');
  });
});

describe('the records of all this', () => {
  it('join on the Audit-ID, and say the same', async () => {
    expect(await expectJoinedAudit(real)).toBeGreaterThan(60);
  });
});

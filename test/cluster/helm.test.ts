import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CliContext } from '../support/kubectl.ts';
import { newestClients } from '../support/kubectl-versions.ts';
import { expectJoinedAudit } from './audit-join.ts';
import { startRealInstance, type RealInstance } from './real-instance.ts';

const CHART = {
  'Chart.yaml': 'apiVersion: v2\nname: tiny\nversion: 0.1.0\nappVersion: "1"\n',
  'values.yaml': 'greeting: hello\nreplicas: 1\n',
  'templates/settings.yaml': `apiVersion: v1
kind: ConfigMap
metadata: { name: "{{ .Release.Name }}-settings" }
data: { greeting: "{{ .Values.greeting }}" }
`,
  'templates/web.yaml': `apiVersion: apps/v1
kind: Deployment
metadata: { name: "{{ .Release.Name }}" }
spec:
  replicas: {{ .Values.replicas }}
  selector: { matchLabels: { app: "{{ .Release.Name }}" } }
  template:
    metadata: { labels: { app: "{{ .Release.Name }}" } }
    spec: { containers: [{ name: web, image: "registry.example/web:1" }] }
`,
};

describe('Helm 4 before a real API server', () => {
  let real: RealInstance;
  let root: CliContext;
  let program: string;
  let chart: string;

  beforeAll(async () => {
    real = await startRealInstance();
    program = (await newestClients()).helm;
    const home = join(real.instance.files.directory, 'helm');
    root = new CliContext(real.instance, 'root', {
      HELM_CACHE_HOME: join(home, 'cache'),
      HELM_CONFIG_HOME: join(home, 'config'),
      HELM_DATA_HOME: join(home, 'data'),
    });
    chart = join(home, 'tiny');
    await mkdir(join(chart, 'templates'), { recursive: true });
    for (const [name, text] of Object.entries(CHART)) await writeFile(join(chart, name), text);
  });
  afterAll(async () => {
    root.close();
    await real.stop();
  });

  async function helm(...args: string[]): Promise<string> {
    const { code, stdout, all } = await root.open(program, args).finished;
    expect(code, all).toBe(0);
    return stdout;
  }

  const greeting = async (): Promise<string> =>
    (await root.kubectl('get', 'configmap', 'shop-settings', '--output', 'jsonpath={.data.greeting}')).stdout;

  const history = async () =>
    (JSON.parse(await helm('history', 'shop', '--output', 'json')) as { status: string }[]).map(({ status }) => status);

  it('is version 4', async () => {
    expect(await helm('version', '--short')).toMatch(/^v4\./);
  });

  it('installs', async () => {
    expect(await helm('install', 'shop', chart)).toMatch(/STATUS: deployed/);
    expect(await greeting()).toBe('hello');
    expect(await helm('list', '--short')).toBe('shop\n');
    expect(await helm('get', 'manifest', 'shop')).toContain('kind: Deployment');
  });

  it('upgrades', async () => {
    await helm('upgrade', 'shop', chart, '--set', 'greeting=good evening,replicas=3');
    expect(await greeting()).toBe('good evening');
    expect(await history()).toEqual(['superseded', 'deployed']);
  });

  it('rejects an upgrade that the API server rejects, and says why', async () => {
    const { code, stderr } = await root.open(program, ['upgrade', 'shop', chart, '--set', 'replicas=many']).finished;
    expect(code).toBe(1);
    expect(stderr).toMatch(/\.spec\.replicas/);
    expect(await history()).toEqual(['superseded', 'deployed', 'failed']);
  });

  it('rolls back', async () => {
    await helm('rollback', 'shop', '1');
    expect(await greeting()).toBe('hello');
    expect((await history()).at(-1)).toBe('deployed');
  });

  it('uninstalls', async () => {
    expect(await helm('uninstall', 'shop')).toContain('uninstalled');
    expect((await root.kubectl('get', 'deployment', 'shop')).stderr).toContain('NotFound');
    expect(await helm('list', '--short', '--all-namespaces')).toBe('');
  });

  it('is rejected where the user may not keep releases', async () => {
    const alice = new CliContext(real.instance, 'alice', root.environment);
    const user = {
      PORTCULLIS_CACHE_DIR: join(real.instance.files.directory, 'cache-of-alice'),
      PORTCULLIS_DEMO_USER: 'alice',
    };
    Object.assign(alice.environment, user);
    const { code, stderr } = await alice.open(program, ['list']).finished;
    expect(code).toBe(1);
    expect(stderr).toContain('secrets is forbidden: User "demo:alice" cannot list resource "secrets"');
  });

  it('leaves two records that join on the Audit-ID, and say the same', async () => {
    expect(await expectJoinedAudit(real)).toBeGreaterThan(30);
  });
});

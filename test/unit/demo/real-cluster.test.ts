import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { startDemoCluster } from '../../../demo/upstream.ts';

interface Made {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly labels?: Record<string, string> };
  readonly rules?: readonly { readonly resources: readonly string[]; readonly resourceNames?: readonly string[] }[];
  readonly roleRef?: { readonly name: string };
  readonly subjects?: readonly { readonly kind: string; readonly name: string; readonly namespace?: string }[];
}

const KUBECTL = `#!/bin/sh
case "$*" in
  *apply*) cat > "$MADE" ;;
  *"create token"*) echo "$*" > "$MADE.token"; echo a-token ;;
  *"config view"*) echo '{ clusters: [{ cluster: { server: "https://192.0.2.1" } }] }' ;;
esac
`;

describe('a cluster that is in use', () => {
  let folder: string;
  let told: string[];
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'portcullis-real-cluster-'));
    await writeFile(join(folder, 'kubectl'), KUBECTL);
    await chmod(join(folder, 'kubectl'), 0o755);
    vi.stubEnv('PATH', `${folder}:${process.env['PATH']}`);
    vi.stubEnv('MADE', join(folder, 'made.yaml'));
    told = [];
    vi.spyOn(console, 'error').mockImplementation((line: string) => void told.push(line));
  });
  afterEach(async () => {
    vi.unstubAllEnvs();
    vi.restoreAllMocks();
    await rm(folder, { recursive: true, force: true });
  });

  const start = () =>
    startDemoCluster({ port: 0, certificates: { ca: '', cert: '', key: '' }, kubeconfig: '/home/a b/config' });

  async function made(): Promise<readonly Made[]> {
    const text = await readFile(join(folder, 'made.yaml'), 'utf8');
    return parseAllDocuments(text).map((document) => document.toJS() as Made);
  }

  it('gets names that no Portcullis in use there has', async () => {
    await start();
    const objects = await made();
    const accounts = objects.flatMap(({ subjects = [] }) => subjects).filter(({ kind }) => kind === 'ServiceAccount');
    expect(accounts).toMatchObject([{ name: 'portcullis-demo', namespace: 'portcullis-demo' }]);
    const names = objects.filter(({ kind }) => kind !== 'Pod').map(({ metadata }) => metadata.name);
    expect(names.filter((name) => !name.startsWith('portcullis-demo'))).toEqual([]);
    const roles = objects.flatMap(({ roleRef }) => (roleRef === undefined ? [] : [roleRef.name]));
    expect(roles).toEqual([
      'portcullis-demo',
      'cluster-admin',
      'portcullis-demo-developer',
      'portcullis-demo-secrets-reader',
    ]);
    expect(await readFile(join(folder, 'made.yaml.token'), 'utf8')).toContain(
      'create token portcullis-demo --namespace portcullis-demo',
    );
  });

  it('lets the account of Portcullis impersonate the demo’s own groups and no other', async () => {
    const { upstream } = await start();
    const rules = (await made()).flatMap(({ rules: all = [] }) => all);
    const groups = ['demo:developers', 'demo:admins', 'demo:auditors', 'granted:secrets-reader'];
    expect(rules.find(({ resources }) => resources.includes('groups'))?.resourceNames).toEqual(groups);
    expect(upstream.groups).toEqual(groups);
  });

  it('is told before and after what takes everything away again', async () => {
    const cluster = await start();
    const label = 'app.kubernetes.io/part-of';
    for (const { metadata } of await made()) expect(metadata.labels?.[label]).toBe('portcullis-demo');
    const command = `kubectl --kubeconfig '/home/a b/config' --namespace default delete clusterrolebindings,clusterroles,rolebindings,pods,secrets,namespaces --selector ${label}=portcullis-demo`;
    expect(told.join('\n')).toContain(command);
    expect(told.join('\n')).toContain('cluster-admin');
    told = [];
    await cluster.close();
    expect(told.join('\n')).toContain(command);
  });
});

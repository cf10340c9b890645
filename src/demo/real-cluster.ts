/**
 * Makes a real cluster ready for the demo: a namespace and service account for the gate with the rights of DESIGN 9 and no other,
 * and rights for the demo's groups.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { parse, stringify } from 'yaml';
import type { DemoUpstream } from './files.ts';

const run = promisify(execFile);
const NAMESPACE = 'portcullis';
const ACCOUNT = 'portcullis';

/** @param kubeconfig path of a kubeconfig whose current context may create RBAC objects */
export async function prepareRealCluster(kubeconfig: string): Promise<DemoUpstream> {
  const kubectl = async (...args: string[]): Promise<string> =>
    (await run('kubectl', ['--kubeconfig', kubeconfig, ...args], { maxBuffer: 16 * 1024 * 1024 })).stdout;
  const manifests = objects().map((object) => stringify(object));
  await applyText(kubeconfig, manifests.join('---\n'));
  const token = await kubectl('create', 'token', ACCOUNT, '--namespace', NAMESPACE, '--duration', '8h');
  const view = parse(await kubectl('config', 'view', '--raw', '--minify', '--flatten')) as {
    clusters: { cluster: { server: string; 'certificate-authority-data'?: string } }[];
  };
  const [first] = view.clusters;
  if (first === undefined) throw new Error(`${kubeconfig} has no cluster in its current context`);
  return {
    server: first.cluster.server,
    ca: Buffer.from(first.cluster['certificate-authority-data'] ?? '', 'base64').toString(),
    token: token.trim(),
  };
}

async function applyText(kubeconfig: string, text: string): Promise<void> {
  const child = run('kubectl', ['--kubeconfig', kubeconfig, 'apply', '--filename', '-']);
  child.child.stdin?.end(text);
  await child;
}

const clusterRole = (name: string, rules: readonly object[]): object => ({
  apiVersion: 'rbac.authorization.k8s.io/v1',
  kind: 'ClusterRole',
  metadata: { name },
  rules,
});

const binding = (name: string, role: string, subject: object, namespace?: string): object => ({
  apiVersion: 'rbac.authorization.k8s.io/v1',
  kind: namespace === undefined ? 'ClusterRoleBinding' : 'RoleBinding',
  metadata: { name, ...(namespace === undefined ? {} : { namespace }) },
  roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: role },
  subjects: [subject],
});

const group = (name: string): object => ({ kind: 'Group', apiGroup: 'rbac.authorization.k8s.io', name });

function objects(): readonly object[] {
  const pod = (name: string): object => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'default', labels: { app: 'web' } },
    spec: { containers: [{ name: 'web', image: 'registry.k8s.io/pause:3.10' }] },
  });
  return [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: NAMESPACE } },
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: ACCOUNT, namespace: NAMESPACE } },
    clusterRole('portcullis-gate', [
      { apiGroups: [''], resources: ['users', 'groups'], verbs: ['impersonate'] },
      {
        apiGroups: ['authentication.k8s.io'],
        resources: ['uids', 'userextras/portcullis.dev/session'],
        verbs: ['impersonate'],
      },
      { apiGroups: ['authentication.k8s.io'], resources: ['tokenreviews'], verbs: ['create'] },
      { apiGroups: ['authorization.k8s.io'], resources: ['subjectaccessreviews'], verbs: ['create'] },
    ]),
    binding('portcullis-gate', 'portcullis-gate', { kind: 'ServiceAccount', name: ACCOUNT, namespace: NAMESPACE }),
    binding('portcullis-demo-admins', 'cluster-admin', group('demo:admins')),
    binding('portcullis-demo-developers', 'edit', group('demo:developers'), 'default'),
    pod('web-1'),
    pod('web-2'),
  ];
}

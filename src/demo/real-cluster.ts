/**
 * Makes a real cluster ready for the demo: the gate's own service account as the guide has it, and rights for the demo's groups.
 */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { parse, parseAllDocuments, stringify } from 'yaml';
import type { DemoUpstream } from './files.ts';

const run = promisify(execFile);
const NAMESPACE = 'portcullis';
const ACCOUNT = 'portcullis';
/** The manifest that the guide has people apply, so that the demo tries what the guide says. */
const SERVICE_ACCOUNT = fileURLToPath(new URL('../../deploy/examples/service-account.yaml', import.meta.url));

/** @param kubeconfig path of a kubeconfig whose current context may create RBAC objects */
export async function prepareRealCluster(kubeconfig: string): Promise<DemoUpstream> {
  const kubectl = async (...args: string[]): Promise<string> =>
    (await run('kubectl', ['--kubeconfig', kubeconfig, ...args], { maxBuffer: 16 * 1024 * 1024 })).stdout;
  const manifests = [...(await serviceAccount()), ...objects()].map((object) => stringify(object));
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

interface Manifest {
  readonly rules?: { readonly resources: readonly string[]; resourceNames?: readonly string[] }[];
}

/** As the guide has it, but for any group: the demo passes on whatever groups its people have. */
async function serviceAccount(): Promise<readonly object[]> {
  const documents = parseAllDocuments(await readFile(SERVICE_ACCOUNT, 'utf8'));
  const manifests = documents.map((document) => document.toJS() as Manifest);
  for (const { rules = [] } of manifests) {
    for (const rule of rules) if (rule.resources.includes('groups')) delete rule.resourceNames;
  }
  return manifests;
}

async function applyText(kubeconfig: string, text: string): Promise<void> {
  const child = run('kubectl', ['--kubeconfig', kubeconfig, 'apply', '--filename', '-']);
  child.child.stdin?.end(text);
  await child;
}

/** Not the cluster's own `edit`: that one is filled by the controller manager, which a bare API server does not have. */
const DEVELOPER = {
  apiVersion: 'rbac.authorization.k8s.io/v1',
  kind: 'ClusterRole',
  metadata: { name: 'portcullis-demo-developer' },
  rules: [
    {
      apiGroups: [''],
      resources: ['pods', 'pods/log', 'pods/exec', 'pods/portforward', 'configmaps', 'services'],
      verbs: ['get', 'list', 'watch', 'create', 'update', 'patch', 'delete'],
    },
  ],
};

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
    binding('portcullis-demo-admins', 'cluster-admin', group('demo:admins')),
    DEVELOPER,
    binding('portcullis-demo-developers', 'portcullis-demo-developer', group('demo:developers'), 'default'),
    pod('web-1'),
    pod('web-2'),
  ];
}

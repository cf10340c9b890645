/**
 * Makes a real cluster ready for the demo: the service account of Portcullis as the guide creates it, and rights for the demo's groups.
 */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { parse, parseAllDocuments, stringify } from 'yaml';
import { DEMO_ROLE, USERS } from './demo.ts';
import type { DemoUpstream } from './files.ts';
import { defined } from '../src/core/defined.ts';

const run = promisify(execFile);
/** As the guide has it: of the account, its role and binding, and the namespace. */
const GUIDE_NAME = 'portcullis';
/** The cluster may already have a Portcullis under the guide's name, whose rights must not change. */
const OWN_NAME = 'portcullis-demo';
const LABEL = 'app.kubernetes.io/part-of';
/** The manifest that the guide applies, so that the demo tries what the guide says. */
const SERVICE_ACCOUNT = fileURLToPath(new URL('../deploy/examples/service-account.yaml', import.meta.url));

/** @returns the command that takes away all that the demo makes in that cluster */
export const removalCommand = (kubeconfig: string): string =>
  `kubectl --kubeconfig '${kubeconfig.replaceAll("'", `'\\''`)}' --namespace default delete clusterrolebindings,clusterroles,rolebindings,pods,secrets,namespaces --selector ${LABEL}=${OWN_NAME}`;

/**
 * @param kubeconfig path of a kubeconfig whose current context may create RBAC objects
 * @param thrownAway the cluster goes with the demo: names are the guide's, and any group may be tried
 */
export async function prepareRealCluster(kubeconfig: string, thrownAway: boolean): Promise<DemoUpstream> {
  const kubectl = async (...args: string[]): Promise<string> =>
    (await run('kubectl', ['--kubeconfig', kubeconfig, ...args], { maxBuffer: 16 * 1024 * 1024 })).stdout;
  const name = thrownAway ? GUIDE_NAME : OWN_NAME;
  const groups = thrownAway ? undefined : demoGroups();
  const manifests = [...(await serviceAccount(name, groups)), ...objects()].map(labelled);
  await applyText(kubeconfig, manifests.map((object) => stringify(object)).join('---\n'));
  const token = await kubectl('create', 'token', name, '--namespace', name, '--duration', '8h');
  const view = parse(await kubectl('config', 'view', '--raw', '--minify', '--flatten')) as {
    clusters: { cluster: { server: string; 'certificate-authority-data'?: string } }[];
  };
  const [first] = view.clusters;
  if (first === undefined) throw new Error(`${kubeconfig} has no cluster in its current context`);
  return {
    server: first.cluster.server,
    ca: Buffer.from(first.cluster['certificate-authority-data'] ?? '', 'base64').toString(),
    token: token.trim(),
    ...defined({ groups }),
  };
}

interface Manifest {
  readonly metadata: { name: string; namespace?: string; labels?: object };
  readonly rules?: { readonly resources: readonly string[]; resourceNames?: readonly string[] }[];
  readonly roleRef?: { name: string };
  readonly subjects?: { name: string; namespace?: string }[];
}

const demoGroups = (): readonly string[] => [
  ...new Set(USERS.flatMap(({ groups }) => groups.map((each) => `demo:${each}`))),
  ...DEMO_ROLE.groups,
];

/**
 * As the guide has it, under another name and for other groups.
 * @param groups absent: any
 */
async function serviceAccount(name: string, groups: readonly string[] | undefined): Promise<readonly Manifest[]> {
  const documents = parseAllDocuments(await readFile(SERVICE_ACCOUNT, 'utf8'));
  const manifests = documents.map((document) => document.toJS() as Manifest);
  for (const { metadata, rules = [], roleRef, subjects = [] } of manifests) {
    for (const named of [metadata, ...(roleRef === undefined ? [] : [roleRef]), ...subjects]) {
      named.name = name;
      if ('namespace' in named) named.namespace = name;
    }
    for (const rule of rules.filter(({ resources }) => resources.includes('groups'))) {
      if (groups === undefined) delete rule.resourceNames;
      else rule.resourceNames = groups;
    }
  }
  return manifests;
}

/** Marks what the demo leaves behind in the cluster, so that it can be found. */
const labelled = ({ metadata, ...rest }: Manifest): Manifest => ({
  ...rest,
  metadata: { ...metadata, labels: { ...metadata.labels, [LABEL]: OWN_NAME } },
});

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

/** What is asked for, in the tour. */
const SECRETS_READER = {
  apiVersion: 'rbac.authorization.k8s.io/v1',
  kind: 'ClusterRole',
  metadata: { name: 'portcullis-demo-secrets-reader' },
  rules: [{ apiGroups: [''], resources: ['secrets'], verbs: ['get', 'list', 'watch'] }],
};

const group = (name: string) => ({ kind: 'Group', apiGroup: 'rbac.authorization.k8s.io', name });

const binding = (name: string, role: string, subject: ReturnType<typeof group>, namespace?: string) => ({
  apiVersion: 'rbac.authorization.k8s.io/v1',
  kind: namespace === undefined ? 'ClusterRoleBinding' : 'RoleBinding',
  metadata: { name, ...defined({ namespace }) },
  roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: role },
  subjects: [subject],
});

function objects(): readonly Manifest[] {
  const pod = (name: string) => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'default', labels: { app: 'web' } },
    spec: { containers: [{ name: 'web', image: 'registry.k8s.io/pause:3.10' }] },
  });
  const secret = (name: string) => ({ apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace: 'default' } });
  return [
    binding('portcullis-demo-admins', 'cluster-admin', group('demo:admins')),
    DEVELOPER,
    binding('portcullis-demo-developers', 'portcullis-demo-developer', group('demo:developers'), 'default'),
    SECRETS_READER,
    ...DEMO_ROLE.groups.map((name) =>
      binding('portcullis-demo-secrets-readers', 'portcullis-demo-secrets-reader', group(name), 'default'),
    ),
    secret('portcullis-demo-key'),
    pod('web-1'),
    pod('web-2'),
  ];
}

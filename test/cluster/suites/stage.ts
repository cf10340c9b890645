/**
 * Where Kubernetes' own suites run: an API server with the controllers that belong to it, and no node. Straight at it, with the rights of
 * `system:masters`; or through two replicas that share a Redis, behind a load balancer, with the exec plugin, as a user whom the cluster makes an admin.
 */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { parse, stringify } from 'yaml';
import { freePort } from '../../../demo/ports.ts';
import { startFront } from '../../fixtures/front.ts';
import { startTestInstance, temporaryFolder } from '../../support/instance.ts';
import { CliContext } from '../../support/kubectl.ts';
import { staged, type Stops } from '../../support/staged.ts';
import { startHardenedApiServer, type HardenedApiServer } from '../hardened-api-server.ts';
import { asset } from './source.ts';

export const WAYS = ['direct', 'through'] as const;
export type Way = (typeof WAYS)[number];

export interface SuiteStage {
  /** Has `home/.kube/config`, whose context is `test`, and `bin/` with the programs. */
  readonly folder: string;
  /** Where the API of this way listens on loopback. */
  readonly port: number;
  readonly environment: NodeJS.ProcessEnv;
  stop(): Promise<void>;
}

interface Kubeconfig {
  readonly clusters: { readonly name: string; readonly cluster: Record<string, string> }[];
  readonly contexts: { name: string; readonly context: Record<string, string> }[];
  readonly users: { readonly user: Record<string, unknown> }[];
}

/** As kubectl's suite starts it (hack/make-rules/test-cmd.sh), beside what our own tests always have. */
const apiServerOptions = async (source: string) => ({
  clientCaFile: join(source, 'hack/testdata/ca/ca.crt'),
  tokens: await readFile(join(source, 'hack/testdata/auth-tokens.csv'), 'utf8'),
  flags: [
    // Both: roles are filled, and everything is allowed, which the suite's further users need.
    '--authorization-mode=AlwaysAllow',
    '--enable-admission-plugins=LimitRanger,ResourceQuota',
    '--disable-admission-plugins=DefaultStorageClass,DefaultTolerationSeconds,StorageObjectInUseProtection',
    '--service-cluster-ip-range=10.0.0.0/24',
  ],
});

export const startSuiteStage = (source: string, way: Way): Promise<SuiteStage> =>
  staged(async (stops) => {
    const folder = await temporaryFolder();
    stops.push(() => rm(folder, { recursive: true, force: true }));
    const server = await startHardenedApiServer(await apiServerOptions(source));
    stops.push(() => server.close());
    const controllers = await startControllers(source, folder, server);
    stops.push(controllers);
    await writePrograms(folder, way);
    const { kubeconfig, environment } =
      way === 'direct'
        ? { kubeconfig: await readKubeconfig(server.kubeconfig), environment: process.env }
        : await startReplicas(folder, server, stops);
    const port = await writeHome(folder, kubeconfig);
    return { folder, port, environment };
  });

const readKubeconfig = async (file: string): Promise<Kubeconfig> => parse(await readFile(file, 'utf8')) as Kubeconfig;

/** @returns how to stop them */
async function startControllers(
  source: string,
  folder: string,
  { kubeconfig }: HardenedApiServer,
): Promise<() => Promise<void>> {
  const [first] = (await readKubeconfig(kubeconfig)).clusters;
  const rootCa = join(folder, 'root-ca.crt');
  await writeFile(rootCa, Buffer.from(first?.cluster['certificate-authority-data'] ?? '', 'base64'));
  const child = spawn(
    asset('kube-controller-manager'),
    [
      `--kubeconfig=${kubeconfig}`,
      '--leader-elect=false',
      '--bind-address=127.0.0.1',
      `--secure-port=${await freePort()}`,
      `--cert-dir=${join(folder, 'controllers')}`,
      // A test waits for it, and five minutes is the default.
      '--resource-quota-sync-period=20s',
      `--root-ca-file=${rootCa}`,
      `--cluster-signing-cert-file=${join(source, 'hack/testdata/ca/ca.crt')}`,
      `--cluster-signing-key-file=${join(source, 'hack/testdata/ca/ca.key')}`,
    ],
    { stdio: 'ignore' },
  );
  return async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  };
}

/**
 * For kubectl's suite, which looks for both programs here first.
 * The suite has a token of an administrator of its own, in flags and in headers of curl. The proxy's users have none, so through the proxy both
 * programs are given the credentials of the kubeconfig instead; what they are asked for stays as it is.
 */
const THROUGH = {
  kubectl: `#!/bin/sh
for each; do
  shift
  [ "$each" = --token=admin-token ] || set -- "$@" "$each"
done
exec '${asset('kubectl')}' "$@"
`,
  curl: `#!/bin/sh
credential=$("$PORTCULLIS_COMMAND" get-token --server "$PORTCULLIS_SERVER" --cluster "$PORTCULLIS_CLUSTER")
value() { printf %s "$credential" | jq --raw-output ".status.$1 // empty"; }
files=$(mktemp -d)
trap 'rm -r "$files"' EXIT
value clientCertificateData >"$files/client.crt"
value clientKeyData >"$files/client.key"
own=''
for each; do
  shift
  if [ "$each" = 'Authorization: Bearer admin-token' ]; then
    each="Authorization: Bearer $(value token)"
    [ ! -s "$files/client.key" ] || own=yes
  fi
  set -- "$@" "$each"
done
[ -z "$own" ] || set -- --cert "$files/client.crt" --key "$files/client.key" "$@"
/usr/bin/curl "$@"
`,
};

async function writePrograms(folder: string, way: Way): Promise<void> {
  const bin = join(folder, 'bin');
  await mkdir(bin);
  await symlink(asset('kubectl-convert'), join(bin, 'kubectl-convert'));
  if (way === 'direct') return symlink(asset('kubectl'), join(bin, 'kubectl'));
  await Promise.all(Object.entries(THROUGH).map(([name, text]) => writeFile(join(bin, name), text, { mode: 0o755 })));
}

/**
 * Where kubectl's suite looks for it, and changes it. The suite goes to `127.0.0.1` with a flag and without: kubectl has to take them for one server,
 * of which it caches what resources there are.
 * @returns the port of the server
 */
async function writeHome(folder: string, { clusters, contexts, users }: Kubeconfig): Promise<number> {
  const { port } = new URL(clusters[0]?.cluster['server'] ?? '');
  for (const { cluster } of clusters) cluster['server'] = `https://127.0.0.1:${port}`;
  const at = join(folder, 'home', '.kube');
  await mkdir(at, { recursive: true, mode: 0o700 });
  const [context] = contexts;
  const file = {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'test',
    clusters,
    contexts: [{ ...context, name: 'test' }],
    users,
  };
  await writeFile(join(at, 'config'), stringify(file, { lineWidth: 0 }), { mode: 0o600 });
  // As it was before the suite, for anyone who looks for a difference.
  await copyFile(join(at, 'config'), join(folder, 'kubeconfig'));
  return Number(port);
}

async function startReplicas(
  folder: string,
  { kubeconfig: admin }: HardenedApiServer,
  stops: Stops,
): Promise<{ readonly kubeconfig: Kubeconfig; readonly environment: NodeJS.ProcessEnv }> {
  const instance = await startTestInstance({ kubeconfig: admin, redis: true });
  stops.push(() => instance.stop());
  await widen(instance.files.config);
  const replicas = [await instance.replica(), await instance.replica()];
  await leaveNothingOfTheDemo(admin);
  const at = { api: await freePort(), web: await freePort() };
  const front = await startFront(at, () => replicas);
  stops.push(async () => front[Symbol.asyncDispose]());
  const kubeconfig = await readKubeconfig(instance.files.kubeconfig);
  for (const { cluster } of kubeconfig.clusters) cluster['server'] = `https://localhost:${at.api}`;
  const { environment } = new CliContext(instance, 'root');
  const { KUBECONFIG: _kubeconfig, KUBECACHEDIR: _cache, ...rest } = environment;
  const own = {
    PORTCULLIS_COMMAND: instance.files.command,
    PORTCULLIS_SERVER: instance.urls.web,
    PORTCULLIS_CLUSTER: 'demo',
    // kubectl starts the plugin thousands of times.
    NODE_COMPILE_CACHE: join(folder, 'compiled'),
  };
  return { kubeconfig, environment: { ...rest, ...own } };
}

/** The suite goes to that address, and acts as users of groups that the demo does not have. */
async function widen(config: string): Promise<void> {
  const file = parse(await readFile(config, 'utf8')) as { clusters: { hosts: string[]; impersonate: object }[] };
  for (const cluster of file.clusters) {
    cluster.hosts = ['localhost', '127.0.0.1'];
    cluster.impersonate = { groups: '*' };
  }
  await writeFile(config, stringify(file));
}

/** The suite runs `delete namespaces --all`: that of the proxy's account has to stay. */
const KEEP_NAMESPACE = {
  name: 'keep-portcullis-demo',
  policy: {
    failurePolicy: 'Fail',
    matchConstraints: {
      resourceRules: [
        {
          apiGroups: [''],
          apiVersions: ['v1'],
          operations: ['DELETE'],
          resources: ['namespaces'],
          resourceNames: ['portcullis-demo'],
        },
      ],
    },
    validations: [{ expression: 'false', message: 'the proxy has its account in it' }],
  },
};

/**
 * The suite expects an empty cluster. And it runs `apply --prune --all`, which takes away what was applied, so the account of the proxy too if it had
 * been: the mark of it goes.
 */
async function leaveNothingOfTheDemo(kubeconfig: string): Promise<void> {
  const kubectl = (...args: string[]) => promisify(execFile)(asset('kubectl'), ['--kubeconfig', kubeconfig, ...args]);
  const selector = ['--selector', 'app.kubernetes.io/part-of=portcullis-demo'];
  await kubectl('delete', 'pods,secrets', '--namespace', 'default', '--force', ...selector);
  const mark = 'kubectl.kubernetes.io/last-applied-configuration-';
  await kubectl('annotate', 'namespaces,serviceaccounts', '--all-namespaces', ...selector, mark);
  const { name, policy } = KEEP_NAMESPACE;
  const object = (kind: string, spec: object) => ({
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind,
    metadata: { name },
    spec,
  });
  const objects = [
    object('ValidatingAdmissionPolicy', policy),
    object('ValidatingAdmissionPolicyBinding', { policyName: name, validationActions: ['Deny'] }),
  ];
  const file = `${kubeconfig}.policy`;
  await writeFile(file, objects.map((each) => stringify(each)).join('---\n'));
  await kubectl('create', '--filename', file);
}

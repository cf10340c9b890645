/**
 * A node for a real API server: containerd, runc and the kubelet, as root. Pods are on the host's network, and the node is `127.0.0.1`, so that only
 * loopback is used.
 *
 * All of it runs in a mount and a PID namespace of its own, whose first process ends when this one closes the pipe to it, also by being killed. Then
 * every container ends and every mount goes. What kubelet and containerd write outside their folder never reaches the machine's disk.
 */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import { stringify } from 'yaml';
import { freePort } from '../../demo/ports.ts';
import { temporaryFolder } from '../support/instance.ts';
import { busyboxImage } from './container-image.ts';
import type { HardenedApiServer } from './hardened-api-server.ts';

const run = promisify(execFile);
/** What an operator would look at first. */
const LOG_TAIL = 4000;

/** The name of the node. The kubelet takes a name that is an address as the node's address, also on loopback. */
export const NODE = '127.0.0.1';
/** The image of busybox that the node has. */
export const BUSYBOX = 'portcullis.example/busybox:1';

/** Files of the certificates between an API server and its kubelets, made before either starts. */
export interface KubeletCertificates {
  /** For the API server. */
  readonly flags: readonly string[];
  readonly folder: string;
  remove(): Promise<void>;
}

export interface RealNode {
  stop(): Promise<void>;
}

/** One CA for both directions: the kubelet's serving certificate, and the API server's own as a client of it. */
export async function makeKubeletCertificates(): Promise<KubeletCertificates> {
  const folder = await temporaryFolder();
  const at = (name: string): string => join(folder, name);
  const openssl = (...args: readonly string[]) => run('openssl', args);
  const key = (name: string) => ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', at(name)];
  const ca = ['-CA', at('ca.crt'), '-CAkey', at('ca.key')];
  const made = async (name: string, subject: string, ...more: readonly string[]): Promise<void> => {
    const files = [...key(`${name}.key`), '-out', at(`${name}.crt`)];
    await openssl('req', '-x509', '-days', '2', ...files, '-subj', subject, ...more);
  };
  const leaf = (use: string) => [
    ...ca,
    ...['basicConstraints=critical,CA:FALSE', `extendedKeyUsage=${use}`].flatMap((each) => ['-addext', each]),
  ];
  await made('ca', '/CN=kubelet-ca');
  await made('kubelet', '/CN=kubelet', ...leaf('serverAuth'), '-addext', `subjectAltName=IP:${NODE}`);
  await made('client', '/O=system:masters/CN=kube-apiserver-kubelet-client', ...leaf('clientAuth'));
  return {
    flags: [
      `--kubelet-certificate-authority=${at('ca.crt')}`,
      `--kubelet-client-certificate=${at('client.crt')}`,
      `--kubelet-client-key=${at('client.key')}`,
      '--kubelet-preferred-address-types=InternalIP',
    ],
    folder,
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}

/**
 * @param apiServer started with the flags of `certificates`
 * @throws Error with the last lines of both logs where the node does not become ready
 */
export async function startNode(apiServer: HardenedApiServer, certificates: KubeletCertificates): Promise<RealNode> {
  if (process.getuid?.() !== 0) throw new Error('a node starts containers on this machine: run test:cluster as root');
  const folder = await temporaryFolder();
  await writeNodeFiles(folder, certificates);
  const child = spawn('unshare', [...NAMESPACES, 'sh', '-euc', AS_A_NODE, ...argumentsFor(folder, apiServer)], {
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  const stop = async (): Promise<void> => {
    await ended(child);
    await run('sh', ['-euc', REMOVE_CGROUPS, 'sh', folder]);
    await rm(folder, { recursive: true, force: true });
  };
  const ctr = (...args: readonly string[]) =>
    run('ctr', ['--address', join(folder, 'containerd.sock'), '--namespace', 'k8s.io', ...args]);
  const isReady = ['wait', `node/${NODE}`, '--for=condition=Ready', '--timeout=5s'];
  try {
    await until('containerd responds', folder, child, () => ctr('version'));
    const { archive } = await busyboxImage(join(folder, 'busybox'), BUSYBOX);
    await ctr('images', 'import', '--snapshotter', 'native', archive);
    await until('the node is ready', folder, child, () =>
      run('kubectl', ['--kubeconfig', apiServer.kubeconfig, ...isReady]),
    );
    return { stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

const NAMESPACES = ['--mount', '--pid', '--fork', '--mount-proc'];

const AS_A_NODE = `
folder=$1 assets=$2 kubeconfig=$3; shift 3
mount -t tmpfs none /run
mount -t tmpfs none /var/log
PATH=$PATH:/usr/sbin
# A shell lets what it starts in the background ignore SIGINT, and so would every program in a pod.
env --default-signal containerd --config "$folder/containerd.toml" >"$folder/containerd.log" 2>&1 &
for try in $(seq 100); do [ -S "$folder/containerd.sock" ] || sleep 0.1; done
trap 'exit 1' TERM
{
  set -- --config "$folder/kubelet.yaml" --kubeconfig "$kubeconfig" --root-dir "$folder/kubelet" "$@"
  env --default-signal "$assets/kubelet" "$@" >"$folder/kubelet.log" 2>&1 || true
  kill -TERM $$
} &
read -r _ || true
`;

/** Empty by then. The state has a folder for each container, and the tree of cgroups one of the same name in every hierarchy. */
const REMOVE_CGROUPS = `
for container in "$1"/state/io.containerd.runtime.v2.task/k8s.io/*; do
  find /sys/fs/cgroup -depth -type d -path "*/k8s.io/\${container##*/}*" -exec rmdir {} +
done
rmdir /sys/fs/cgroup/k8s.io /sys/fs/cgroup/*/k8s.io 2>/dev/null || true
`;

const argumentsFor = (folder: string, { kubeconfig }: HardenedApiServer): readonly string[] => [
  'sh',
  folder,
  process.env['KUBEBUILDER_ASSETS'] ?? '',
  kubeconfig,
  `--hostname-override=${NODE}`,
];

async function writeNodeFiles(folder: string, certificates: KubeletCertificates): Promise<void> {
  const socket = join(folder, 'containerd.sock');
  const cni = join(folder, 'cni');
  await mkdir(cni);
  // Never called, because no pod has a network of its own; without one, the node would not become ready.
  await writeFile(
    join(cni, 'none.conflist'),
    JSON.stringify({ cniVersion: '1.0.0', name: 'none', plugins: [{ type: 'loopback' }] }),
  );
  await writeFile(
    join(folder, 'containerd.toml'),
    `version = 2
root = "${folder}/containerd"
state = "${folder}/state"
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.nri.v1.nri"]
[grpc]
address = "${socket}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "${BUSYBOX}"
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
conf_dir = "${cni}"
bin_dir = "${cni}"
# Copies, where overlayfs may not work on the machine's own disk.
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "native"
`,
  );
  await writeFile(
    join(folder, 'kubelet.yaml'),
    stringify({
      apiVersion: 'kubelet.config.k8s.io/v1beta1',
      kind: 'KubeletConfiguration',
      address: NODE,
      port: await freePort(),
      healthzPort: 0,
      tlsCertFile: join(certificates.folder, 'kubelet.crt'),
      tlsPrivateKeyFile: join(certificates.folder, 'kubelet.key'),
      authentication: {
        anonymous: { enabled: false },
        webhook: { enabled: true },
        x509: { clientCAFile: join(certificates.folder, 'ca.crt') },
      },
      authorization: { mode: 'Webhook' },
      containerRuntimeEndpoint: `unix://${socket}`,
      podLogsDir: join(folder, 'logs'),
      volumePluginDir: join(folder, 'plugins'),
      resolvConf: '',
      // What a sandbox may not let it do.
      cgroupDriver: 'cgroupfs',
      cgroupsPerQOS: false,
      enforceNodeAllocatable: [],
      failCgroupV1: false,
      failSwapOn: false,
      localStorageCapacityIsolation: false,
      makeIPTablesUtilChains: false,
      // A disk of the machine that is nearly full is not the test's.
      evictionHard: {
        'memory.available': '0%',
        'nodefs.available': '0%',
        'imagefs.available': '0%',
        'nodefs.inodesFree': '0%',
        'imagefs.inodesFree': '0%',
      },
      imageGCHighThresholdPercent: 100,
    }),
  );
}

async function until(
  what: string,
  folder: string,
  child: ChildProcess,
  question: () => Promise<unknown>,
): Promise<void> {
  for (const deadline = Date.now() + 90_000; Date.now() < deadline && child.exitCode === null; await pause(250)) {
    const answered = await question().then(
      () => true,
      () => false,
    );
    if (answered) return;
  }
  const logs = await Promise.all(
    ['containerd.log', 'kubelet.log'].map((name) => readFile(join(folder, name), 'utf8').catch(() => '')),
  );
  throw new Error(
    `${what}: not in time. The last of containerd, then of the kubelet:\n${logs.map((text) => text.slice(-LOG_TAIL)).join('\n')}`,
  );
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.stdin?.end();
  await gone;
}

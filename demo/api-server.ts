/** A real kube-apiserver with etcd, both given by `KUBEBUILDER_ASSETS`, in a folder that goes when they stop. */
import { spawn, type ChildProcess } from 'node:child_process';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Agent, request } from 'undici';
import { stringify } from 'yaml';
import type { DemoCertificates } from './certificates.ts';
import { freePorts } from './ports.ts';

const READY_TIMEOUT_MS = 90_000;
const POLL_MS = 250;

export interface ApiServer {
  /** Path of a kubeconfig with the rights of `system:masters`. */
  readonly kubeconfig: string;
  close(): Promise<void>;
}

export interface ApiServerOptions {
  /** Folder with `etcd` and `kube-apiserver`. */
  readonly assets: string;
  readonly port: number;
  readonly certificates: DemoCertificates;
  /** Where it writes a line for each request (level Metadata); it keeps none when absent. */
  readonly auditLog?: string;
  /** As `--feature-gates` takes them. */
  readonly featureGates?: string;
}

export async function startApiServer(options: ApiServerOptions): Promise<ApiServer> {
  const folder = await mkdtemp(join(tmpdir(), 'portcullis-apiserver-'));
  const children: ChildProcess[] = [];
  const close = async (): Promise<void> => {
    for (const child of children.toReversed()) await end(child);
    await rm(folder, { recursive: true, force: true });
  };
  try {
    const [etcd = 0, etcdPeer = 0] = await freePorts(2);
    const token = randomBytes(24).toString('base64url');
    const at = (name: string): string => join(folder, name);
    await writeServerFiles(folder, token, options);
    const run = (program: string, args: readonly string[]): void => {
      children.push(spawn(join(options.assets, program), args, { stdio: 'ignore' }));
    };
    run('etcd', [
      `--data-dir=${at('etcd')}`,
      `--listen-client-urls=http://127.0.0.1:${etcd}`,
      `--advertise-client-urls=http://127.0.0.1:${etcd}`,
      `--listen-peer-urls=http://127.0.0.1:${etcdPeer}`,
      '--unsafe-no-fsync',
    ]);
    run('kube-apiserver', [
      `--etcd-servers=http://127.0.0.1:${etcd}`,
      '--bind-address=127.0.0.1',
      `--secure-port=${options.port}`,
      `--cert-dir=${at('certs')}`,
      `--tls-cert-file=${at('server.crt')}`,
      `--tls-private-key-file=${at('server.key')}`,
      `--token-auth-file=${at('tokens.csv')}`,
      '--authorization-mode=RBAC',
      '--service-account-issuer=https://kubernetes.default.svc',
      `--service-account-key-file=${at('sa.pub')}`,
      `--service-account-signing-key-file=${at('sa.key')}`,
      '--service-cluster-ip-range=10.96.0.0/16',
      // Without a controller manager nothing creates the default service account that this plugin waits for.
      '--disable-admission-plugins=ServiceAccount',
      ...(options.featureGates === undefined ? [] : [`--feature-gates=${options.featureGates}`]),
      ...(options.auditLog === undefined
        ? []
        : [`--audit-log-path=${options.auditLog}`, `--audit-policy-file=${at('audit-policy.yaml')}`]),
    ]);
    await ready(`https://localhost:${options.port}/readyz`, options.certificates.ca, token, children);
    return { kubeconfig: at('kubeconfig'), close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function writeServerFiles(
  folder: string,
  token: string,
  { port, certificates }: ApiServerOptions,
): Promise<void> {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const name = 'masters';
  const files: Record<string, string> = {
    'server.crt': certificates.cert,
    'server.key': certificates.key,
    'sa.pub': publicKey.export({ type: 'spki', format: 'pem' }).toString(),
    'sa.key': privateKey.export({ type: 'sec1', format: 'pem' }).toString(),
    'tokens.csv': `${token},${name},${name},system:masters\n`,
    'audit-policy.yaml': stringify({
      apiVersion: 'audit.k8s.io/v1',
      kind: 'Policy',
      omitStages: ['RequestReceived'],
      rules: [{ level: 'Metadata' }],
    }),
    kubeconfig: stringify({
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': name,
      clusters: [
        {
          name,
          cluster: {
            server: `https://localhost:${port}`,
            'certificate-authority-data': Buffer.from(certificates.ca).toString('base64'),
          },
        },
      ],
      contexts: [{ name, context: { cluster: name, user: name } }],
      users: [{ name, user: { token } }],
    }),
  };
  await Promise.all(Object.entries(files).map(([file, text]) => writeFile(join(folder, file), text, { mode: 0o600 })));
}

async function ready(url: string, ca: string, token: string, children: readonly ChildProcess[]): Promise<void> {
  const dispatcher = new Agent({ connect: { ca } });
  const deadline = Date.now() + READY_TIMEOUT_MS;
  while (Date.now() < deadline) {
    const gone = children.find((child) => child.exitCode !== null || child.signalCode !== null);
    if (gone !== undefined) throw new Error(`${gone.spawnfile} ended before it was ready`);
    const status = await request(url, { dispatcher, headers: { authorization: `Bearer ${token}` } }).then(
      async (answer) => {
        await answer.body.dump();
        return answer.statusCode;
      },
      () => 0,
    );
    if (status === 200) {
      await dispatcher.close();
      return;
    }
    await delay(POLL_MS);
  }
  throw new Error(`${url} was not ready after ${READY_TIMEOUT_MS / 1000} s`);
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGTERM');
  await Promise.race([gone, delay(10_000, undefined, { ref: false }).then(() => child.kill('SIGKILL'))]);
}

/** A real kube-apiserver as deploy/examples/apiserver has it: that audit policy, and Secrets encrypted on their way to etcd. */
import { spawn, type ChildProcess } from 'node:child_process';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { copyFile, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Agent, request } from 'undici';
import { stringify } from 'yaml';
import { makeCertificates } from '../../demo/certificates.ts';
import { freePortBase, temporaryFolder } from '../support/instance.ts';

const EXAMPLES = fileURLToPath(new URL('../../deploy/examples/apiserver/', import.meta.url));

export interface HardenedApiServer {
  /** Path of a kubeconfig with the rights of `system:masters`. */
  readonly kubeconfig: string;
  /** Path of its own audit log. */
  readonly auditLog: string;
  /** Kills the API server, and starts it again when `meanwhile` has resolved. @returns once it is started, ready or not */
  outage(meanwhile: () => Promise<unknown>): Promise<void>;
  /** Resolves when it says that it is ready. */
  ready(): Promise<void>;
  /** The bytes that etcd keeps under a key, or nothing. */
  stored(key: string): Promise<Buffer | undefined>;
  close(): Promise<void>;
}

export interface HardenedOptions {
  /** PEM. The CA of client certificates: a client with one is the user that it names. */
  readonly clientCaFile?: string;
  /** In addition to its own. */
  readonly flags?: readonly string[];
  /** Lines of a token file, in addition to its own. */
  readonly tokens?: string;
}

export async function startHardenedApiServer({
  clientCaFile,
  flags: more = [],
  tokens = '',
}: HardenedOptions = {}): Promise<HardenedApiServer> {
  const folder = await temporaryFolder();
  const at = (name: string): string => join(folder, name);
  const children: ChildProcess[] = [];
  const assets = process.env['KUBEBUILDER_ASSETS'] ?? '';
  const start = (program: string, args: readonly string[]): ChildProcess => {
    const child = spawn(join(assets, program), args, { stdio: 'ignore' });
    children.push(child);
    return child;
  };
  const close = async (): Promise<void> => {
    for (const child of children.toReversed()) await end(child);
    await rm(folder, { recursive: true, force: true });
  };
  try {
    const port = await freePortBase();
    const etcd = `http://127.0.0.1:${port + 1}`;
    const { ca, token } = await writeFiles(folder, port, tokens);
    start('etcd', [
      `--data-dir=${at('etcd')}`,
      `--listen-client-urls=${etcd}`,
      `--advertise-client-urls=${etcd}`,
      `--listen-peer-urls=http://127.0.0.1:${port + 2}`,
      '--unsafe-no-fsync',
    ]);
    const byCertificate = clientCaFile === undefined ? [] : [`--client-ca-file=${clientCaFile}`];
    const startServer = () => start('kube-apiserver', [...flags(folder, port, etcd), ...byCertificate, ...more]);
    let apiServer = startServer();
    const untilReady = () => ready(`https://localhost:${port}/readyz`, { ca, token, children });
    await untilReady();
    return {
      kubeconfig: at('kubeconfig'),
      auditLog: at('audit.log'),
      outage: async (meanwhile) => {
        const gone = once(apiServer, 'exit');
        children.splice(children.indexOf(apiServer), 1);
        apiServer.kill('SIGKILL');
        await gone;
        await meanwhile().finally(() => {
          apiServer = startServer();
        });
      },
      ready: untilReady,
      stored: (key) => stored(etcd, key),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

const flags = (folder: string, port: number, etcd: string): readonly string[] => [
  `--etcd-servers=${etcd}`,
  '--bind-address=127.0.0.1',
  `--secure-port=${port}`,
  `--cert-dir=${join(folder, 'certs')}`,
  `--tls-cert-file=${join(folder, 'server.crt')}`,
  `--tls-private-key-file=${join(folder, 'server.key')}`,
  `--token-auth-file=${join(folder, 'tokens.csv')}`,
  '--authorization-mode=RBAC',
  '--service-account-issuer=https://kubernetes.default.svc',
  `--service-account-key-file=${join(folder, 'sa.pub')}`,
  `--service-account-signing-key-file=${join(folder, 'sa.key')}`,
  '--service-cluster-ip-range=10.96.0.0/16',
  // Without a controller manager, nothing makes the default service account that this plugin waits for.
  '--disable-admission-plugins=ServiceAccount',
  `--audit-log-path=${join(folder, 'audit.log')}`,
  `--audit-policy-file=${join(folder, 'audit-policy.yaml')}`,
  `--encryption-provider-config=${join(folder, 'encryption-configuration.yaml')}`,
];

/** The examples as they are, but for the key, which every operator makes. */
async function writeFiles(
  folder: string,
  port: number,
  tokens: string,
): Promise<{ readonly ca: string; readonly token: string }> {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const certificates = await makeCertificates(['localhost', '127.0.0.1'], Date.now());
  const token = randomBytes(24).toString('base64url');
  await copyFile(`${EXAMPLES}audit-policy.yaml`, join(folder, 'audit-policy.yaml'));
  const encryption = await readFile(`${EXAMPLES}encryption-configuration.yaml`, 'utf8');
  const server = `https://localhost:${port}`;
  const caData = Buffer.from(certificates.ca).toString('base64');
  const name = 'masters';
  const files: Record<string, string> = {
    'encryption-configuration.yaml': encryption.replace(
      'REPLACE-WITH-32-BYTES-IN-BASE64',
      randomBytes(32).toString('base64'),
    ),
    'server.crt': certificates.cert,
    'server.key': certificates.key,
    'sa.pub': publicKey.export({ type: 'spki', format: 'pem' }).toString(),
    'sa.key': privateKey.export({ type: 'sec1', format: 'pem' }).toString(),
    'tokens.csv': `${token},${name},${name},system:masters\n${tokens}`,
    kubeconfig: stringify({
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': name,
      clusters: [{ name, cluster: { server, 'certificate-authority-data': caData } }],
      contexts: [{ name, context: { cluster: name, user: name } }],
      users: [{ name, user: { token } }],
    }),
  };
  await Promise.all(Object.entries(files).map(([file, text]) => writeFile(join(folder, file), text, { mode: 0o600 })));
  return { ca: certificates.ca, token };
}

interface Readiness {
  readonly ca: string;
  readonly token: string;
  readonly children: readonly ChildProcess[];
}

async function ready(url: string, { ca, token, children }: Readiness): Promise<void> {
  const dispatcher = new Agent({ connect: { ca } });
  for (const deadline = Date.now() + 120_000; Date.now() < deadline; await pause(250)) {
    const gone = children.find(({ exitCode }) => exitCode !== null);
    if (gone !== undefined) throw new Error(`${gone.spawnfile} ended before it was ready`);
    const answer = await request(url, { dispatcher, headers: { authorization: `Bearer ${token}` } }).catch(
      () => undefined,
    );
    await answer?.body.dump();
    if (answer?.statusCode === 200) return dispatcher.close();
  }
  throw new Error(`${url} was not ready in time`);
}

/** By etcd's JSON gateway (etcd 3.4 or newer). */
async function stored(etcd: string, key: string): Promise<Buffer | undefined> {
  const body = JSON.stringify({ key: Buffer.from(key).toString('base64') });
  const answer = await request(`${etcd}/v3/kv/range`, { method: 'POST', body });
  const { kvs } = (await answer.body.json()) as { readonly kvs?: readonly { readonly value: string }[] };
  return kvs?.[0] === undefined ? undefined : Buffer.from(kvs[0].value, 'base64');
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGTERM');
  await gone;
}

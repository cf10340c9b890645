/** The demo's folder: everything that a real installation would keep in Secrets and ConfigMaps, in plain files to look at. */
import { randomBytes } from 'node:crypto';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { ensureAuditKey } from '../src/config/generate-keys.ts';
import { generateKeys } from '../src/config/keys.ts';
import type { DemoCertificates } from './certificates.ts';
import { DEMO_ROLE, USERS, type DemoPorts } from './demo.ts';

const DEMO_CLUSTER = 'demo';
export const DEMO_PROVIDER = 'demo';
export const DEMO_CLIENT_ID = 'portcullis';

export interface DemoUrls {
  readonly api: string;
  readonly web: string;
  readonly ops: string;
  readonly issuer: string;
}

export interface DemoUpstream {
  readonly server: string;
  /** PEM. */
  readonly ca: string;
  /** Bearer token of Portcullis' own service account there. */
  readonly token: string;
  /** Groups that this account may stand in for. Absent: any. */
  readonly groups?: readonly string[];
}

export interface DemoFiles {
  readonly directory: string;
  readonly config: string;
  readonly kubeconfig: string;
  readonly auditLog: string;
  /** What came without a good credential. */
  readonly rejectedLog: string;
  /** The command, ready to run: it knows the demo's server and keeps its cache in the demo's folder. */
  readonly command: string;
  readonly clientSecret: string;
}

export const demoUrls = (ports: DemoPorts): DemoUrls => ({
  api: `https://localhost:${ports.api}`,
  web: `http://localhost:${ports.web}`,
  ops: `http://localhost:${ports.ops}`,
  issuer: `http://localhost:${ports.idp}`,
});

/** Where each file lies, before any is written. */
function demoFiles(directory: string): Omit<DemoFiles, 'clientSecret'> {
  const root = resolve(directory);
  return {
    directory: root,
    config: join(root, 'portcullis.yaml'),
    kubeconfig: join(root, 'kubeconfig'),
    auditLog: join(root, 'audit.log'),
    rejectedLog: join(root, 'audit.log.rejected'),
    command: join(root, 'bin', 'portcullis'),
  };
}

/** Writes the folder again, except the signing keys: those are generated once, so that a restarted demo still has the keys of its sessions. */
export async function writeDemoFiles(options: {
  readonly directory: string;
  readonly ports: DemoPorts;
  readonly certificates: DemoCertificates;
  readonly upstream: DemoUpstream;
  readonly redis?: string;
}): Promise<DemoFiles> {
  const files = demoFiles(options.directory);
  const at = (name: string): string => join(files.directory, name);
  await mkdir(at('bin'), { recursive: true, mode: 0o700 });
  await chmod(files.directory, 0o700);
  const clientSecret = randomBytes(24).toString('base64url');
  const secret = { mode: 0o600 };
  await Promise.all([
    writeFile(at('ca.crt'), options.certificates.ca),
    writeFile(at('server.crt'), options.certificates.cert),
    writeFile(at('server.key'), options.certificates.key, secret),
    writeFile(at('cluster-ca.crt'), options.upstream.ca),
    writeFile(at('cluster-token'), options.upstream.token, secret),
    writeFile(at('client-secret'), clientSecret, secret),
    writeFile(at('users.txt'), usersTable()),
    writeFile(files.auditLog, '', secret),
    writeFile(files.rejectedLog, '', secret),
    writeFile(files.config, stringify(configuration(files.directory, options), { lineWidth: 0 })),
    writeFile(files.kubeconfig, stringify(kubeconfig(files.command, options), { lineWidth: 0 }), secret),
    writeFile(files.command, commandScript(files.directory, demoUrls(options.ports).web), { mode: 0o755 }),
  ]);
  await generateKeys({ signingDir: at('keys/signing'), sealingDir: at('keys/sealing') }).catch((error: unknown) => {
    if (!isExisting(error)) throw error;
  });
  await ensureAuditKey(at('keys/audit'));
  return { ...files, clientSecret };
}

const isExisting = (error: unknown): boolean => error instanceof Error && /exist/i.test(error.message);

function usersTable(): string {
  const rows = USERS.map(
    ({ name, password, groups, role }) =>
      `${name.padEnd(8)}${password.padEnd(14)}${(groups.join(',') || '-').padEnd(14)}${role}`,
  );
  return `${'name'.padEnd(8)}${'password'.padEnd(14)}${'groups'.padEnd(14)}who\n${rows.join('\n')}\n`;
}

function configuration(
  directory: string,
  { ports, redis, upstream }: { readonly ports: DemoPorts; readonly redis?: string; readonly upstream: DemoUpstream },
): object {
  const urls = demoUrls(ports);
  const at = (name: string): string => join(directory, name);
  return {
    publicUrl: urls.web,
    listen: {
      api: {
        address: `127.0.0.1:${ports.api}`,
        certFile: at('server.crt'),
        keyFile: at('server.key'),
        publicUrl: urls.api,
        publicCaFile: at('ca.crt'),
      },
      web: { address: `127.0.0.1:${ports.web}`, tls: 'off' },
      ops: { address: `127.0.0.1:${ports.ops}` },
    },
    store: redis === undefined ? { memory: {} } : { redis: { url: redis, prefix: 'portcullis-demo' } },
    keys: { signingDir: at('keys/signing'), sealingDir: at('keys/sealing'), auditDir: at('keys/audit') },
    providers: [
      {
        name: DEMO_PROVIDER,
        type: 'oidc',
        issuer: urls.issuer,
        clientId: DEMO_CLIENT_ID,
        clientSecretFile: at('client-secret'),
        scopes: ['openid', 'profile', 'email', 'groups', 'offline_access'],
        usernamePrefix: 'demo:',
        groupsPrefix: 'demo:',
        username: 'claims.preferred_username',
        groups: 'claims.groups',
      },
    ],
    clusters: [
      {
        name: DEMO_CLUSTER,
        hosts: ['localhost'],
        publicUrl: urls.api,
        server: upstream.server,
        caFile: at('cluster-ca.crt'),
        tokenFile: at('cluster-token'),
        impersonate: { groups: upstream.groups ?? '*', extra: [] },
      },
    ],
    admin: { groups: ['demo:admins'], auditors: ['demo:auditors'] },
    access: { roles: [DEMO_ROLE] },
    audit: { sinks: [{ type: 'file', path: at('audit.log') }] },
    shutdown: { delay: '0s', grace: '5s' },
    telemetry: { logLevel: 'warn' },
  };
}

function kubeconfig(
  command: string,
  { ports, certificates }: { readonly ports: DemoPorts; readonly certificates: DemoCertificates },
): object {
  const urls = demoUrls(ports);
  const name = `portcullis-${DEMO_CLUSTER}`;
  return {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': name,
    clusters: [
      {
        name,
        cluster: { server: urls.api, 'certificate-authority-data': Buffer.from(certificates.ca).toString('base64') },
      },
    ],
    contexts: [{ name, context: { cluster: name, user: name, namespace: 'default' } }],
    users: [
      {
        name,
        user: {
          exec: {
            apiVersion: 'client.authentication.k8s.io/v1',
            command,
            args: ['get-token', '--server', urls.web, '--cluster', DEMO_CLUSTER],
            interactiveMode: 'Never',
            provideClusterInfo: false,
          },
        },
      },
    ],
  };
}

/** Single quotes for sh. */
const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

function commandScript(directory: string, server: string): string {
  const main = fileURLToPath(new URL('../src/main.ts', import.meta.url));
  return `#!/bin/sh
# The portcullis command as the demo runs it: from its sources, with a cache of its own.
PORTCULLIS_SERVER="\${PORTCULLIS_SERVER:-${server}}"
PORTCULLIS_CACHE_DIR="\${PORTCULLIS_CACHE_DIR:-${join(directory, 'cache')}}"
# The demo's folder goes with the demo, and an entry in your keyring would not.
PORTCULLIS_CREDENTIAL_STORE=file
export PORTCULLIS_SERVER PORTCULLIS_CACHE_DIR PORTCULLIS_CREDENTIAL_STORE
exec ${quoted(process.execPath)} ${quoted(main)} "$@"
`;
}

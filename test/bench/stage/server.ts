/** Portcullis as in production: the command `serve` in its own process, and users who signed in by the protocol. */
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { generateKeys } from '../../../src/config/keys.ts';
import { ADMIN_AUDIENCE, clusterAudience } from '../../../src/core/core.ts';
import { USERS } from '../../../demo/demo.ts';
import { startIdentityProvider } from '../../../demo/idp/provider.ts';
import { newClientKey, OAuthClient } from '../../support/oauth-client.ts';
import type { ClientKey } from '../../support/oauth-client.ts';
import { HOSTS } from './peers.ts';
import { staged } from '../../support/staged.ts';
import type { Stops } from '../../support/staged.ts';
import { startInstanceProcess } from './server-process.ts';
import type { Started } from './processes.ts';
import { freePort } from '../../../demo/ports.ts';

export interface BenchInstance extends Started {
  readonly port: number;
  readonly web: string;
  /** Its figures on `/metrics`. */
  readonly figures: () => Promise<InstanceFigures>;
}

/** Memory in megabytes (10^6 bytes). */
export interface InstanceFigures {
  readonly resident: number;
  /** In V8's old space, garbage since the last collection included. */
  readonly old: number;
  readonly openFiles: number;
}

export interface InstanceOptions {
  /** Has the certificates. */
  readonly directory: string;
  readonly upstreams: { readonly files: number; readonly live: number };
  /** Folder for a CPU profile of the whole run. */
  readonly profile?: string | undefined;
  /** The checkout whose server it is. Absent: this one. */
  readonly checkout?: string | undefined;
  /** `audit.writeAhead`; absent: its default. */
  readonly writeAhead?: string;
}

/** Starts the identity provider here and the server next to it; resolves when the server is ready. */
export const startInstance = (options: InstanceOptions): Promise<BenchInstance> =>
  staged((stops) => launch(stops, options));

async function launch(stops: Stops, options: InstanceOptions): Promise<Omit<BenchInstance, 'stop'>> {
  const [api, web, ops] = [await freePort(), await freePort(), await freePort()];
  const webUrl = `http://localhost:${web}`;
  const clientSecret = randomBytes(24).toString('base64url');
  const identityProvider = await startIdentityProvider({
    port: 0,
    users: USERS,
    client: { clientId: 'bench', clientSecret, redirectUris: [`${webUrl}/callback/bench`] },
  });
  stops.push(() => identityProvider.close());
  const at = (name: string): string => join(options.directory, name);
  await generateKeys({ signingDir: at('keys/signing'), sealingDir: at('keys/sealing') });
  await writeFile(at('client-secret'), clientSecret, { mode: 0o600 });
  await writeFile(at('cluster-token'), randomBytes(400).toString('base64url'), { mode: 0o600 });
  const config = configuration(options, { api, web, ops, issuer: identityProvider.issuer });
  await writeFile(at('portcullis.yaml'), stringify(config));
  const profiling = options.profile === undefined ? [] : ['--cpu-prof', '--cpu-prof-dir', options.profile];
  const ready = async (): Promise<boolean> =>
    fetch(`http://127.0.0.1:${ops}/readyz`).then(
      (answer) => answer.ok,
      () => false,
    );
  const { checkout } = options;
  const started = await startInstanceProcess({ config: at('portcullis.yaml'), checkout, flags: profiling, ready });
  stops.push(started.stop);
  return { pid: started.pid, port: api, web: webUrl, figures: () => figuresOf(ops) };
}

async function figuresOf(opsPort: number): Promise<InstanceFigures> {
  const text = await (await fetch(`http://127.0.0.1:${opsPort}/metrics`)).text();
  const value = (name: string): number => {
    const line = text.split('\n').find((candidate) => candidate.startsWith(`${name} `));
    return Number(line?.slice(name.length + 1).split(' ')[0]);
  };
  return {
    resident: value('process_resident_memory_bytes') / 1e6,
    old: value('nodejs_heap_space_size_used_bytes{space="old"}') / 1e6,
    openFiles: value('process_open_fds'),
  };
}

export function configuration(
  { directory, upstreams, writeAhead }: Pick<InstanceOptions, 'directory' | 'upstreams' | 'writeAhead'>,
  ports: { readonly api: number; readonly web: number; readonly ops: number; readonly issuer: string },
): object {
  const at = (name: string): string => join(directory, name);
  const cluster = (name: keyof typeof HOSTS): object => ({
    name,
    hosts: [HOSTS[name]],
    server: `https://127.0.0.1:${upstreams[name]}`,
    caFile: at('ca.crt'),
    tokenFile: at('cluster-token'),
    impersonate: { groups: '*', extra: [] },
  });
  const tls = { certFile: at('server.crt'), keyFile: at('server.key') };
  return {
    publicUrl: `http://localhost:${ports.web}`,
    listen: {
      api: { address: `127.0.0.1:${ports.api}`, ...tls, publicUrl: `https://localhost:${ports.api}` },
      web: { address: `127.0.0.1:${ports.web}`, tls: 'off' },
      ops: { address: `127.0.0.1:${ports.ops}` },
    },
    store: { memory: {} },
    keys: { signingDir: at('keys/signing'), sealingDir: at('keys/sealing') },
    providers: [
      {
        name: 'bench',
        type: 'oidc',
        issuer: ports.issuer,
        clientId: 'bench',
        clientSecretFile: at('client-secret'),
        scopes: ['openid', 'profile', 'email', 'groups', 'offline_access'],
        usernamePrefix: 'bench:',
        groupsPrefix: 'bench:',
        username: 'claims.preferred_username',
        groups: 'claims.groups',
      },
    ],
    clusters: [cluster('files'), cluster('live')],
    admin: { groups: ['bench:admins'] },
    // The longest there is: a long soak must not outlive its token.
    sessions: { accessToken: '15m' },
    audit: { sinks: [{ type: 'file', path: at('audit.log') }], ...(writeAhead === undefined ? {} : { writeAhead }) },
    limits: { connections: 20_000, inFlightPerUser: 20_000 },
    shutdown: { delay: '0s', grace: '5s' },
    telemetry: { logLevel: 'warn' },
  };
}

export interface SignedInUser {
  readonly key: ClientKey;
  readonly session: string;
  /** Access tokens, one a cluster. */
  readonly tokens: Readonly<Record<keyof typeof HOSTS, string>>;
}

/** Signs alice in with a certificate of her own, and gets a token for each cluster. */
export async function signInAlice(instance: BenchInstance, ca: string): Promise<SignedInUser> {
  const key = await newClientKey();
  const client = new OAuthClient({ web: instance.web, api: `https://localhost:${instance.port}`, ca }, key);
  try {
    const signedIn = await client.signIn('alice', { resource: clusterAudience('files') });
    const live = await client.refresh(signedIn.refreshToken, { resource: clusterAudience('live') });
    const token = live.body['access_token'];
    if (typeof token !== 'string') throw new Error(`no token for the second cluster: ${JSON.stringify(live.body)}`);
    return { key, session: signedIn.session, tokens: { files: signedIn.accessToken, live: token } };
  } finally {
    await client.close();
  }
}

/** An administrator with a credential, ready to revoke. */
export async function signInRoot(instance: BenchInstance, ca: string) {
  const client = new OAuthClient(
    { web: instance.web, api: `https://localhost:${instance.port}`, ca },
    await newClientKey(),
  );
  const { accessToken } = await client.signIn('root', { resource: ADMIN_AUDIENCE });
  return {
    async revoke(session: string): Promise<void> {
      const answer = await client.postJson('/-/admin/api/v1/revocations', accessToken, { session, reason: 'bench' });
      if (answer.status !== 200) throw new Error(`the revocation failed: ${JSON.stringify(answer.body)}`);
    },
    close: () => client.close(),
  };
}

/** A server with a third-party client, two clusters behind it, and whatever `sessions` the test wants. */
import { readFile } from 'node:fs/promises';
import type { Config } from '../../src/config/config.ts';
import { loadConfig } from '../../src/config/load.ts';
import type { AuditEvent } from '../../src/core/audit/event.ts';
import type { RunningDemo } from '../../demo/launch.ts';
import { startServer, type RunningServer } from '../../src/server/serve.ts';
import { auditedBy } from './audit-log.ts';
import { startTestInstance } from './instance.ts';
import { CliContext } from './kubectl.ts';
import { Kubelogin, type KubeloginFlags } from './kubelogin.ts';
import { newClientKey, OAuthClient, type Answer } from './oauth-client.ts';
import { startRedis } from './redis.ts';

export interface PublicClientStage {
  readonly web: string;
  readonly api: string;
  /** The one that runs now. */
  readonly server: RunningServer;
  readonly identityProvider: RunningDemo['identityProvider'];
  /** The plugin, with its own key. */
  readonly plugin: OAuthClient;
  /** Who has no client certificate: kubectl as kubelogin leaves it, or a load balancer that ends TLS. */
  readonly bare: OAuthClient;
  kubelogin(flags?: Partial<KubeloginFlags>): Promise<Kubelogin>;
  /** The real kubectl and the real command of one user; closed with the stage. */
  cli(user: string): CliContext;
  /** Lists pods of one of the clusters, without a client certificate. */
  pods(cluster: 'demo' | 'other', token: string): Promise<Answer>;
  events(name: string): Promise<readonly AuditEvent[]>;
  /** The same server with other settings; what is in Redis stays. */
  restart(sessions: Partial<Config['sessions']>): Promise<void>;
  stop(): Promise<void>;
}

export const CLIENT: Config['sessions']['publicClients'][number] = {
  id: 'kubelogin-demo',
  name: 'kubelogin',
  cluster: 'demo',
  redirectUris: ['http://localhost:8000', 'http://localhost:18000'],
};

const PODS = '/api/v1/namespaces/default/pods';

export async function startPublicClientStage(
  options: { readonly sessions?: Partial<Config['sessions']> } = {},
): Promise<PublicClientStage> {
  const redis = await startRedis();
  const instance = await startTestInstance({ redis: redis.url });
  // The same addresses, with the settings of the test.
  await instance.server.stop();
  const start = async (sessions: Partial<Config['sessions']> = {}): Promise<RunningServer> => {
    const started = await startServer(await configuration(instance.files.config, sessions));
    await started.ready;
    return started;
  };
  let server = await start(options.sessions);
  const clis: CliContext[] = [];
  const { web, api } = instance.urls;
  const endpoints = { web, api, ca: await readFile(`${instance.files.directory}/ca.crt`, 'utf8') };
  const plugin = new OAuthClient(endpoints, await newClientKey());
  const bare = new OAuthClient(endpoints, undefined);
  // A host that names no cluster, so that the path does.
  const elsewhere = new OAuthClient({ ...endpoints, api: api.replace('localhost', '127.0.0.1') }, undefined);
  return {
    web,
    api,
    get server() {
      return server;
    },
    identityProvider: instance.identityProvider,
    plugin,
    bare,
    kubelogin: (flags = {}) => Kubelogin.start({ issuerUrl: web, clientId: CLIENT.id, ...flags }),
    cli(user) {
      const cli = new CliContext(instance, user);
      clis.push(cli);
      return cli;
    },
    pods: (cluster, token) =>
      cluster === 'demo' ? bare.get(PODS, token) : elsewhere.get(`/clusters/other${PODS}`, token),
    async events(name) {
      await server.audit.flush();
      return (await auditedBy(instance)).filter(({ annotations }) => annotations['portcullis.dev/event'] === name);
    },
    async restart(sessions) {
      await server.stop();
      server = await start(sessions);
    },
    async stop() {
      for (const cli of clis) cli.close();
      await plugin.close();
      await bare.close();
      await elsewhere.close();
      await server.stop();
      await instance.stop();
      await redis.stop();
    },
  };
}

async function configuration(file: string, sessions: Partial<Config['sessions']>): Promise<Config> {
  const loaded = await loadConfig({ file, env: {} });
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.reason));
  const { config } = loaded.value;
  const [demo] = config.clusters;
  if (demo === undefined) throw new Error('the demo has a cluster');
  const other = { ...demo, name: 'other', hosts: [], publicUrl: `${config.listen.api.publicUrl}/clusters/other` };
  return {
    ...config,
    clusters: [demo, other],
    sessions: { ...config.sessions, publicClients: [CLIENT], ...sessions },
    limits: { ...config.limits, signInsPerMinute: 1000 },
  };
}

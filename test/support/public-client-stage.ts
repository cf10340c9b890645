/** A server with a third-party client, two clusters behind it, and whatever `sessions` the test wants. */
import type { Config } from '../../src/config/config.ts';
import { startTestInstance, withParts, type ServerChange, type TestInstance } from './instance.ts';
import { CliContext } from './kubectl.ts';
import { Kubelogin, type KubeloginFlags } from './kubelogin.ts';
import type { Answer, OAuthClient } from './oauth-client.ts';

export interface PublicClientStage extends TestInstance {
  /** The plugin, with its own key. */
  readonly plugin: OAuthClient;
  /** Who has no client certificate: kubectl as kubelogin leaves it, or a load balancer that ends TLS. */
  readonly bare: OAuthClient;
  kubelogin(flags?: Partial<KubeloginFlags>): Promise<Kubelogin>;
  /** The real kubectl and the real command of one user; closed with the stage. */
  cli(user: string): CliContext;
  /** Lists pods of one of the clusters, without a client certificate. */
  pods(cluster: 'demo' | 'other', token: string): Promise<Answer>;
  /** The same server with other settings; what is in Redis stays. */
  restartWith(sessions: Partial<Config['sessions']>): Promise<unknown>;
}

export const CLIENT: Config['sessions']['publicClients'][number] = {
  id: 'kubelogin-demo',
  name: 'kubelogin',
  cluster: 'demo',
  redirectUris: ['http://localhost:8000', 'http://localhost:18000'],
};

const PODS = '/api/v1/namespaces/default/pods';

const changedBy = (sessions: Partial<Config['sessions']> = {}): ServerChange => ({
  loaded: ({ clusters: [demo], listen, limits, ...config }) => {
    if (demo === undefined) throw new Error('the demo has a cluster');
    const other = { ...demo, name: 'other', hosts: [], publicUrl: `${listen.api.publicUrl}/clusters/other` };
    return {
      ...config,
      listen,
      clusters: [demo, other],
      sessions: { ...config.sessions, publicClients: [CLIENT], ...sessions },
      limits: { ...limits, signInsPerMinute: 1000 },
    };
  },
});

export async function startPublicClientStage(
  options: { readonly sessions?: Partial<Config['sessions']> } = {},
): Promise<PublicClientStage> {
  const instance = await startTestInstance({ redis: true, ...changedBy(options.sessions) });
  const clis: CliContext[] = [];
  const { web } = instance;
  const bare = await instance.connect({ key: null });
  // A host that names no cluster, so that the path does.
  const elsewhere = await instance.connect({ key: null, at: instance.api.replace('localhost', '127.0.0.1') });
  const parts: Omit<PublicClientStage, keyof TestInstance> = {
    plugin: await instance.connect(),
    bare,
    kubelogin: (flags = {}) => Kubelogin.start({ issuerUrl: web, clientId: CLIENT.id, ...flags }),
    cli(user) {
      const cli = new CliContext(instance, user);
      clis.push(cli);
      return cli;
    },
    pods: (cluster, token) =>
      cluster === 'demo' ? bare.get(PODS, token) : elsewhere.get(`/clusters/other${PODS}`, token),
    restartWith: (sessions) => instance.restart(changedBy(sessions)),
  };
  return withParts(instance, parts, () => {
    for (const cli of clis) cli.close();
  });
}

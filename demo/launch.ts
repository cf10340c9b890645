/** Starts everything of the demo, in the order in which one part needs the other, and stops it in the opposite one. */
import { loadConfig } from '../src/config/load.ts';
import { startServer, type RunningServer } from '../src/server/serve.ts';
import { startIdentityProvider, type DemoIdentityProvider } from './idp/provider.ts';
import { makeCertificates } from './certificates.ts';
import { DEMO_CLIENT_ID, DEMO_PROVIDER, demoUrls, writeDemoFiles, type DemoFiles, type DemoUrls } from './files.ts';
import { DemoError, USERS, demoPorts } from './demo.ts';
import { takenPorts } from './ports.ts';
import { startDemoCluster, type DemoCluster } from './upstream.ts';
import { defined } from '../src/core/defined.ts';

export interface DemoOptions {
  readonly directory: string;
  readonly portBase: number;
  /** `redis://…`; the memory store when absent. */
  readonly redis?: string;
  /** A kubeconfig of a real cluster to stand in front of; only ever by the explicit option. */
  readonly kubeconfig?: string;
  /** The embedded cluster, whatever the environment says. */
  readonly embedded?: boolean;
  /** Where a real API server that is started here writes its own audit log; it keeps none when absent. */
  readonly apiServerAuditLog?: string;
}

export interface RunningDemo {
  readonly urls: DemoUrls;
  readonly files: DemoFiles;
  readonly cluster: DemoCluster;
  readonly identityProvider: DemoIdentityProvider;
  readonly server: RunningServer;
  stop(): Promise<void>;
}

/**
 * @throws DemoError when a port is taken or the configuration that the demo wrote does not hold
 */
export async function startDemo(options: DemoOptions): Promise<RunningDemo> {
  const ports = demoPorts(options.portBase);
  const taken = await takenPorts(ports);
  if (taken.length > 0) throw new DemoError(taken.join('\n'));
  const stops: (() => Promise<unknown>)[] = [];
  const stop = async (): Promise<void> => {
    for (const end of stops.splice(0).toReversed()) await end();
  };
  try {
    const certificates = await makeCertificates(['localhost', '127.0.0.1', '::1'], Date.now());
    const cluster = await startDemoCluster({
      port: ports.cluster,
      certificates,
      ...defined({ kubeconfig: options.kubeconfig, embedded: options.embedded, auditLog: options.apiServerAuditLog }),
    });
    stops.push(() => cluster.close());
    const files = await writeDemoFiles({
      directory: options.directory,
      ports,
      certificates,
      upstream: cluster.upstream,
      ...defined({ redis: options.redis }),
    });
    const urls = demoUrls(ports);
    const identityProvider = await startIdentityProvider({
      port: ports.idp,
      users: USERS,
      client: {
        clientId: DEMO_CLIENT_ID,
        clientSecret: files.clientSecret,
        redirectUris: [`${urls.web}/callback/${DEMO_PROVIDER}`],
      },
    });
    stops.push(() => identityProvider.close());
    const loaded = await loadConfig({ file: files.config, env: {} });
    if (!loaded.ok) throw new DemoError(`the demo's own configuration does not hold: ${JSON.stringify(loaded.reason)}`);
    const server = await startServer(loaded.value.config);
    stops.push(() => server.stop());
    await server.ready;
    return { urls, files, cluster, identityProvider, server, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

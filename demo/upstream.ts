/**
 * The cluster that the demo stands in front of: the embedded one, or a real API server where `KUBEBUILDER_ASSETS` says where
 * etcd and kube-apiserver lie (as envtest has them), or the cluster of a kubeconfig that was named by the explicit option.
 *
 * `KUBECONFIG` in a newcomer's shell may well be production. It is not looked at; only `--kubeconfig FILE` is (decision 0008).
 */
import { randomBytes } from 'node:crypto';
import type { DemoCertificates } from './certificates.ts';
import { startCluster } from './cluster/cluster.ts';
import type { DemoUpstream } from './files.ts';
import { prepareRealCluster, removalCommand } from './real-cluster.ts';
import { startApiServer } from './api-server.ts';
import { defined } from '../src/core/defined.ts';

export interface DemoCluster {
  readonly upstream: DemoUpstream;
  /** What it is, for the first lines that the demo prints. */
  readonly description: string;
  /** Whether pods run in it: without a kubelet there is nothing to exec into. */
  readonly runsPods: boolean;
  close(): Promise<void>;
}

export interface DemoClusterOptions {
  readonly port: number;
  readonly certificates: DemoCertificates;
  readonly kubeconfig?: string;
  /** The embedded cluster, whatever the environment says. */
  readonly embedded?: boolean;
  /** Where a real API server that is started here writes its own audit log. */
  readonly auditLog?: string;
}

export async function startDemoCluster(options: DemoClusterOptions): Promise<DemoCluster> {
  if (options.kubeconfig !== undefined) {
    return startSomebodys(options.kubeconfig);
  }
  const assets = options.embedded === true ? undefined : process.env['KUBEBUILDER_ASSETS'];
  if (assets !== undefined && assets !== '') {
    const { port, certificates, auditLog } = options;
    const apiServer = await startApiServer({
      assets,
      port,
      certificates,
      ...defined({ auditLog }),
    });
    try {
      const upstream = await prepareRealCluster(apiServer.kubeconfig, true);
      return {
        upstream,
        description: `a real kube-apiserver with etcd from ${assets}`,
        runsPods: false,
        close: () => apiServer.close(),
      };
    } catch (error) {
      await apiServer.close();
      throw error;
    }
  }
  return startEmbedded(options);
}

/** Anyone who signs in with a password that the demo prints is cluster-admin there. Said before anything is made, and at the end. */
async function startSomebodys(kubeconfig: string): Promise<DemoCluster> {
  const removal = removalCommand(kubeconfig);
  console.error(
    `In the cluster of ${kubeconfig} the demo makes an account of its own, and root / root-demo cluster-admin. All of it goes with:\n  ${removal}`,
  );
  return {
    upstream: await prepareRealCluster(kubeconfig, false),
    description: `the cluster of ${kubeconfig}`,
    runsPods: true,
    close: async () =>
      console.error(`What the demo made in the cluster of ${kubeconfig} is there until:\n  ${removal}`),
  };
}

async function startEmbedded({ port, certificates }: DemoClusterOptions): Promise<DemoCluster> {
  const token = randomBytes(32).toString('base64url');
  const cluster = await startCluster({
    host: '127.0.0.1',
    port,
    tls: { cert: certificates.cert, key: certificates.key },
    tokens: {
      [token]: {
        username: 'system:serviceaccount:portcullis:portcullis',
        uid: 'portcullis',
        groups: ['system:serviceaccounts', 'system:serviceaccounts:portcullis', 'system:authenticated'],
      },
    },
    seed: true,
  });
  return {
    upstream: { server: `https://localhost:${cluster.port}`, ca: certificates.ca, token },
    description: 'the embedded cluster',
    runsPods: true,
    close: () => cluster.close(),
  };
}

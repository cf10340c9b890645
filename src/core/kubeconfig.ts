/**
 * The content of our kubeconfig, as plain data. The plugin's `kubeconfig` command and the web page's download
 * write the same, so that either may replace what the other wrote.
 */

import { defined } from './defined.ts';
export interface KubeconfigCluster {
  readonly name: string;
  /** https URL that kubectl connects to. */
  readonly server: string;
  /** PEM of the CA that issued the server's certificate; absent: the system's CAs. */
  readonly caData?: string;
}

export interface KubeconfigRequest {
  /** Public URL of Portcullis, where the plugin signs in. */
  readonly server: string;
  readonly clusters: readonly KubeconfigCluster[];
  /**
   * The command that kubectl runs; a wrapper must `exec`, because the plugin identifies its callers by its parent
   * process.
   */
  readonly command: string;
  /** Further arguments of the plugin, after server and cluster. */
  readonly args?: readonly string[];
  /** Variables that kubectl sets for the command. */
  readonly env?: Readonly<Record<string, string>>;
  /** The namespace of the contexts; absent: that of kubectl. */
  readonly namespace?: string;
  /** The page where users get the command. */
  readonly installUrl?: string;
}

/** One cluster's entry: the same name for its context, its cluster and its user. */
export interface KubeconfigEntry {
  readonly name: string;
  readonly cluster: Readonly<Record<string, string>>;
  readonly exec: Readonly<Record<string, unknown>>;
}

/** kubectl prints it where it does not find the command. */
const installHint = (url: string | undefined): string =>
  `portcullis is not installed, or not in the PATH of this program. It signs you in to this cluster: ${
    url === undefined ? 'ask your platform team where to get it (docs/install-cli.md).' : `get it at ${url}`
  }`;

/** Two servers may both have a cluster `prod`. */
export const contextName = (server: string, cluster: string): string => `${cluster}@${new URL(server).host}`;

/** Returns how the plugin's arguments begin. An entry is recognized as ours by them. */
export const pluginArguments = (server: string, cluster: string): readonly string[] => [
  'get-token',
  '--server',
  server,
  '--cluster',
  cluster,
];

/** Returns one entry per cluster, in the order of the clusters. */
export function kubeconfigEntries(request: KubeconfigRequest): readonly KubeconfigEntry[] {
  const { server, command, args = [] } = request;
  const env = Object.entries(request.env ?? {}).map(([name, value]) => ({ name, value }));
  return request.clusters.map((cluster) => ({
    name: contextName(server, cluster.name),
    cluster: {
      server: cluster.server,
      ...(cluster.caData === undefined
        ? {}
        : { 'certificate-authority-data': Buffer.from(cluster.caData).toString('base64') }),
    },
    exec: {
      apiVersion: 'client.authentication.k8s.io/v1',
      command,
      args: [...pluginArguments(server, cluster.name), ...args],
      ...(env.length === 0 ? {} : { env }),
      installHint: installHint(request.installUrl),
      // This is about stdin, which the plugin never reads: `kubectl apply -f -` must still be able to open a
      // browser.
      interactiveMode: 'Never',
      provideClusterInfo: false,
    },
  }));
}

/** Returns a complete new kubeconfig, whose current context is the first cluster's. */
export function newKubeconfig(request: KubeconfigRequest): Readonly<Record<string, unknown>> {
  const entries = kubeconfigEntries(request);
  const [first] = entries;
  const namespace = defined({ namespace: request.namespace });
  return {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: entries.map(({ name, cluster }) => ({ name, cluster })),
    users: entries.map(({ name, exec }) => ({ name, user: { exec } })),
    contexts: entries.map(({ name }) => ({ name, context: { cluster: name, user: name, ...namespace } })),
    ...defined({ 'current-context': first?.name }),
  };
}

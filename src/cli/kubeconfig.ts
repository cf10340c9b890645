/**
 * A kubeconfig that runs this plugin, and its merge into an existing one: text in, text out. What else is in the file stays,
 * comments and order included.
 */
import { isMap, isSeq, parseDocument, YAMLMap, YAMLSeq, type Document } from 'yaml';
import type { Server } from './cache.ts';
import { fault } from './fault.ts';
import { hostOf } from './server-url.ts';
import type { ReachableCluster } from './session.ts';

export interface KubeconfigRequest {
  readonly server: Server;
  readonly clusters: readonly ReachableCluster[];
  /** What kubectl runs; a wrapper must `exec`, because the plugin tells its callers apart by its parent process. */
  readonly command: string;
}

export interface MergedKubeconfig {
  readonly text: string;
  /** Names of the contexts that were written. */
  readonly contexts: readonly string[];
  readonly currentContext: string;
}

const INSTALL_HINT =
  'portcullis is not installed, or not in the PATH of this program. It signs you in to this cluster: ask your platform team where to get it.';

/** One name for context, cluster and user: two servers may both have a cluster `prod`. */
const contextName = (server: string, cluster: string): string => `${cluster}@${hostOf(server)}`;

/**
 * @param existing text of the file; empty for a new one
 * @throws AppError `bad_request` when `existing` is no kubeconfig: nothing is guessed
 */
export function mergeKubeconfig(existing: string, request: KubeconfigRequest): MergedKubeconfig {
  const document = parseExisting(existing);
  const contexts: string[] = [];
  for (const cluster of request.clusters) {
    const name = contextName(request.server.url, cluster.name);
    upsert(document, 'clusters', { name, cluster: clusterStanza(cluster) });
    upsert(document, 'users', { name, user: { exec: execStanza(request, cluster.name) } });
    upsert(document, 'contexts', { name, context: { cluster: name, user: name } });
    contexts.push(name);
  }
  const current = document.get('current-context');
  const currentContext = typeof current === 'string' && current !== '' ? current : (contexts[0] ?? '');
  document.set('current-context', currentContext);
  return { text: document.toString({ lineWidth: 0 }), contexts, currentContext };
}

function clusterStanza(cluster: ReachableCluster): Record<string, string> {
  const ca = cluster.caData && Buffer.from(cluster.caData).toString('base64');
  return { server: cluster.server, ...(ca ? { 'certificate-authority-data': ca } : {}) };
}

function execStanza(request: KubeconfigRequest, cluster: string): Record<string, unknown> {
  const { url, caFile } = request.server;
  return {
    apiVersion: 'client.authentication.k8s.io/v1',
    command: request.command,
    args: ['get-token', '--server', url, '--cluster', cluster, ...(caFile === undefined ? [] : ['--ca-file', caFile])],
    installHint: INSTALL_HINT,
    // It is about stdin, which the plugin never reads: `kubectl apply -f -` must still be able to open a browser.
    interactiveMode: 'Never',
    provideClusterInfo: false,
  };
}

function parseExisting(text: string): Document {
  const document: Document = parseDocument(text, { strict: true, uniqueKeys: true });
  const [error] = document.errors;
  if (error !== undefined) throw unreadable(`it is not YAML (${error.code})`);
  if (document.contents === null) {
    document.contents = new YAMLMap();
    document.set('apiVersion', 'v1');
    document.set('kind', 'Config');
  }
  if (!isMap(document.contents)) throw unreadable('it is not a mapping');
  const kind = document.get('kind');
  if (kind !== undefined && kind !== 'Config') throw unreadable('its kind is not Config');
  return document;
}

/** Replaces the item of that name, or adds one at the end. */
function upsert(
  document: Document,
  key: string,
  item: { readonly name: string; readonly [key: string]: unknown },
): void {
  const found = document.get(key);
  let list: YAMLSeq;
  if (isSeq(found)) {
    list = found;
  } else if (found === undefined || found === null) {
    list = new YAMLSeq();
    document.set(key, list);
  } else {
    throw unreadable(`${key} is not a list`);
  }
  if (list.items.length === 0) list.flow = false; // `kubectl config` writes an empty list as []
  const index = list.items.findIndex((present) => isMap(present) && present.get('name') === item.name);
  const node = document.createNode(item);
  if (index === -1) list.items.push(node);
  else list.items[index] = node;
}

function unreadable(why: string): Error {
  return fault('bad_request', `The kubeconfig cannot be read: ${why}. Nothing was changed.`, 'mend it, or give --file');
}

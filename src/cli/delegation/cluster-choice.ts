/** The clusters of a delegated session: those given, else the one that kubectl would use, else the only one. */
import { isMap, parseDocument } from 'yaml';
import { pluginArguments } from '../../core/kubeconfig.ts';
import { cliError } from '../errors.ts';
import { arrayAt, isRecord, recordAt, stringAt, type JsonRecord } from '../http/json-shape.ts';
import { parseClusterName } from '../http/server-url.ts';
import { plainText } from '../terminal/plain-text.ts';

export interface ClusterFacts {
  /** By options. */
  readonly given: readonly string[] | undefined;
  /** Names of those that the user may use. */
  readonly usable: readonly string[];
  readonly server: string;
  /** Texts of kubectl's kubeconfigs, in its order. */
  readonly kubeconfigs: readonly string[];
}

/** @throws AppError `bad_request` where none is meant; `forbidden` for one that the user may not use */
export function chooseClusters({ given, usable, server, kubeconfigs }: ClusterFacts): readonly string[] {
  const list = usable.map((name) => plainText(name, 253)).join(', ') || 'none';
  if (given !== undefined) {
    const names = [...new Set(given.map(parseClusterName))];
    const other = names.find((name) => !usable.includes(name));
    if (other === undefined) return names;
    throw cliError('forbidden', `You may not use the cluster ${other}.`, `give another --cluster: ${list}`);
  }
  const current = currentCluster(kubeconfigs, server);
  if (current !== undefined && usable.includes(current)) return [current];
  const [only, ...others] = usable;
  if (only !== undefined && others.length === 0) return [only];
  const what = 'For which cluster? The current context of kubectl is for none of yours.';
  throw cliError('bad_request', what, `give --cluster, once or several times: ${list}`);
}

/** Returns the cluster of ours that the current context is for. */
function currentCluster(texts: readonly string[], server: string): string | undefined {
  const configs = texts.flatMap(readConfig);
  const current = configs.map((config) => stringAt(config, 'current-context')).find((name) => name !== undefined);
  const context = named(configs, 'contexts', 'context', current);
  const exec = recordAt(named(configs, 'users', 'user', stringAt(context, 'user')), 'exec');
  const args = arrayAt(exec ?? {}, 'args');
  const [cluster] = args.slice(4, 5);
  if (typeof cluster !== 'string') return undefined;
  return pluginArguments(server, cluster).every((arg, index) => arg === args[index]) ? cluster : undefined;
}

function readConfig(text: string): readonly JsonRecord[] {
  const document = parseDocument(text);
  if (document.errors.length > 0 || !isMap(document.contents)) return [];
  const root: unknown = document.toJS();
  return isRecord(root) ? [root] : [];
}

/** Returns the entry of that name; the first counts, as with kubectl. */
function named(configs: readonly JsonRecord[], list: string, inner: string, name: string | undefined): JsonRecord {
  const all = configs.flatMap((config) => arrayAt(config, list)).filter(isRecord);
  const found = name === undefined ? undefined : all.find((item) => item['name'] === name);
  return recordAt(found ?? {}, inner) ?? {};
}

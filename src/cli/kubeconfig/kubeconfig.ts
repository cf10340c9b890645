/**
 * Merges our contexts into a kubeconfig: text in, text out. Everything else in the file stays, comments and order
 * included. Of our own entries only the fields that we write change, so that a namespace that a user set there
 * stays too.
 */
import { isMap, isScalar, isSeq, parseDocument, YAMLMap, YAMLSeq, type Document } from 'yaml';
import {
  contextName,
  kubeconfigEntries,
  pluginArguments,
  type KubeconfigEntry,
  type KubeconfigRequest,
} from '../../core/kubeconfig.ts';
import { cliError } from '../errors.ts';
import { arrayAt, isRecord, recordAt, stringAt, type JsonRecord } from '../http/json-shape.ts';

export interface ContextChange {
  /** Name of the context, and of its cluster and user. */
  readonly name: string;
  readonly change: 'added' | 'changed' | 'unchanged' | 'removed';
  /** The address that kubectl connects to; for a removed context, the earlier one. */
  readonly server: string;
}

export interface MergedKubeconfig {
  readonly text: string;
  readonly contexts: readonly ContextChange[];
  /** Empty where there is none. */
  readonly currentContext: string;
}

type List = 'clusters' | 'users' | 'contexts';

/** The key of an item of each list that is not its name. */
const INNER = { clusters: 'cluster', users: 'user', contexts: 'context' } as const;

/** Fields that would make kubectl bypass this plugin or this CA. */
const DROPPED = {
  clusters: ['certificate-authority', 'certificate-authority-data', 'insecure-skip-tls-verify'],
  users: [
    'client-certificate',
    'client-certificate-data',
    'client-key',
    'client-key-data',
    'token',
    'tokenFile',
    'username',
    'password',
    'auth-provider',
  ],
  contexts: [],
} as const;

/** The origin of the text. */
export interface KubeconfigSource {
  /** For messages. */
  readonly file?: string;
  /** Whether another file of `$KUBECONFIG` names a current context: then none is set here. */
  readonly currentElsewhere?: boolean;
}

/**
 * @param existing text of the file; empty for a new one
 * @throws AppError `bad_request` when `existing` is no kubeconfig; nothing is guessed
 */
export function mergeKubeconfig(
  existing: string,
  request: KubeconfigRequest,
  { file, currentElsewhere = false }: KubeconfigSource = {},
): MergedKubeconfig {
  const document = parseExisting(existing, file);
  const before = entriesOf(document);
  const stale = staleEntries(before, request);
  const entries = kubeconfigEntries(request);
  for (const entry of entries) write(document, entry);
  for (const { name } of stale) remove(document, name);
  const after = entriesOf(document);
  const written = entries.map(({ name, cluster }): ContextChange => {
    const [was, is] = [before, after].map((all) => JSON.stringify(partsOf(all, name)));
    const known = before.contexts.has(name);
    return { name, change: known ? (was === is ? 'unchanged' : 'changed') : 'added', server: cluster['server'] ?? '' };
  });
  const currentContext = settleCurrent(document, { stale, first: entries[0]?.name, currentElsewhere });
  // kubectl does not indent its lists, so a file that kubectl wrote keeps that format.
  const indentSeq = !/^(?:clusters|contexts|users):\n- /m.test(existing);
  const text = document.toString({ lineWidth: 0, indentSeq });
  return { text, contexts: [...written, ...stale], currentContext };
}

/** Returns whether the text has an entry for this server. False for a text that is no kubeconfig. */
export function mentionsServer(text: string, server: string): boolean {
  try {
    const users = [...entriesOf(parseExisting(text)).users.values()];
    return users.some((user) => argumentsOf(user)[2] === server);
  } catch {
    return false;
  }
}

/** Returns whether the text names a current context. False for a text that is no kubeconfig. */
export function namesCurrentContext(text: string): boolean {
  try {
    const current = parseExisting(text).get('current-context');
    return typeof current === 'string' && current !== '';
  } catch {
    return false;
  }
}

function settleCurrent(
  document: Document,
  facts: { stale: readonly ContextChange[]; first: string | undefined; currentElsewhere: boolean },
): string {
  const current = document.get('current-context');
  const named = typeof current === 'string' ? current : '';
  if (facts.stale.some(({ name }) => name === named)) {
    // Never switches to another cluster by itself: the next `kubectl delete` would be meant for the removed one.
    document.set('current-context', '');
    return '';
  }
  if (named !== '' || facts.currentElsewhere || facts.first === undefined) return named;
  document.set('current-context', facts.first);
  return facts.first;
}

type Entries = Readonly<Record<List, ReadonlyMap<string, JsonRecord>>>;

/** Returns the entries by name, as plain values; the first of a name counts, as with kubectl. */
function entriesOf(document: Document): Entries {
  const root: unknown = document.toJS();
  const read = (list: List): Map<string, JsonRecord> => {
    const found = new Map<string, JsonRecord>();
    for (const item of isRecord(root) ? arrayAt(root, list) : []) {
      const name = isRecord(item) ? stringAt(item, 'name') : undefined;
      if (isRecord(item) && name !== undefined && !found.has(name)) found.set(name, recordAt(item, INNER[list]) ?? {});
    }
    return found;
  };
  return { clusters: read('clusters'), users: read('users'), contexts: read('contexts') };
}

const partsOf = (entries: Entries, name: string): readonly (JsonRecord | undefined)[] => [
  entries.clusters.get(name),
  entries.users.get(name),
  entries.contexts.get(name),
];

const argumentsOf = (user: JsonRecord): readonly unknown[] => arrayAt(recordAt(user, 'exec') ?? {}, 'args');

/**
 * Returns contexts of clusters that this user may no longer use. Only those that are certainly ours: with our name,
 * our command, and used by no other context.
 */
function staleEntries({ clusters, users, contexts }: Entries, request: KubeconfigRequest): readonly ContextChange[] {
  const wanted = new Set(request.clusters.map((cluster) => cluster.name));
  const stale: ContextChange[] = [];
  for (const [name, user] of users) {
    const cluster = argumentsOf(user)[4];
    if (typeof cluster !== 'string' || wanted.has(cluster) || name !== contextName(request.server, cluster)) continue;
    // Compares all arguments: a workload's contexts say nothing about a user's, and vice versa.
    const args = [...pluginArguments(request.server, cluster), ...(request.args ?? [])];
    if (JSON.stringify(argumentsOf(user)) !== JSON.stringify(args)) continue;
    const using = [...contexts].filter(([, context]) => context['user'] === name || context['cluster'] === name);
    const [[contextOfName, context] = ['', {}], ...others] = using;
    if (others.length > 0 || contextOfName !== name || context['user'] !== name || context['cluster'] !== name)
      continue;
    const server = stringAt(clusters.get(name) ?? {}, 'server') ?? '';
    stale.push({ name, change: 'removed', server });
  }
  return stale;
}

function write(document: Document, { name, cluster, exec }: KubeconfigEntry): void {
  put(document, 'clusters', name, cluster);
  const user = put(document, 'users', name, {});
  const present: unknown = user.get('exec');
  // Variables that a user gave the plugin, such as a proxy, stay.
  const env: unknown = isMap(present) ? present.toJSON().env : undefined;
  assign(document, user, { exec: { ...exec, ...(env === undefined || env === null ? {} : { env }) } });
  put(document, 'contexts', name, { cluster: name, user: name });
}

/** Finds the item of that name or adds one at the end, and sets the fields. @returns its inner map */
function put(document: Document, list: List, name: string, fields: Readonly<Record<string, unknown>>): YAMLMap {
  const sequence = sequenceOf(document, list);
  let item = sequence.items.find((present) => isMap(present) && present.get('name') === name);
  if (!isMap(item)) {
    item = document.createNode({ name });
    sequence.items.push(item);
  }
  if (!isMap(item)) throw unreadable(`an item of ${list} is not a mapping`);
  let inner: unknown = item.get(INNER[list]);
  if (!isMap(inner)) {
    inner = new YAMLMap();
    item.set(INNER[list], inner);
  }
  if (!isMap(inner)) throw unreadable(`an item of ${list} is not a mapping`);
  for (const key of DROPPED[list]) if (!(key in fields)) inner.delete(key);
  assign(document, inner, fields);
  return inner;
}

/** Equal values are not touched, so that they keep their comments. */
function assign(document: Document, map: YAMLMap, fields: Readonly<Record<string, unknown>>): void {
  for (const [key, value] of Object.entries(fields)) {
    const present: unknown = map.get(key, true);
    const plain: unknown = isMap(present) || isSeq(present) || isScalar(present) ? present.toJSON() : undefined;
    if (JSON.stringify(plain) !== JSON.stringify(value)) map.set(key, document.createNode(value));
  }
}

function remove(document: Document, name: string): void {
  for (const list of ['clusters', 'users', 'contexts'] as const) {
    const sequence = sequenceOf(document, list);
    sequence.items = sequence.items.filter((item) => !(isMap(item) && item.get('name') === name));
  }
}

function sequenceOf(document: Document, list: List): YAMLSeq {
  const found = document.get(list);
  if (isSeq(found)) {
    if (found.items.length === 0) found.flow = false; // `kubectl config` writes an empty list as []
    return found;
  }
  const made = new YAMLSeq();
  document.set(list, made);
  return made;
}

function parseExisting(text: string, file?: string): Document {
  const document: Document = parseDocument(text, { strict: true, uniqueKeys: true });
  const [error] = document.errors;
  if (error !== undefined) throw unreadable(`it is not YAML (${error.code})`, file);
  if (document.contents === null) {
    document.contents = new YAMLMap();
    document.set('apiVersion', 'v1');
    document.set('kind', 'Config');
  }
  if (!isMap(document.contents)) throw unreadable('it is not a mapping', file);
  const kind = document.get('kind');
  if (kind !== undefined && kind !== 'Config') throw unreadable('its kind is not Config', file);
  for (const list of ['clusters', 'users', 'contexts'] as const) {
    const found = document.get(list) ?? null;
    if (found !== null && !isSeq(found)) throw unreadable(`${list} is not a list`, file);
  }
  return document;
}

function unreadable(why: string, file?: string): Error {
  const what = `The kubeconfig${file === undefined ? '' : ` ${file}`} cannot be read: ${why}. Nothing was changed.`;
  return cliError('bad_request', what, 'correct it, or give another with --file');
}

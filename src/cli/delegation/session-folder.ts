/**
 * The folder of a delegated session, and the kubeconfig that leads to it and to nothing else.
 *
 *     FOLDER/KEY/…         the session, in the format of the cache (cache.ts), with the mark of a delegated one
 *     FOLDER/kubeconfig    for a command that is run with it
 *
 * A kubeconfig names its folder by the full path, in a variable of the plugin: kubectl resolves a command that is relative to the
 * file, and others that load kubeconfigs, such as kubernetes-mcp-server and `@kubernetes/client-node`, do not.
 *
 * Never in the user's own cache, and never in the keyring: another Unix user or a container is to use it without them.
 */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { randomBytes } from 'node:crypto';
import { isMap, parseDocument, stringify } from 'yaml';
import { newKubeconfig } from '../../core/kubeconfig.ts';
import { DELEGATED_DIR } from '../environment.ts';
import { cliError } from '../errors.ts';
import { arrayAt, isRecord, recordAt, type JsonRecord } from '../http/json-shape.ts';
import { readKubeconfig } from '../kubeconfig/kubeconfig-file.ts';
import { knownServers, locateEntry, writePins, writeSession } from '../session/cache.ts';
import { ensurePrivateDirectory, isMissing, unwritable, writePrivateFile } from '../session/private-files.ts';
import type { DelegatedMark } from '../session/delegated.ts';
import type { OpenSession } from '../session/secrets.ts';
import { defined } from '../../core/defined.ts';

/** A session that was made, and what its files need. */
export interface NewChild {
  readonly session: OpenSession;
  readonly mark: DelegatedMark;
  /** The namespace of its contexts. */
  readonly namespace: string | undefined;
  /** The command that kubectl runs. */
  readonly command: string;
}

/**
 * Creates an empty folder for a command.
 * @param name of who acts, for its name
 * @returns its full path. A command that changes its folder would take a relative one for whatever is at that path there.
 */
export function temporaryFolder(name: string): string {
  const base = resolve(tmpdir());
  try {
    return mkdtempSync(join(base, `portcullis-${name}-`));
  } catch (error) {
    const next = 'create it, or set TMPDIR to another folder';
    if (isMissing(error)) throw cliError('bad_request', `The folder ${base} does not exist.`, next, { cause: error });
    throw unwritable(base, error, 'free some space, or set TMPDIR to a folder on another disk');
  }
}

/** Writes session and kubeconfig. @returns the path of the kubeconfig */
export function fillTemporaryFolder(dir: string, child: NewChild): string {
  writeSessionFiles(dir, child);
  const file = join(dir, 'kubeconfig');
  writePrivateFile(file, kubeconfigText(child, dir));
  return file;
}

function writeSessionFiles(dir: string, { session, mark }: NewChild): void {
  ensurePrivateDirectory(dir);
  const entry = locateEntry(dir, { url: session.server, credentialStore: 'file', delegated: mark });
  const { origin: web } = new URL(session.server);
  writePins(entry, { web, api: new URL(session.endpoints.token).origin });
  writeSession(entry, session);
}

function kubeconfigText({ session, namespace, command }: NewChild, dir: string): string {
  const request = {
    server: session.server,
    clusters: session.user.clusters,
    command,
    env: { [DELEGATED_DIR]: dir },
    ...defined({ namespace }),
  };
  return stringify(newKubeconfig(request), { lineWidth: 0 });
}

/** A kubeconfig that lasts, and the folder beside it. */
export interface Destination {
  readonly file: string;
  readonly dir: string;
  /** Of an earlier delegated session there: its id. */
  readonly earlier?: string;
}

/**
 * Returns where a kubeconfig and its folder will be, before anything is made.
 * @param force also where the file is a kubeconfig of another kind, or no kubeconfig
 * @throws AppError `conflict` where something else is there
 */
export function checkDestination(file: string, force: boolean): Destination {
  const dir = `${file}.d`;
  if (!existsSync(dirname(file))) {
    throw cliError('bad_request', `The folder ${dirname(file)} does not exist.`, 'create it, or give another file');
  }
  if (statSync(file, { throwIfNoEntry: false })?.isFile() === false) {
    throw cliError('bad_request', `${file} is not a plain file.`, 'give another file');
  }
  const text = readKubeconfig(file);
  if (text !== '' && !force && !isOurs(text)) {
    throw exists(file, 'is not the kubeconfig of a delegated session', 'give another file, or add --force');
  }
  const found = existsSync(dir) ? knownServers(dir).find(({ delegated }) => delegated !== undefined) : undefined;
  if (found === undefined && existsSync(dir) && readdirSync(dir).length > 0) {
    throw exists(dir, 'is not the folder of a delegated session', 'move it away, or give another file');
  }
  return { file, dir, ...(found?.delegated === undefined ? {} : { earlier: found.delegated.id }) };
}

/** Each of its users is that of a delegated session: nothing is lost with it. */
function isOurs(text: string): boolean {
  const document = parseDocument(text);
  const root: unknown = isMap(document.contents) && document.errors.length === 0 ? document.toJS() : undefined;
  const users = isRecord(root) ? arrayAt(root, 'users') : [];
  const execs = users.map((item) => recordAt(isRecord(item) ? (recordAt(item, 'user') ?? {}) : {}, 'exec') ?? {});
  const named = (exec: JsonRecord): boolean =>
    arrayAt(exec, 'env').some((variable) => isRecord(variable) && variable['name'] === DELEGATED_DIR);
  return users.length > 0 && execs.every(named);
}

const exists = (path: string, why: string, next: string): Error =>
  cliError('conflict', `${path} exists and ${why}. Nothing was changed.`, next, { reason: 'kubeconfig_exists' });

/**
 * Writes the kubeconfig and its folder; what was of an earlier delegated session is replaced at the end, in two
 * renames.
 */
export function writeDestination({ file, dir }: Destination, child: NewChild): void {
  const [draft, old] = ['new', 'old'].map((kind) => `${dir}.${kind}-${randomBytes(4).toString('hex')}`) as [
    string,
    string,
  ];
  try {
    mkdirSync(draft, { mode: 0o700 });
    writeSessionFiles(draft, child);
    if (existsSync(dir)) renameSync(dir, old);
    renameSync(draft, dir);
    writePrivateFile(file, kubeconfigText(child, dir));
  } catch (error) {
    throw unwritable(file, error, 'free some space, or give another file');
  } finally {
    for (const left of [draft, old]) rmSync(left, { recursive: true, force: true });
  }
}

/** The files of a run: its kubeconfig, which holds the secret, and its Unix socket. */
import { closeSync, constants, fstatSync, fsyncSync, lstatSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { stringify } from 'yaml';
import { contextName } from '../../core/kubeconfig.ts';
import { cliError } from '../errors.ts';
import { codeOf } from '../session/private-files.ts';

export interface KubeconfigFacts {
  /** Public URL of Portcullis, for the context's name. */
  readonly server: string;
  readonly cluster: string;
  readonly port: number;
  /** PEM of the CA of this run. */
  readonly ca: string;
  readonly secret: string;
}

/**
 * Returns a kubeconfig with one context, named as `portcullis kubeconfig` names it, so that a script needs no other
 * name.
 */
export function kubeconfigText({ server, cluster, port, ca, secret }: KubeconfigFacts): string {
  const name = contextName(server, cluster);
  const address = `https://127.0.0.1:${port}`;
  const caData = Buffer.from(ca).toString('base64');
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name, cluster: { server: address, 'certificate-authority-data': caData } }],
    users: [{ name, user: { token: secret } }],
    contexts: [{ name, context: { cluster: name, user: name } }],
    'current-context': name,
  };
  return stringify(config, { lineWidth: 0 });
}

/**
 * Writes a new file that only this user can read.
 * @returns a function that removes it, at most once
 * @throws AppError `conflict` when something is there, a link included; `bad_request` when it cannot be written
 */
export function writeKubeconfig(path: string, text: string): () => void {
  // O_EXCL: an attacker may have put a link there, to a file of theirs or to one of ours, so nothing is followed or
  // overwritten.
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | (constants.O_NOFOLLOW ?? 0);
  let made: { readonly dev: number; readonly ino: number } | undefined;
  try {
    const descriptor = openSync(path, flags, 0o600);
    try {
      made = fstatSync(descriptor);
      writeFileSync(descriptor, text);
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
  } catch (cause) {
    if (made !== undefined) removeIfStill(path, made);
    throw unwritten(path, cause);
  }
  const { dev, ino } = made;
  return () => removeIfStill(path, { dev, ino });
}

/** Does not remove a file that another run or another program has put in its place. */
function removeIfStill(path: string, made: { readonly dev: number; readonly ino: number }): void {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found?.dev === made.dev && found.ino === made.ino) rmSync(path, { force: true });
}

function unwritten(path: string, cause: unknown): unknown {
  const code = codeOf(cause);
  if (code === undefined) return cause;
  if (code === 'EEXIST' || code === 'ELOOP') {
    const next = `if no other run uses it: rm ${path}; or give another with --kubeconfig`;
    return cliError('conflict', `${path} exists and is not overwritten.`, next, {
      reason: 'kubeconfig_exists',
      cause,
    });
  }
  return cliError(
    'bad_request',
    `The kubeconfig ${path} cannot be written (${code}).`,
    'give another with --kubeconfig',
    {
      reason: 'kubeconfig_unwritable',
      cause,
    },
  );
}

/**
 * Checks the folder of a Unix socket. An attacker who may write there could replace the socket, and one who may
 * enter it could connect: on a socket only the folder identifies the client.
 * @throws AppError `bad_request`
 */
export function checkSocketFolder(path: string): void {
  if (process.getuid === undefined) {
    throw cliError('bad_request', '--socket needs a system with file owners.', 'leave it out to listen on a port');
  }
  const folder = dirname(path);
  const found = lstatSync(folder, { throwIfNoEntry: false });
  const next = 'create your own folder for it: mkdir -m 700 FOLDER';
  const rejection = (why: string): Error =>
    cliError('bad_request', `${folder} ${why}.`, next, { reason: 'socket_place' });
  if (found === undefined) throw rejection('does not exist');
  if (!found.isDirectory()) throw rejection('is not a folder (a link is not followed)');
  if (found.uid !== process.geteuid?.()) throw rejection('belongs to another user');
  if ((found.mode & 0o777) !== 0o700)
    throw rejection(`has the mode ${(found.mode & 0o777).toString(8)}, and 700 is needed`);
}

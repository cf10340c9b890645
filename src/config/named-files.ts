/** The files that a configuration names: they are checked when it is read, not at the first sign-in. */
import { constants, existsSync } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { dirname, isAbsolute } from 'node:path';
import { valueAt, type ValidationErrors, type Path } from './document.ts';
import { readSecretFile } from './files.ts';

type Kind = 'file' | 'secret' | 'directory' | 'written' | 'made';

/** Settings that name files, a star for every item of a list. */
const SETTINGS: readonly (readonly [Kind, readonly string[]])[] = [
  ['file', ['listen', 'api', 'certFile']],
  ['file', ['listen', 'api', 'keyFile']],
  ['file', ['listen', 'api', 'publicCaFile']],
  ['file', ['listen', 'web', 'certFile']],
  ['file', ['listen', 'web', 'keyFile']],
  ['secret', ['store', 'redis', 'usernameFile']],
  ['secret', ['store', 'redis', 'passwordFile']],
  ['secret', ['store', 'redis', 'sentinelUsernameFile']],
  ['secret', ['store', 'redis', 'sentinelPasswordFile']],
  ['file', ['store', 'redis', 'caFile']],
  ['directory', ['keys', 'signingDir']],
  ['directory', ['keys', 'sealingDir']],
  ['directory', ['keys', 'auditDir']],
  ['secret', ['providers', '*', 'clientSecretFile']],
  ['secret', ['providers', '*', 'clientKeyFile']],
  ['file', ['providers', '*', 'clientCertFile']],
  ['file', ['providers', '*', 'caFile']],
  ['secret', ['providers', '*', 'serviceAccountFile']],
  ['secret', ['providers', '*', 'proxyCredentialsFile']],
  ['secret', ['clusters', '*', 'tokenFile']],
  ['file', ['clusters', '*', 'caFile']],
  ['file', ['consoles', '*', 'caFile']],
  ['file', ['workload', '*', 'caFile']],
  ['secret', ['workload', '*', 'proxyCredentialsFile']],
  ['file', ['delegation', 'clients', '*', 'jwksFile']],
  ['file', ['delegation', 'clients', '*', 'certFile']],
  ['file', ['delegation', 'clients', '*', 'caFile']],
  ['secret', ['delegation', 'clients', '*', 'proxyCredentialsFile']],
  ['file', ['delegation', 'clientMetadata', 'caFile']],
  ['secret', ['delegation', 'clientMetadata', 'proxyCredentialsFile']],
  ['secret', ['access', 'notify', '*', 'urlFile']],
  ['secret', ['access', 'notify', '*', 'secretFile']],
  ['file', ['access', 'notify', '*', 'caFile']],
  ['secret', ['access', 'notify', '*', 'proxyCredentialsFile']],
  ['secret', ['outbound', 'proxyCredentialsFile']],
  ['file', ['outbound', 'proxyCaFile']],
  ['written', ['audit', 'sinks', '*', 'path']],
  ['written', ['audit', 'sinks', '*', 'rejectedPath']],
  ['file', ['audit', 'sinks', '*', 'caFile']],
  ['file', ['audit', 'sinks', '*', 'certFile']],
  ['file', ['audit', 'sinks', '*', 'keyFile']],
  ['secret', ['audit', 'sinks', '*', 'tokenFile']],
  ['secret', ['audit', 'sinks', '*', 'proxyCredentialsFile']],
  ['made', ['audit', 'sinks', '*', 'spoolDir']],
];

/**
 * Reads the document itself, so that an error elsewhere in a section hides no missing file.
 * @param locate makes a path absolute
 */
export async function checkNamedFiles(
  root: unknown,
  locate: (file: string) => string,
  errors: ValidationErrors,
): Promise<void> {
  for (const [kind, setting] of SETTINGS) {
    for (const path of expand(root, setting)) {
      const file = valueAt(root, path);
      const error = typeof file === 'string' && file !== '' ? await checkFile(file, locate, kind) : undefined;
      if (error !== undefined) errors.add(path, error);
    }
  }
}

function expand(root: unknown, setting: readonly string[]): readonly Path[] {
  const star = setting.indexOf('*');
  if (star === -1) return [setting];
  const before = setting.slice(0, star);
  const list = valueAt(root, before);
  return Array.isArray(list) ? list.map((_, index) => [...before, index, ...setting.slice(star + 1)]) : [];
}

async function checkFile(given: string, locate: (file: string) => string, kind: Kind): Promise<string | undefined> {
  const file = locate(given);
  try {
    if (kind === 'secret') readSecretFile(file);
    else if (kind === 'written') await access(dirname(file), constants.W_OK | constants.X_OK);
    else if (kind === 'made') await access(existsSync(file) ? file : dirname(file), constants.W_OK | constants.X_OK);
    else await access(file, kind === 'directory' ? constants.R_OK | constants.X_OK : constants.R_OK);
    if (kind === 'written' || kind === 'made') return undefined;
    return (await stat(file)).isDirectory() === (kind === 'directory') ? undefined : EXPECTED[kind];
  } catch (error) {
    const why = error instanceof Error && 'code' in error ? String(error.code) : 'empty, or larger than 64 KiB';
    // A relative path counts from the configuration's folder, which is seldom the one that its author thinks of.
    return `${EXPECTED[kind]} (${why}${isAbsolute(given) ? '' : `, in ${locate('.')}`})`;
  }
}

const EXPECTED: Record<Kind, string> = {
  file: 'a file that can be read',
  secret: 'a file that can be read and holds the secret',
  directory: 'a directory that can be read',
  written: 'a file in a directory that can be written to',
  made: 'a directory that can be written to, or made',
};

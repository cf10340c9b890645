/**
 * Files that a configuration names: they are looked at when it is read, not at the first sign-in at night.
 */
import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { FaultList, Path } from './document.ts';
import { readSecretFile } from './files.ts';
import type { Sections } from './sections.ts';

type Kind = 'file' | 'secret' | 'directory' | 'written';

interface NamedFile {
  readonly path: Path;
  readonly file: string;
  readonly kind: Kind;
}

/** @param locate makes a path absolute */
export async function checkNamedFiles(
  sections: Sections,
  locate: (file: string) => string,
  faults: FaultList,
): Promise<void> {
  for (const { path, file, kind } of namedFiles(sections)) {
    const problem = await problemOf(locate(file), kind);
    if (problem !== undefined) faults.add(path, problem);
  }
}

function namedFiles({ listen, store, keys, providers, clusters, audit }: Sections): readonly NamedFile[] {
  const files: NamedFile[] = [];
  const name = (kind: Kind, path: Path, file: string | undefined): void => {
    if (file !== undefined) files.push({ kind, path, file });
  };
  name('file', ['listen', 'api', 'certFile'], listen?.api.certFile);
  name('file', ['listen', 'api', 'keyFile'], listen?.api.keyFile);
  name('file', ['listen', 'api', 'publicCaFile'], listen?.api.publicCaFile);
  name('file', ['listen', 'web', 'certFile'], listen?.web.certFile);
  name('file', ['listen', 'web', 'keyFile'], listen?.web.keyFile);
  name('secret', ['store', 'redis', 'usernameFile'], store?.redis?.usernameFile);
  name('secret', ['store', 'redis', 'passwordFile'], store?.redis?.passwordFile);
  name('file', ['store', 'redis', 'caFile'], store?.redis?.caFile);
  name('directory', ['keys', 'signingDir'], keys?.signingDir);
  name('directory', ['keys', 'sealingDir'], keys?.sealingDir);
  providers.forEach((provider, index) => {
    name('secret', ['providers', index, 'clientSecretFile'], provider?.clientSecretFile);
    name('file', ['providers', index, 'caFile'], provider?.caFile);
  });
  clusters.forEach((cluster, index) => {
    name('secret', ['clusters', index, 'tokenFile'], cluster?.tokenFile);
    name('file', ['clusters', index, 'caFile'], cluster?.caFile);
  });
  audit?.sinks.forEach((sink, index) => {
    if (sink.type === 'file') name('written', ['audit', 'sinks', index, 'path'], sink.path);
  });
  return files;
}

async function problemOf(file: string, kind: Kind): Promise<string | undefined> {
  try {
    if (kind === 'secret') readSecretFile(file);
    else if (kind === 'written') await access(dirname(file), constants.W_OK | constants.X_OK);
    else await access(file, kind === 'directory' ? constants.R_OK | constants.X_OK : constants.R_OK);
    if (kind === 'written') return undefined;
    return (await stat(file)).isDirectory() === (kind === 'directory') ? undefined : WANTED[kind];
  } catch (error) {
    return `${WANTED[kind]} (${error instanceof Error && 'code' in error ? String(error.code) : 'empty, or larger than 64 KiB'})`;
  }
}

const WANTED: Record<Kind, string> = {
  file: 'a file that can be read',
  secret: 'a file that can be read and holds the secret',
  directory: 'a directory that can be read',
  written: 'a file in a directory that can be written to',
};

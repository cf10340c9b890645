/** The files of a release, as their SHA256SUMS lists them, and where they are downloaded from. */
import { createHash } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

export interface ReleaseFile {
  readonly name: string;
  /** Lower-case hexadecimal. */
  readonly sha256: string;
  readonly url: string;
}

export interface Release {
  /** Without the `v` of the tag. */
  readonly version: string;
  /** `OWNER/NAME` */
  readonly repository: string;
  readonly homepage: string;
  /** Address of the folder of the files, without a slash at its end. */
  readonly download: string;
  readonly description: string;
  readonly files: readonly ReleaseFile[];
}

/** What GitHub allows in names of owners and repositories; nothing that a shell, YAML or Ruby reads as anything else. */
const REPOSITORY = /^[A-Za-z0-9][A-Za-z0-9-]{0,38}\/[A-Za-z0-9_.-]{1,100}$/;
const VERSION = /^\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?$/;
const DOWNLOAD = /^https?:\/\/[A-Za-z0-9.:/_~-]+[A-Za-z0-9]$/;
const SUM = /^([0-9a-f]{64}) {2}([A-Za-z0-9._-]+)$/;

export interface ReleaseOptions {
  readonly directory: string;
  readonly repository: string;
  readonly version: string;
  /** Default: where GitHub has the files of the release. */
  readonly download?: string;
  readonly description: string;
}

/**
 * Reads the sums of `directory` and checks them against the files.
 * @throws Error where a name has an unexpected form, or a file is missing, altered or not listed
 */
export function readRelease({ directory, repository, version, download, description }: ReleaseOptions): Release {
  if (!REPOSITORY.test(repository)) throw new Error(`not OWNER/NAME: ${repository}`);
  if (!VERSION.test(version)) throw new Error(`not a version such as 1.2.3: ${version}`);
  const homepage = `https://github.com/${repository}`;
  const base = download ?? `${homepage}/releases/download/v${version}`;
  if (!DOWNLOAD.test(base)) throw new Error(`not an address without a slash at its end: ${base}`);
  const files = readSums(directory).map(({ name, sha256 }) => ({ name, sha256, url: `${base}/${name}` }));
  return { version, repository, homepage, download: base, description, files };
}

function readSums(directory: string): readonly { readonly name: string; readonly sha256: string }[] {
  const lines = readFileSync(join(directory, 'SHA256SUMS'), 'utf8').trimEnd().split('\n');
  const listed = lines.map((line) => {
    const [, sha256, name] = SUM.exec(line) ?? [];
    if (sha256 === undefined || name === undefined) throw new Error(`not a line of SHA256SUMS: ${line}`);
    if (sha256 !== sumOf(join(directory, name))) throw new Error(`${name} is not the file that SHA256SUMS lists`);
    return { name, sha256 };
  });
  const present = readdirSync(directory, { withFileTypes: true }).filter((entry) => entry.isFile());
  const stray = present.find(({ name }) => name !== 'SHA256SUMS' && !listed.some((file) => file.name === name));
  if (stray !== undefined) throw new Error(`${stray.name} is not in SHA256SUMS`);
  return listed;
}

export const sumOf = (path: string): string => createHash('sha256').update(readFileSync(path)).digest('hex');

/** Returns the file with this name, or undefined where the release has none. */
const fileNamed = ({ files }: Release, name: string): ReleaseFile | undefined =>
  files.find((file) => file.name === name);

/** Returns the archive with Node inside for a system, or undefined. */
export const archiveFor = (release: Release, system: string, architecture: 'x64' | 'arm64'): ReleaseFile | undefined =>
  fileNamed(release, `portcullis-${release.version}-${system}-${architecture}.tar.gz`);

/**
 * Returns the package for npm, which is also an archive for every system with a POSIX shell and Node 24.
 * @throws Error where the release has none
 */
export function npmPackageOf(release: Release): ReleaseFile {
  const found = fileNamed(release, `portcullis-${release.version}.tgz`);
  if (found === undefined) throw new Error(`the release has no portcullis-${release.version}.tgz`);
  return found;
}

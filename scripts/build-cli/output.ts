/** Writes what was built, the same on every machine. */
import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

export function writeTo(out: string, path: string, content: string | Buffer, mode = 0o644): void {
  const file = join(out, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, content);
  chmodSync(file, mode); // whatever the umask is
}

/** Writes the sums of all files in the folder, in the form that `sha256sum --check` reads. */
export function writeSums(out: string): void {
  const files = readdirSync(out, { withFileTypes: true }).filter((found) => found.isFile());
  const sumOf = (name: string): string =>
    createHash('sha256')
      .update(readFileSync(join(out, name)))
      .digest('hex');
  const names = files.map(({ name }) => name).toSorted();
  writeTo(out, 'SHA256SUMS', names.map((name) => `${sumOf(name)}  ${name}\n`).join(''));
}

/** Copies of the sources in which one safeguard is switched off, so that each test can show that it would notice. */
import { cp, mkdtemp, mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

export interface Edit {
  readonly file: string;
  /** Must occur exactly once. */
  readonly find: string;
  readonly replace: string;
}

/** A safeguard of docs/revocation-protocol.md and how it is switched off. */
export interface Safeguard {
  readonly name: string;
  readonly edits: readonly Edit[];
}

export interface BrokenCopy extends AsyncDisposable {
  /** In place of the project's own root. */
  readonly root: string;
}

/**
 * @throws Error where the sources no longer have what is to be taken out: a safeguard that cannot be switched off proves nothing
 */
export async function withoutSafeguard(safeguard: Safeguard): Promise<BrokenCopy> {
  const root = await mkdtemp(join(tmpdir(), 'portcullis-chaos-'));
  await mkdir(join(root, 'test'));
  await Promise.all([
    cp(join(ROOT, 'src'), join(root, 'src'), { recursive: true }),
    cp(join(ROOT, 'test/chaos'), join(root, 'test/chaos'), { recursive: true }),
    cp(join(ROOT, 'package.json'), join(root, 'package.json')),
    symlink(join(ROOT, 'node_modules'), join(root, 'node_modules')),
  ]);
  for (const { file, find, replace } of safeguard.edits) {
    const path = join(root, file);
    const source = await readFile(path, 'utf8');
    const parts = source.split(find);
    if (parts.length !== 2) {
      throw new Error(`${safeguard.name}: ${file} has ${parts.length - 1} times what is to be taken out: ${find}`);
    }
    await writeFile(path, parts.join(replace));
  }
  return { root, [Symbol.asyncDispose]: () => rm(root, { recursive: true, force: true }) };
}

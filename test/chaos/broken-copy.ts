/**
 * Copies of the sources in which some statements are replaced. Each is in the sources below a comment that names it, so that
 * other changes of a statement or of its file do not concern a test. Production code has no switch that an attacker could set.
 */
import { globSync } from 'node:fs';
import { cp, mkdtemp, mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

export interface Edit {
  /** NAME of the line `// safeguard: NAME` or `// test seam: NAME` (in Lua `-- …`), of which `src` has exactly one, right above the statement. */
  readonly marker: string;
  /** Returns the replacement. */
  readonly replace: (statement: string) => string;
}

/** A safeguard of docs/revocation-protocol.md and how it is removed; or another change of the sources that a test needs. */
export interface Safeguard {
  readonly name: string;
  readonly edits: readonly Edit[];
}

export const replaced = (marker: string, text: string): Edit => ({ marker, replace: () => text });
export const removed = (marker: string): Edit => replaced(marker, '');
export const precededBy = (marker: string, text: string): Edit => ({
  marker,
  replace: (statement) => `${text}\n${statement}`,
});
export const followedBy = (marker: string, text: string): Edit => ({
  marker,
  replace: (statement) => `${statement}\n${text}`,
});

export interface BrokenCopy extends AsyncDisposable {
  /** In place of the project's own root. */
  readonly root: string;
}

const MARKER = /^ *(?:\/\/|--) (?:safeguard|test seam): (\w+)$/;

/** Returns the file below a root of each marker in its `src`, one row for each occurrence. */
export async function markersIn(root: string): Promise<readonly { readonly marker: string; readonly file: string }[]> {
  const files = globSync('src/**/*.ts', { cwd: root });
  const found = files.map(async (file) => {
    const lines = (await readFile(join(root, file), 'utf8')).split('\n');
    return lines.flatMap((line) => MARKER.exec(line)?.[1] ?? []).map((marker) => ({ marker, file }));
  });
  return (await Promise.all(found)).flat();
}

const indentOf = (line: string): number => line.length - line.trimStart().length;

/**
 * Returns the source with one statement replaced: the first line below the marker, the lines that are indented further, and the lines that close
 * what it opens.
 * @throws Error where the marker is missing or occurs twice, or where nothing would change: a safeguard that cannot be removed proves nothing
 */
export function edited(source: string, { marker, replace }: Edit): string {
  const lines = source.split('\n');
  const marked = lines.flatMap((line, index) => (MARKER.exec(line)?.[1] === marker ? [index] : []));
  const [at, ...others] = marked;
  if (at === undefined || others.length > 0) throw new Error(`the marker ${marker} stands ${marked.length} times`);
  const indent = indentOf(lines[at] ?? '');
  const belongs = (line: string): boolean =>
    line.trim() === '' || indentOf(line) > indent || (indentOf(line) === indent && /^ *(?:[)}\]]|end\b)/.test(line));
  const after = lines.findIndex((line, index) => index > at + 1 && !belongs(line));
  const statement = lines
    .slice(at + 1, after)
    .join('\n')
    .trimEnd();
  if (/^ *(?:\/\/|--|\/?\*|$)/.test(statement)) throw new Error(`there is no statement below the marker ${marker}`);
  const text = replace(statement);
  if (text === statement) throw new Error(`nothing is changed at the marker ${marker}`);
  return [...lines.slice(0, at + 1), text, ...lines.slice(after)].join('\n');
}

/** @throws Error where one of its markers is not in the sources exactly once */
export async function withoutSafeguard({ name, edits }: Safeguard): Promise<BrokenCopy> {
  const root = await mkdtemp(join(tmpdir(), 'portcullis-copy-'));
  await mkdir(join(root, 'test'));
  const copied = ['src', 'demo', 'test/chaos', 'package.json'];
  await Promise.all([
    ...copied.map((path) => cp(join(ROOT, path), join(root, path), { recursive: true })),
    ...['node_modules', 'scripts'].map((path) => symlink(join(ROOT, path), join(root, path))),
  ]);
  const markers = await markersIn(root);
  for (const edit of edits) {
    const [at, ...others] = markers.filter(({ marker }) => marker === edit.marker);
    if (at === undefined || others.length > 0) {
      throw new Error(
        `${name}: the marker ${edit.marker} is ${at === undefined ? 'missing' : 'not the only one'} in src`,
      );
    }
    const path = join(root, at.file);
    await writeFile(path, edited(await readFile(path, 'utf8'), edit));
  }
  return { root, [Symbol.asyncDispose]: () => rm(root, { recursive: true, force: true }) };
}

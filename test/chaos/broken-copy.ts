/**
 * The sources with some statements replaced: where they are loaded, or in a copy of their own. Each statement is in the sources below a
 * comment that names it, so that other changes of a statement or of its file do not concern a test. Production code has no switch that an
 * attacker could set.
 */
import { globSync } from 'node:fs';
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

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
  const files = globSync('src/**/*.{ts,lua}', { cwd: root });
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

/** Returns the files below a root that a safeguard's edits change, by their path, with what they are then. */
async function changedFiles(root: string, { name, edits }: Safeguard): Promise<ReadonlyMap<string, string>> {
  const markers = await markersIn(root);
  const changed = new Map<string, string>();
  for (const edit of edits) {
    const [at, ...others] = markers.filter(({ marker }) => marker === edit.marker);
    if (at === undefined || others.length > 0) {
      throw new Error(
        `${name}: the marker ${edit.marker} is ${at === undefined ? 'missing' : 'not the only one'} in src`,
      );
    }
    const path = join(root, at.file);
    changed.set(path, edited(changed.get(path) ?? (await readFile(path, 'utf8')), edit));
  }
  return changed;
}

export interface ChangedLaunch extends AsyncDisposable {
  /** For `node`, or in `NODE_OPTIONS` for all that a program starts: the sources are loaded with the statements replaced. */
  readonly option: string;
}

/**
 * Changes the sources as they are loaded, where they are: what is not changed is not compiled again.
 * @throws Error where one of its markers is not in the sources exactly once
 */
export async function launchedWithout(safeguard: Safeguard): Promise<ChangedLaunch> {
  const changed = [...(await changedFiles(ROOT, safeguard))].map(([path, source]) => [
    pathToFileURL(path).href,
    source,
  ]);
  const folder = await mkdtemp(join(tmpdir(), 'portcullis-changed-'));
  const hook = join(folder, 'hook.mjs');
  await writeFile(
    hook,
    `import fs from 'node:fs';
import { registerHooks, syncBuiltinESMExports } from 'node:module';
const changed = new Map(${JSON.stringify(changed)});
// Lua is no module: it is read.
const { readFileSync } = fs;
fs.readFileSync = (path, ...options) => changed.get(path?.href) ?? readFileSync(path, ...options);
syncBuiltinESMExports();
registerHooks({
  load(url, context, next) {
    const source = changed.get(url);
    return source === undefined ? next(url, context) : { format: 'module-typescript', source, shortCircuit: true };
  },
});
`,
  );
  return {
    option: `--import=${pathToFileURL(hook).href}`,
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
}

/** @throws Error where one of its markers is not in the sources exactly once */
export async function withoutSafeguard(safeguard: Safeguard): Promise<BrokenCopy> {
  const root = await mkdtemp(join(tmpdir(), 'portcullis-copy-'));
  const copied = ['src', 'demo', 'package.json'];
  await Promise.all([
    ...copied.map((path) => cp(join(ROOT, path), join(root, path), { recursive: true })),
    ...['node_modules', 'scripts'].map((path) => symlink(join(ROOT, path), join(root, path))),
  ]);
  for (const [path, source] of await changedFiles(root, safeguard)) await writeFile(path, source);
  return { root, [Symbol.asyncDispose]: () => rm(root, { recursive: true, force: true }) };
}

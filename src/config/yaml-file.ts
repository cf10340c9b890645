/** The configuration file: YAML 1.2, one document, one mapping. */
import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { LineCounter, isNode, parseDocument, type Document } from 'yaml';
import { no, ok, type Result } from '../core/result.ts';
import { isMapping, type SourceDocument } from './document.ts';
import { pathText, type ValidationError } from './validation-errors.ts';

const MAX_BYTES = 1024 * 1024;

/** @returns the document, or every syntax error with its line */
export async function readYamlFile(file: string): Promise<Result<SourceDocument, readonly ValidationError[]>> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    return no([{ path: file, expected: `a configuration file that can be read (${codeOf(error)})` }]);
  }
  if (text.length > MAX_BYTES) return no([{ path: file, expected: 'a configuration file of at most 1 MiB' }]);
  return parseYaml(text, resolve(file));
}

/** @param file absolute; relative paths in it are relative to its folder */
function parseYaml(text: string, file: string): Result<SourceDocument, readonly ValidationError[]> {
  const lines = new LineCounter();
  // Without pretty errors: they quote the source, where a secret may be.
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: true, merge: false });
  const syntax = [...document.errors, ...document.warnings].map((error) => ({
    path: '',
    expected: `valid YAML (${firstLine(error.message)})`,
    line: lines.linePos(error.pos[0]).line,
  }));
  if (syntax.length > 0) return no(syntax);
  let root: unknown;
  try {
    root = document.toJS({ maxAliasCount: 20 });
  } catch (error) {
    return no([
      { path: '', expected: `valid YAML (${error instanceof Error ? firstLine(error.message) : 'unreadable'})` },
    ]);
  }
  if (!isMapping(root)) return no([{ path: '', expected: 'a mapping of settings, such as publicUrl: https://…' }]);
  return ok({
    root,
    file,
    baseDirectory: dirname(file),
    locationOf: (path) => ({ path: pathText(path), ...lineOf(document, lines, path) }),
  });
}

/** Returns the line of the setting, or of the mapping that should contain it. */
function lineOf(
  document: Document.Parsed,
  lines: LineCounter,
  path: readonly (string | number)[],
): { readonly line?: number } {
  for (let length = path.length; length > 0; length -= 1) {
    const node: unknown = document.getIn(path.slice(0, length), true);
    if (isNode(node) && node.range) return { line: lines.linePos(node.range[0]).line };
  }
  return {};
}

const firstLine = (text: string): string => text.split('\n', 1)[0] ?? '';

const codeOf = (error: unknown): string =>
  typeof error === 'object' && error !== null && 'code' in error && typeof error.code === 'string'
    ? error.code
    : 'unreadable';

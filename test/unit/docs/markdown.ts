/** What the tests of the documents read out of a Markdown page: its links and where they lead, its anchors and its fenced blocks. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { posix } from 'node:path';
import { fileURLToPath } from 'node:url';

/** With a slash at its end. */
export const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

/** Folders that hold no pages of ours. Those whose names begin with a dot are left out too. */
const NOT_OURS = new Set(['node_modules', 'test-artefacts', 'dist']);

/** Every Markdown page of the repository, as paths from its root. */
export function markdownPages(folder = ''): readonly string[] {
  return readdirSync(`${ROOT}${folder}`, { withFileTypes: true }).flatMap((entry) => {
    if (entry.name.startsWith('.') || NOT_OURS.has(entry.name)) return [];
    if (entry.isDirectory()) return markdownPages(`${folder}${entry.name}/`);
    return entry.name.endsWith('.md') ? [`${folder}${entry.name}`] : [];
  });
}

/** @param path from the root of the repository */
export const readPage = (path: string): string => readFileSync(`${ROOT}${path}`, 'utf8');

export interface FencedBlock {
  /** The first word behind the fence; empty where there is none. */
  readonly language: string;
  readonly text: string;
  /** Of the opening fence, from 1. */
  readonly line: number;
}

interface Parts {
  readonly prose: readonly string[];
  readonly blocks: readonly FencedBlock[];
}

/** Tells what is fenced from what is not (CommonMark §4.5: a fence is closed by one that is no shorter). */
function partsOf(text: string): Parts {
  const prose: string[] = [];
  const blocks: FencedBlock[] = [];
  let open: { fence: string; language: string; line: number; lines: string[] } | undefined;
  for (const [index, line] of text.split('\n').entries()) {
    const [, fence = '', language = ''] = /^ {0,3}(`{3,}|~{3,})\s*([^\s`]*)[^`]*$/.exec(line) ?? [];
    if (open === undefined && fence === '') prose.push(line);
    else if (open === undefined) open = { fence, language, line: index + 1, lines: [] };
    else if (language === '' && fence.startsWith(open.fence)) {
      blocks.push({ language: open.language, text: open.lines.join('\n'), line: open.line });
      open = undefined;
    } else open.lines.push(line);
  }
  if (open !== undefined) throw new Error(`the block of line ${open.line} is never closed`);
  return { prose, blocks };
}

export const proseOf = (text: string): readonly string[] => partsOf(text).prose;

export const fencedBlocks = (text: string): readonly FencedBlock[] => partsOf(text).blocks;

/** Where its links and images lead, as they are written; nothing that stands in code. */
export function linksOf(text: string): readonly string[] {
  const prose = partsOf(text)
    .prose.join('\n')
    .replaceAll(/(`+)[^`][^]*?\1/g, (code) => code.replaceAll(/[[\]]/g, '.'));
  return [...prose.matchAll(/\]\(\s*<?([^\s)>]+)>?(?:\s+"[^"]*")?\s*\)/g)].map(([, target = '']) => target);
}

/** The anchors that GitHub makes of headings: small letters, no punctuation, hyphens for spaces, a number where one comes again. */
export function anchorsOf(text: string): ReadonlySet<string> {
  const anchors = new Set<string>();
  for (const line of partsOf(text).prose) {
    const heading = /^#{1,6}\s+(.*?)\s*#*\s*$/.exec(line)?.[1];
    if (heading === undefined) continue;
    const plain = heading
      .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{M}\p{N}\p{Pc} -]/gu, '');
    const anchor = plain.replaceAll(' ', '-');
    let name = anchor;
    for (let again = 1; anchors.has(name); again += 1) name = `${anchor}-${again}`;
    anchors.add(name);
  }
  return anchors;
}

export const isOutside = (target: string): boolean => /^[a-z][a-z0-9+.-]*:/i.test(target);

/** From a link as it is written on a page to a path from the root, and the anchor there. */
export function resolveLink(page: string, target: string): { path: string; anchor: string | undefined } {
  const [written = '', anchor] = decodeURI(target).split('#');
  if (written === '') return { path: page, anchor };
  return { path: posix.normalize(posix.join(posix.dirname(page), written)), anchor };
}

/** @returns what is wrong with a link; undefined where nothing is */
export function linkErrorOf(page: string, target: string): string | undefined {
  if (isOutside(target)) return target.startsWith('https:') ? undefined : 'links outward are https';
  const { path, anchor } = resolveLink(page, target);
  if (path.startsWith('..') || path.startsWith('/')) return 'leads out of the repository';
  if (!existsSync(`${ROOT}${path}`)) return `${path} does not exist`;
  if (anchor === undefined) return undefined;
  if (!path.endsWith('.md')) return 'an anchor, but not on a page';
  return anchorsOf(readPage(path)).has(anchor) ? undefined : `${path} has no heading #${anchor}`;
}

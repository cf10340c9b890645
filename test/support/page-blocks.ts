/**
 * Code blocks of the documents, for tests that run them as they stand. `test/unit/docs/held-blocks.ts` says which test runs which block, and
 * looks for the call of `pageBlock` there.
 */
import { mkdir, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isShell, shellTextOf } from '../unit/docs/shell-lines.ts';
import { fencedBlocks, readPage, ROOT } from '../unit/docs/markdown.ts';

/**
 * @param page path from the root of the repository
 * @param begins what the block's first command begins with
 * @throws Error where there is not exactly one such block
 */
export function pageBlock(page: string, begins: string): string {
  const found = fencedBlocks(readPage(page))
    .filter(isShell)
    .map(shellTextOf)
    .filter((text) => beginsWith(text, begins));
  const [first] = found;
  if (first === undefined || found.length > 1) throw new Error(`${page}: ${found.length} blocks begin with ${begins}`);
  return first;
}

/** A line feed at the end of `begins` means that the line ends there. */
export const beginsWith = (text: string, begins: string): boolean => `${text}\n`.startsWith(begins);

/**
 * Puts what is true here in the place of what the page has for an example.
 * @throws Error where the text has no such example: the table would be out of date
 */
export function withValues(text: string, values: Readonly<Record<string, string>>): string {
  return Object.entries(values).reduce((changed, [example, here]) => {
    if (!changed.includes(example)) throw new Error(`there is no ${example} in:\n${text}`);
    return changed.replaceAll(example, here);
  }, text);
}

/** One for each command that stands on its own line, for blocks whose lines are not typed one right after the other. */
export const linesOf = (text: string): readonly string[] =>
  text
    .replaceAll(/\\\n\s*/g, '')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'));

/** Where the documents say "in a checkout": the repository's files, and what a command leaves next to them stays here. */
export async function checkoutIn(folder: string): Promise<string> {
  await assertInstalled();
  const checkout = join(folder, 'checkout');
  await mkdir(checkout);
  const names = [
    '.npmrc',
    'demo',
    'deploy',
    'LICENSE',
    'node_modules',
    'package-lock.json',
    'package.json',
    'scripts',
    'src',
  ];
  for (const name of names) await symlink(join(ROOT, name), join(checkout, name));
  return checkout;
}

/** What is typed in a checkout would install the packages again otherwise, below the tests that run. */
async function assertInstalled(): Promise<void> {
  const locked = await stat(join(ROOT, 'package-lock.json'));
  const installed = await stat(join(ROOT, 'node_modules/.package-lock.json'));
  if (locked.mtimeMs > installed.mtimeMs) {
    throw new Error('the packages are older than package-lock.json: run sh scripts/ready');
  }
}

/** A folder for the front of `PATH`. @param programs scripts for sh by the name of the command */
export async function programsIn(folder: string, programs: Readonly<Record<string, string>>): Promise<string> {
  const bin = join(folder, 'bin');
  await mkdir(bin, { recursive: true });
  for (const [name, script] of Object.entries(programs)) {
    await writeFile(join(bin, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  }
  return bin;
}

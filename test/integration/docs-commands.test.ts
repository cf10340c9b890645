/**
 * What the documents tell people to type, by the programs themselves: keys are made, Secrets and bindings are built from them without a
 * cluster, the chart is rendered from the values on the page, and kubectl knows every command and option that it is given.
 */
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { helm } from '../support/chart.ts';
import { makeCertificate } from '../support/upstream.ts';
import { fencedBlocks, markdownPages, readPage, ROOT } from '../unit/docs/markdown.ts';
import { commandsOf, isShell, portcullisWords, shellTextOf } from '../unit/docs/shell-lines.ts';

interface Ended {
  readonly code: number;
  readonly all: string;
}

let folder = '';

/** With no kubeconfig: a command that would speak to a cluster fails. */
const run = (program: string, args: readonly string[]): Promise<Ended> =>
  new Promise((resolve, reject) => {
    const environment = { PATH: process.env['PATH'] ?? '', HOME: folder, KUBECONFIG: join(folder, 'no-kubeconfig') };
    execFile(program, args, { cwd: folder, env: environment }, (error, stdout, stderr) => {
      if (error !== null && typeof error.code !== 'number') reject(error);
      else resolve({ code: error === null ? 0 : Number(error.code), all: `${stdout}${stderr}` });
    });
  });

const commandsIn = (page: string): readonly (readonly string[])[] =>
  fencedBlocks(readPage(page))
    .filter(isShell)
    .flatMap((block) => commandsOf(shellTextOf(block)));

/** The lessons of docs/training are done from start to end elsewhere (test/e2e/lessons.test.ts). */
const pages = markdownPages().filter((page) => !page.startsWith('docs/training/'));

const ofProgram = (name: string) =>
  pages.flatMap((page) =>
    commandsIn(page)
      .filter((words) => words[0] === name && portcullisWords(words) === undefined)
      .map((words) => ({ page, words: words.slice(1) })),
  );

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'portcullis-docs-'));
  symlinkSync(`${ROOT}deploy`, join(folder, 'deploy'));
  const values = fencedBlocks(readPage('docs/install.md')).find(({ text }) => text.startsWith('# values.yaml'));
  writeFileSync(join(folder, 'values.yaml'), values?.text ?? '');
  writeFileSync(join(folder, 'client-secret'), 'of-nobody');
  for (const name of ['api', 'web']) {
    const { cert, key } = await makeCertificate(`${name}.example.com`);
    writeFileSync(join(folder, `${name}.crt`), cert);
    writeFileSync(join(folder, `${name}.key`), key);
  }
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('kubectl knows', () => {
  const commands = ofProgram('kubectl');

  /** The help of the command that is meant. `--help` stands last, so that every option before it is read first. */
  const help = (words: readonly string[]): Promise<Ended> => {
    const end = words.indexOf('--');
    return run('kubectl', [...(end < 0 ? words : words.slice(0, end)), '--help']);
  };

  /** What that help is of, such as `create secret generic`; empty where it is of something other than `words` begin with. */
  function commandOf(words: readonly string[], all: string): string {
    const plain = words.filter(
      (word, at) => !word.startsWith('-') && !/^--(?:namespace|context)$/.test(words[at - 1] ?? ''),
    );
    const usage = /^Usage:\n {2}kubectl ((?:[a-z-]+(?= |$) ?)+)/m.exec(all)?.[1]?.trim() ?? '';
    return plain.join(' ').startsWith(usage) ? usage : '';
  }

  test('there are commands to look at', () => {
    expect(commands.length).toBeGreaterThan(15);
  });

  test.each(commands)('$page: kubectl $words', async ({ words }) => {
    const { code, all } = await help(words);
    expect(code, all).toBe(0);
    expect(commandOf(words, all), all).not.toBe('');
  });

  test('and says so where it does not know an option or a command', async () => {
    expect((await help(['create', 'token', 'portcullis', '--frobnicate'])).code).not.toBe(0);
    const unknown = ['frobnicate', 'pods'];
    expect(commandOf(unknown, (await help(unknown)).all)).toBe('');
  });

  test.each(commands.filter(({ words }) => words.includes('-f') && !words.includes('-')))(
    '$page: the file of kubectl $words is there',
    ({ words }) => {
      expect(existsSync(`${ROOT}${words[words.indexOf('-f') + 1]}`)).toBe(true);
    },
  );
});

test('portcullis keys generate --dir keys makes the directories that the page makes Secrets of', async () => {
  const generate =
    commandsIn('README.md')
      .map(portcullisWords)
      .find((words) => words?.[0] === 'keys') ?? [];
  expect(commandsIn('docs/install.md').map(portcullisWords)).toContainEqual(generate);
  const { code, all } = await run(process.execPath, [`${ROOT}src/main.ts`, ...generate]);
  expect(code, all).toBe(0);
  expect(readdirSync(join(folder, 'keys')).toSorted()).toEqual(['audit', 'sealing', 'signing']);

  const creations = ['README.md', 'docs/install.md']
    .flatMap(commandsIn)
    .filter((words) => words[0] === 'kubectl' && words.includes('create') && !words.includes('token'))
    .map((words) => words.slice(1));
  expect(creations.length).toBeGreaterThan(7);
  for (const words of creations) {
    const made = await run('kubectl', [...words, '--dry-run=client', '--output', 'name']);
    expect(made.code, `kubectl ${words.join(' ')}: ${made.all}`).toBe(0);
    expect(made.all).toContain(words.at(words.indexOf('create') + 1) === 'namespace' ? 'namespace/' : '/');
  }
});

test.each(ofProgram('helm'))('$page: helm $words renders, with the values of docs/install.md', async ({ words }) => {
  const inFolder = words.map((word) => (word === 'values.yaml' || word === 'deploy/chart' ? join(folder, word) : word));
  const { code, stderr, stdout } = await helm(...inFolder, ...(words[0] === 'install' ? ['--dry-run=client'] : []));
  expect(code, stderr).toBe(0);
  expect(stdout).toContain('kind: ');
});

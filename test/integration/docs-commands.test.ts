/**
 * The commands that the documents tell users to type, run by the programs themselves: keys are generated, Secrets
 * and bindings are built from them without a cluster, the chart is rendered from the values on the page, and
 * kubectl knows every command and option.
 */
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { helm } from '../support/chart.ts';
import { makeCertificate } from '../support/upstream.ts';
import { fencedBlocks, markdownPages, readPage, ROOT } from '../unit/docs/markdown.ts';
import { commandsOf, isShell, portcullisArguments, shellTextOf } from '../unit/docs/shell-lines.ts';

interface Ended {
  readonly code: number;
  readonly all: string;
}

let folder = '';

/** Without a kubeconfig, so that a command that would call a cluster fails. */
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

/** The lessons of docs/training are followed from start to end elsewhere (test/e2e/lessons.test.ts). */
const pages = markdownPages().filter((page) => !page.startsWith('docs/training/'));

const ofProgram = (name: string) =>
  pages.flatMap((page) =>
    commandsIn(page)
      .filter((args) => args[0] === name && portcullisArguments(args) === undefined)
      .map((args) => ({ page, args: args.slice(1) })),
  );

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'portcullis-docs-'));
  symlinkSync(`${ROOT}deploy`, join(folder, 'deploy'));
  const values = fencedBlocks(readPage('docs/install.md')).find(({ text }) => text.startsWith('# values.yaml'));
  writeFileSync(join(folder, 'values.yaml'), values?.text ?? '');
  for (const secret of ['client-secret', 'store-password', 'store-ca.crt', 'proxy-credentials'])
    writeFileSync(join(folder, secret), 'of-nobody');
  for (const name of ['api', 'web']) {
    const { cert, key } = await makeCertificate(`${name}.example.com`);
    writeFileSync(join(folder, `${name}.crt`), cert);
    writeFileSync(join(folder, `${name}.key`), key);
  }
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('kubectl knows each command', () => {
  const commands = ofProgram('kubectl');

  /** Runs the help of a command. `--help` comes last, so that kubectl parses every option before it. */
  const help = (args: readonly string[]): Promise<Ended> => {
    const end = args.indexOf('--');
    return run('kubectl', [...(end < 0 ? args : args.slice(0, end)), '--help']);
  };

  /**
   * Returns the command that the help describes, such as `create secret generic`; empty where `args` do not begin
   * with it.
   */
  function commandOf(args: readonly string[], all: string): string {
    const plain = args.filter(
      (word, at) => !word.startsWith('-') && !/^--(?:namespace|context)$/.test(args[at - 1] ?? ''),
    );
    const usage = /^Usage:\n {2}kubectl ((?:[a-z-]+(?= |$) ?)+)/m.exec(all)?.[1]?.trim() ?? '';
    return plain.join(' ').startsWith(usage) ? usage : '';
  }

  test('there are commands to check', () => {
    expect(commands.length).toBeGreaterThan(15);
  });

  test.each(commands)('$page: kubectl $args', async ({ args }) => {
    const { code, all } = await help(args);
    expect(code, all).toBe(0);
    expect(commandOf(args, all), all).not.toBe('');
  });

  test('kubectl fails where it does not know an option or a command', async () => {
    expect((await help(['create', 'token', 'portcullis', '--frobnicate'])).code).not.toBe(0);
    const unknown = ['frobnicate', 'pods'];
    expect(commandOf(unknown, (await help(unknown)).all)).toBe('');
  });

  test.each(commands.filter(({ args }) => args.includes('-f') && !args.includes('-')))(
    '$page: the file of kubectl $args exists',
    ({ args }) => {
      expect(existsSync(`${ROOT}${args[args.indexOf('-f') + 1]}`)).toBe(true);
    },
  );
});

test('portcullis keys generate --dir keys makes the directories from which the page makes Secrets', async () => {
  const generate =
    commandsIn('README.md')
      .map(portcullisArguments)
      .find((args) => args?.[0] === 'keys') ?? [];
  expect(commandsIn('docs/install.md').map(portcullisArguments)).toContainEqual(generate);
  const { code, all } = await run(process.execPath, [`${ROOT}src/main.ts`, ...generate]);
  expect(code, all).toBe(0);
  expect(readdirSync(join(folder, 'keys')).toSorted()).toEqual(['audit', 'sealing', 'signing']);

  const creations = ['README.md', 'docs/install.md']
    .flatMap(commandsIn)
    .filter((args) => args[0] === 'kubectl' && args.includes('create') && !args.includes('token'))
    .map((args) => args.slice(1));
  expect(creations.length).toBeGreaterThan(7);
  for (const args of creations) {
    const made = await run('kubectl', [...args, '--dry-run=client', '--output', 'name']);
    expect(made.code, `kubectl ${args.join(' ')}: ${made.all}`).toBe(0);
    expect(made.all).toContain(args.at(args.indexOf('create') + 1) === 'namespace' ? 'namespace/' : '/');
  }
});

test.each(ofProgram('helm'))('$page: helm $args renders, with the values of docs/install.md', async ({ args }) => {
  // An upgrade needs the release; what it renders, an installation does too.
  const alone = args[0] === 'upgrade' ? ['install', ...args.slice(1)] : args;
  const inFolder = alone.map((word) => (word === 'values.yaml' || word === 'deploy/chart' ? join(folder, word) : word));
  const { code, stderr, stdout } = await helm(...inFolder, ...(alone[0] === 'install' ? ['--dry-run=client'] : []));
  expect(code, stderr).toBe(0);
  expect(stdout).toContain('kind: ');
});

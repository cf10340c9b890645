/** Every command in the documents is one that the program takes. Nothing is run here: `held-blocks.ts` says what does. */
import { existsSync } from 'node:fs';
import { Command } from 'commander';
import { describe, expect, test } from 'vitest';
import { createUserProgram } from '../../../src/cli-package/program.ts';
import { createProgram } from '../../../src/program.ts';
import { beginsWith } from '../../support/page-blocks.ts';
import { HELD_BLOCKS, type HeldBlock } from './held-blocks.ts';
import { fencedBlocks, markdownPages, readPage, ROOT } from './markdown.ts';
import { commandsOf, isShell, portcullisArguments, shellTextOf } from './shell-lines.ts';

const shellBlocks = (page: string) =>
  fencedBlocks(readPage(page))
    .filter(isShell)
    .map((block) => ({ line: block.line, text: shellTextOf(block) }));

/** The program with nothing behind its commands. */
function parserOnly(program: Command): Command {
  const disarm = (command: Command): void => {
    command.exitOverride((error) => {
      throw error;
    });
    command.configureOutput({ writeErr: () => undefined, writeOut: () => undefined });
    if (command.commands.length === 0) command.action(() => undefined);
    command.commands.forEach(disarm);
  };
  disarm(program);
  return program;
}

/** Returns the names of each command that can be typed. */
const pathsOf = (program: Command): readonly (readonly string[])[] =>
  program.commands.flatMap((one) =>
    one.commands.length === 0 ? [[one.name()]] : pathsOf(one).map((below) => [one.name(), ...below]),
  );

const parse = async (args: readonly string[], program = createProgram({})): Promise<Command> =>
  parserOnly(await program).parseAsync([...args], { from: 'user' });

const written = markdownPages().flatMap((page) =>
  shellBlocks(page).flatMap(({ text, line }) =>
    commandsOf(text).flatMap((args) => {
      const ours = portcullisArguments(args);
      return ours === undefined ? [] : [{ where: `${page}:${line}`, args: ours }];
    }),
  ),
);

test('there are commands to look at', () => {
  expect(written.length).toBeGreaterThan(15);
});

test.each(written)('$where: portcullis $args', async ({ args }) => {
  await expect(parse(args)).resolves.toBeInstanceOf(Command);
});

describe('the commands of users who have a package of the command line and nothing else', async () => {
  const pages = [
    'docs/admin-pages.md',
    'docs/audit-tail.md',
    'docs/device-code.md',
    'docs/install-cli.md',
    'docs/kubectl.md',
  ];
  const forUsers = written.filter(({ where }) => pages.includes(where.replace(/:\d+$/, '')));

  test.each(forUsers)('$where: portcullis $args', async ({ args }) => {
    await expect(parse(args, createUserProgram())).resolves.toBeInstanceOf(Command);
  });

  const inPackage = new Set(pathsOf(await createUserProgram()).map((path) => path.join(' ')));
  const others = pathsOf(await createProgram({})).filter((path) => !inPackage.has(path.join(' ')));

  test.each(others)('%s %s is none of theirs, and they are told where it is', async (...path) => {
    await expect(parse(path, createUserProgram())).rejects.toThrow(/unknown command .* in the whole program/);
  });
});

test('a command, an option or a value that the program does not take is found', async () => {
  await expect(parse(['frobnicate'])).rejects.toThrow('unknown command');
  await expect(parse(['sessions', '--frobnicate'])).rejects.toThrow('unknown option');
  await expect(parse(['audit', 'query'])).rejects.toThrow('missing required argument');
  await expect(parse(['sessions', 'one', 'two'])).rejects.toThrow('too many arguments');
});

describe('what is said of commands in a sentence or a table', async () => {
  const program = await createProgram({});
  const said = markdownPages()
    .filter((page) => page !== 'CHANGELOG.md')
    .flatMap((page) =>
      [...readPage(page).matchAll(/`(?:kubectl )?portcullis ((?:[a-z-]+ ?)+[^`\n]*)`/g)].map(([, args = '']) => ({
        page,
        args,
      })),
    );

  /** Down to the command that is named; `undefined` where there is none. */
  function commandOf(args: readonly string[]): Command | undefined {
    let command = program;
    for (const word of args) {
      const next = command.commands.find((one) => one.name() === word);
      if (next === undefined) break;
      command = next;
    }
    return command.parent === null && args[0] !== '--version' ? undefined : command;
  }

  test.each(said)('$page: portcullis $args', ({ args }) => {
    const parts = args.split(/[\s=|[\]]+/);
    const command = commandOf(parts);
    expect(command, 'no such command').toBeDefined();
    const known = [
      '--help',
      ...(command?.options ?? []).map(({ long }) => long),
      ...(command?.commands ?? []).flatMap((one) => one.options.map(({ long }) => long)),
    ];
    expect(parts.filter((part) => /^--[a-z]/.test(part) && !known.includes(part))).toEqual([]);
  });
});

describe('each block of commands is held', () => {
  const blocks = markdownPages()
    .filter((page) => !page.startsWith('docs/training/'))
    .flatMap((page) => shellBlocks(page).map((block) => ({ page, ...block })));

  const rowsOf = (page: string, text: string): readonly HeldBlock[] =>
    HELD_BLOCKS.filter((row) => row.page === page && beginsWith(text, row.begins));

  test.each(blocks)('$page:$line', ({ page, text }) => {
    expect(rowsOf(page, text), 'say in held-blocks.ts which test runs it').toHaveLength(1);
  });

  test.each(HELD_BLOCKS)('$page: the row "$begins" is of one block', ({ page, begins }) => {
    const found = blocks.filter((block) => block.page === page && beginsWith(block.text, begins));
    expect(found).toHaveLength(1);
  });

  const run = HELD_BLOCKS.flatMap((row) => ('test' in row ? [row] : []));

  test.each(run)('$test reads "$begins" from $page', ({ page, begins, test: file }) => {
    const calls = [...readPage(file).matchAll(/\bpageBlock\(\s*'([^']+)',\s*'([^']+)',?\s*\)/g)];
    expect(calls.map(([, from, block]) => [from, block])).toContainEqual([page, begins.replaceAll('\n', '\\n')]);
  });

  test('very few are not run', () => {
    expect(HELD_BLOCKS.length - run.length).toBeLessThan(8);
    const named = HELD_BLOCKS.flatMap((row) => ('why' in row ? (row.why.match(/test\/\S+\.test\.ts/g) ?? []) : []));
    expect(named.filter((file) => !existsSync(`${ROOT}${file}`))).toEqual([]);
  });

  test('what npm is to run is there', () => {
    const { scripts } = JSON.parse(readPage('package.json')) as { readonly scripts: Readonly<Record<string, string>> };
    const asked = blocks.flatMap(({ text }) =>
      [...text.matchAll(/^ *npm (?:run )?([a-z:]+)/gm)].map(([, name = '']) => name),
    );
    expect(asked.filter((name) => name !== 'install' && !(name in scripts))).toEqual([]);
  });
});

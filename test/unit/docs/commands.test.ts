/** What the documents tell people to type is what the program takes. Nothing is run here: `docs-commands.test.ts` does that. */
import { existsSync } from 'node:fs';
import { Command } from 'commander';
import { describe, expect, test } from 'vitest';
import { createProgram } from '../../../src/program.ts';
import { fencedBlocks, markdownPages, readPage, ROOT } from './markdown.ts';
import { commandsOf, portcullisWords } from './shell-lines.ts';

/**
 * How each block of the README is held, by its first line: by the test that runs it or what it stands for. A `portcullis` line is parsed
 * below besides.
 */
const README_BLOCKS: ReadonlyMap<string, string> = new Map([
  ['npm run demo', 'test/e2e/tour.test.ts'],
  ['npm test', '.ci/run'],
  ['kubectl apply -f deploy/examples/service-account.yaml', 'test/integration/docs-commands.test.ts'],
  ['npx portcullis keys generate --dir keys', 'test/integration/docs-commands.test.ts'],
  ['npx portcullis config check --config portcullis.yaml', 'test/integration/config-check.test.ts'],
  ['npm install --global ./portcullis-0.1.0.tgz', 'test/integration/cli-front-packages.test.ts'],
  [
    'kubectl create rolebinding developers --clusterrole edit --group corp:developers --namespace default',
    'test/integration/docs-commands.test.ts',
  ],
  ['portcullis sessions', 'test/integration/cli.test.ts'],
]);

const shellBlocks = (page: string) => fencedBlocks(readPage(page)).filter(({ language }) => language === 'sh');

/** The program with nothing behind its commands. */
function parserOnly(): Command {
  const program = createProgram({});
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

const parse = (words: readonly string[]): Promise<Command> => parserOnly().parseAsync([...words], { from: 'user' });

const written = markdownPages().flatMap((page) =>
  shellBlocks(page).flatMap(({ text, line }) =>
    commandsOf(text).flatMap((words) => {
      const ours = portcullisWords(words);
      return ours === undefined ? [] : [{ where: `${page}:${line}`, words: ours }];
    }),
  ),
);

test('there are commands to look at', () => {
  expect(written.length).toBeGreaterThan(15);
});

test.each(written)('$where: portcullis $words', async ({ words }) => {
  await expect(parse(words)).resolves.toBeInstanceOf(Command);
});

test('a command, an option or a value that the program does not take is found', async () => {
  await expect(parse(['frobnicate'])).rejects.toThrow('unknown command');
  await expect(parse(['sessions', '--frobnicate'])).rejects.toThrow('unknown option');
  await expect(parse(['audit', 'query'])).rejects.toThrow('missing required argument');
  await expect(parse(['sessions', 'one', 'two'])).rejects.toThrow('too many arguments');
});

describe('what is said of commands in a sentence or a table', () => {
  const said = markdownPages()
    .filter((page) => page !== 'CHANGELOG.md')
    .flatMap((page) =>
      [...readPage(page).matchAll(/`(?:kubectl )?portcullis ((?:[a-z-]+ ?)+[^`\n]*)`/g)].map(([, words = '']) => ({
        page,
        words,
      })),
    );

  /** Down to the command that is named; `undefined` where there is none. */
  function commandOf(words: readonly string[]): Command | undefined {
    let command: Command = createProgram({});
    for (const word of words) {
      const next = command.commands.find((one) => one.name() === word);
      if (next === undefined) break;
      command = next;
    }
    return command.parent === null ? undefined : command;
  }

  test.each(said)('$page: portcullis $words', ({ words }) => {
    const parts = words.split(/[\s=|[\]]+/);
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

describe('README.md', () => {
  const blocks = shellBlocks('README.md').map(({ text, line }) => ({
    line,
    first: commandsOf(text)[0]?.join(' ') ?? '',
  }));

  test.each(blocks)('the block of line $line, "$first", is held by a test', ({ first }) => {
    const held = README_BLOCKS.get(first);
    expect(held, 'say in README_BLOCKS which test holds it').toBeDefined();
    expect(existsSync(`${ROOT}${held}`)).toBe(true);
  });

  test('no row is left over', () => {
    const firsts = blocks.map(({ first }) => first);
    expect([...README_BLOCKS.keys()].filter((first) => !firsts.includes(first))).toEqual([]);
  });
});

import { Command } from 'commander';
import { describe, expect, test } from 'vitest';
import { complete } from '../../../src/cli/completion/complete.ts';
import { formatCompletion } from '../../../src/cli/completion/scripts.ts';
import { createProgram } from '../../../src/program.ts';

const program = await createProgram({});
const values = (option: string): readonly string[] =>
  ({ '--cluster': ['prod', 'staging', '$(id)', 'a b', 'a;b'], '--server': ['https://portcullis.example.com:8443'] })[
    option
  ] ?? [];

const offered = (...message: string[]): string[] =>
  complete(program, message, values).candidates.map(({ value }) => value);
const alsoOffer = (...message: string[]): string => complete(program, message, values).alsoOffer;

describe('completion', () => {
  test.each([
    [['who'], ['whoami']],
    [['lo'], ['login', 'logout', 'locks', 'lock']],
    [['config', 'ch'], ['check']],
    [['keys', 'g'], ['generate']],
    [
      ['access', ''],
      ['list', 'request', 'show', 'approve', 'deny', 'end', 'history', 'help'],
    ],
    [['access', 'request', 'shop-admins', '--no'], ['--no-wait']],
    [['completion', 'z'], ['zsh']],
    [['completion', 'zsh', ''], []],
    [
      ['login', '--de'],
      ['--device', '--device-name'],
    ],
    [['login', '--device', '--de'], ['--device-name']],
    [
      ['whoami', '--output', ''],
      ['json', 'yaml'],
    ],
    [['whoami', '-o', 'y'], ['yaml']],
    [['whoami', '--output=j'], ['--output=json']],
    [
      ['get-token', '--cluster', ''],
      ['prod', 'staging'],
    ],
    [['get-token', '--cluster=s'], ['--cluster=staging']],
    [['get-token', '--server', 'https://p'], ['https://portcullis.example.com:8443']],
    [['login', '--provider', '--device', '--ver'], ['--verbose']],
    [['login', '--', '--de'], []],
    [['nonsense', ''], []],
    [['login', '--nonsense='], []],
  ])('%j offers %j', (message, expected) => {
    expect(offered(...message)).toEqual(expected);
  });

  test('hidden commands are not offered', () => {
    expect(offered('').filter((name) => name.startsWith('_') || name.includes('renew'))).toEqual([]);
    expect(offered('')).toContain('kubeconfig');
  });

  test('names of files and folders are left to the shell', () => {
    expect(alsoOffer('login', '--ca-file', '')).toBe('files');
    expect(alsoOffer('login', '--ca-file=/etc/')).toBe('files');
    expect(alsoOffer('keys', 'generate', '--dir', '')).toBe('folders');
    expect(alsoOffer('login', '')).toBe('nothing');
  });

  test('every option with a value of its own is answered for: nothing of a server or a user is guessed', () => {
    const kinds = new Set(
      program.commands.flatMap(({ options }) => options.filter(({ required }) => required).map(({ flags }) => flags)),
    );
    expect([...kinds].filter((flags) => !/<[a-z]+(?:\.\.\.)?>$/.test(flags))).toEqual([]);
  });

  test('the answer is cobra’s, which kubectl reads: a candidate a line, then what to offer besides', () => {
    const small = new Command('x');
    small.command('one').description('does one');
    expect(formatCompletion(complete(small, ['o'], values))).toBe('one\tdoes one\n:4\n');
    expect(formatCompletion({ candidates: [], alsoOffer: 'files' })).toBe(':0\n');
    expect(formatCompletion({ candidates: [], alsoOffer: 'folders' })).toBe(':16\n');
  });
});

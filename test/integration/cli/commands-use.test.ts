import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { bareEnvironment } from '../../support/bare-environment.ts';

const main = fileURLToPath(new URL('../../../src/main.ts', import.meta.url));
const demo = fileURLToPath(new URL('../../../demo/main.ts', import.meta.url));
const laptop = fileURLToPath(new URL('../../../src/cli-package/main.ts', import.meta.url));

const run = (program: string, args: readonly string[]) =>
  spawnSync(process.execPath, [program, ...args], {
    encoding: 'utf8',
    env: { ...bareEnvironment(), HOME: '/nonexistent' },
  });

describe('the whole program', () => {
  test.each([
    [['nonsense'], "portcullis: unknown command 'nonsense'. See `portcullis --help`."],
    [['logn'], "portcullis: unknown command 'logn'. Did you mean login? See `portcullis --help`."],
    [['logn', '--help'], "portcullis: unknown command 'logn'. Did you mean login? See `portcullis --help`."],
    [['help', 'lgin'], "portcullis: unknown command 'lgin'. Did you mean login? See `portcullis --help`."],
    [
      ['config', 'chek', '-h'],
      "portcullis config: unknown command 'chek'. Did you mean check? See `portcullis config --help`.",
    ],
    [
      ['login', '--sever', 'x'],
      "portcullis login: unknown option '--sever'. Did you mean --server? See `portcullis login --help`.",
    ],
    [['serve', '--nonsense'], "portcullis serve: unknown option '--nonsense'. See `portcullis serve --help`."],
    [['completion'], "portcullis completion: missing required argument 'shell'. See `portcullis completion --help`."],
    [
      ['completion', 'tcsh'],
      "portcullis completion: command-argument value 'tcsh' is invalid for argument 'shell'. Allowed choices are bash, zsh, fish, kubectl. See `portcullis completion --help`.",
    ],
    [
      ['whoami', 'extra'],
      "portcullis whoami: too many arguments for 'whoami'. Expected 0 arguments but got 1: extra. See `portcullis whoami --help`.",
    ],
  ])('wrong use exits 2 with one line, and prints nothing to stdout: %j', (args, line) => {
    expect(run(main, args)).toMatchObject({ status: 2, stdout: '', stderr: `${line}\n` });
  });

  test.each([[[]], [['config']], [['audit']]])('no command at all exits 2 with the possible ones: %j', (args) => {
    const { status, stdout, stderr } = run(main, args);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toContain('Usage: portcullis');
  });

  test('the help has the commands in groups, and examples that the program takes', () => {
    const { stdout } = run(main, ['--help']);
    const headings = [...stdout.matchAll(/^[A-Z][a-z-]+:$/gm)].map(([heading]) => heading);
    expect(headings).toEqual(['Options:', 'Sign-in:', 'Work:', 'Admin:', 'Server:', 'Examples:']);
  });

  test.each([[['--help']], [['help', 'revoke']], [['revoke', '--help']], [['--version']], [['completion', 'fish']]])(
    'a request for help prints to stdout and exits 0: %j',
    (args) => {
      expect(run(main, args)).toMatchObject({ status: 0, stderr: '', stdout: expect.stringContaining('portcullis') });
    },
  );
});

test('the command line program has the same exit codes', () => {
  expect(run(laptop, ['nonsense'])).toMatchObject({ status: 2, stdout: '' });
  expect(run(laptop, ['--version'])).toMatchObject({ status: 0, stdout: expect.stringMatching(/^portcullis \d/) });
});

test.each([[['--nonsense']], [['extra']], [['--lesson']]])('the demo’s program has the same exit codes: %j', (args) => {
  const { status, stdout, stderr } = run(demo, args);
  expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
  expect(stderr).toContain('Usage: npm run demo -- [options]');
});

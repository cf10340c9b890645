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
    [['nonsense']],
    [[]],
    [['--nonsense']],
    [['config']],
    [['config', 'nonsense']],
    [['config', 'check', '--nonsense']],
    [['serve', '--nonsense']],
    [['keys', 'generate', '--nonsense']],
    [['audit']],
    [['demo']],
    [['completion']],
    [['completion', 'tcsh']],
    [['whoami', 'extra']],
  ])('a usage error exits 2, names the possible values, and prints nothing to stdout: %j', (args) => {
    const { status, stdout, stderr } = run(main, args);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toContain('Usage: portcullis');
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

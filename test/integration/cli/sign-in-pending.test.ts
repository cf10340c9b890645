/** The command while the browser is open: how long it waits, and what it shows in the meantime. */
import { once } from 'node:events';
import type { ChildProcess } from 'node:child_process';
import { afterEach, describe, expect, test } from 'vitest';
import { stage } from './setup.ts';

const at = stage();
const FAST_TIMERS = new URL('../../support/fast-timers.ts', import.meta.url).href;
/** Opens nothing and prints nothing, as when the user has closed the tab. */
const NO_BROWSER_USER = { BROWSER: '/bin/true' };

const running: ChildProcess[] = [];
afterEach(() => {
  for (const child of running.splice(0)) child.kill('SIGKILL');
});

const plugin = (): readonly string[] => ['get-token', '--server', at.fakeServer.web, '--cluster', 'prod'];

/** Resolves with all output when it matches. */
async function heard(child: ChildProcess, stream: 'stdout' | 'stderr', pattern: RegExp): Promise<string> {
  running.push(child);
  let text = '';
  while (!pattern.test(text)) {
    const [chunk] = (await once(child[stream]!, 'data')) as [Buffer];
    text += chunk.toString();
  }
  return text;
}

describe('a sign-in that no user finishes', () => {
  test('ends after five minutes with a message, for the process that opened the browser and for the one that waited', async () => {
    at.machine.env = { ...NO_BROWSER_USER, NODE_OPTIONS: `--import=${FAST_TIMERS}` };
    const ended = await Promise.all(Array.from({ length: 4 }, () => at.getToken()));
    for (const one of ended) {
      expect(one).toMatchObject({ code: 1, stdout: '' });
      expect(one.stderr).toContain('The sign-in in the browser was not completed within 5 minutes.');
      expect(one.stderr).toContain(`Next: portcullis login --server ${at.fakeServer.web}`);
    }
    expect(ended.filter((one) => one.stderr.includes('opening your browser'))).toHaveLength(1);
    expect(ended.filter((one) => one.stderr.includes('another sign-in is in progress'))).toHaveLength(3);
  });

  test('does not delay a command that may not open a browser: it fails immediately with the command to run', async () => {
    at.machine.env = NO_BROWSER_USER;
    await heard(at.machine.startPlugin(...plugin()), 'stderr', /opening your browser/);
    const ended = await at.getToken('prod', '--no-browser');
    expect(ended).toMatchObject({ code: 1, stdout: '' });
    expect(ended.stderr).toContain(`portcullis login --server ${at.fakeServer.web}`);
  });
});

describe('the output while the browser is open', () => {
  test('a spinner on a terminal', async () => {
    at.machine.env = { ...NO_BROWSER_USER, TERM: 'xterm-256color' };
    const shown = await heard(
      at.machine.startAtTerminal(...plugin()),
      'stdout',
      /(?:[|/\\-] waiting for your[^]*?){3}/,
    );
    expect(shown).toContain('waiting for your sign-in in the browser');
  });

  test.each([
    { name: 'on a terminal that cannot rewrite a line', env: { TERM: 'dumb' } },
    { name: 'on a terminal of a user who wants no colour', env: { TERM: 'xterm-256color', NO_COLOR: '1' } },
  ])('plain lines $name', async ({ env }) => {
    at.machine.env = { ...NO_BROWSER_USER, ...env, NODE_OPTIONS: `--import=${FAST_TIMERS}` };
    const ended = await at.machine.ended(at.machine.startAtTerminal(...plugin()));
    expect(ended.stdout).toContain('within 5 minutes');
    expect(ended.stdout).not.toContain('\u001b');
    expect(ended.stdout).not.toContain('waiting for your');
  });

  test('plain lines in a pipe, and nothing on stdout', async () => {
    at.machine.env = { ...NO_BROWSER_USER, TERM: 'xterm-256color', NODE_OPTIONS: `--import=${FAST_TIMERS}` };
    const ended = await at.getToken();
    expect(ended.stdout).toBe('');
    expect(ended.stderr).not.toContain('waiting for your');
  });
});

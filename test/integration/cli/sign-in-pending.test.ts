/** The command while the browser is open: how long it waits, and what it shows in the meantime. */
import { once } from 'node:events';
import type { ChildProcess } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
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

const minutes = (count: number): number => count * 60_000;

/** As time would: what is remembered of this process is that old. */
function rememberedSince(age: number): void {
  const [name = ''] = readdirSync(at.machine.cacheDir, { recursive: true, encoding: 'utf8' }).filter((path) =>
    path.includes(`failures/${process.pid}-`),
  );
  const file = join(at.machine.cacheDir, name);
  const failure = JSON.parse(readFileSync(file, 'utf8')) as object;
  writeFileSync(file, JSON.stringify({ ...failure, at: Date.now() - age }));
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

  test('is not followed by another for an hour, where one program goes on asking; a sign-in elsewhere ends that', async () => {
    at.machine.env = { ...NO_BROWSER_USER, NODE_OPTIONS: `--import=${FAST_TIMERS}` };
    // This process is the parent each time, as an informer is.
    const ask = async (): Promise<string> => (await at.machine.ended(at.machine.startPlugin(...plugin()))).stderr;
    const expired = 'The sign-in in the browser was not completed within 5 minutes.';
    expect(await ask()).toMatch(/opening your browser[^]*not completed within 5 minutes/);
    rememberedSince(minutes(50));
    expect(await ask()).toMatch(new RegExp(`^portcullis: ${expired}\\n  Next: portcullis login .*\\n$`));
    rememberedSince(minutes(61));
    expect(await ask()).toContain('opening your browser');
    expect(await ask()).not.toContain('opening your browser');
    await at.machine.signIn(at.fakeServer.web);
    expect(await ask()).toBe('');
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

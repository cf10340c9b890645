import { PassThrough, Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';

import { FileSystem } from '../../../../../demo/cluster/files/file-system.ts';
import { Input } from '../../../../../demo/cluster/shell/input.ts';
import type { Process } from '../../../../../demo/cluster/shell/process.ts';
import { programExists, runCommand } from '../../../../../demo/cluster/shell/shell.ts';

interface Run {
  readonly process: Process;
  readonly output: { out: string; err: string };
  readonly close: () => void;
}

function prepare(input?: Readable, more: Partial<Process> = {}): Run {
  const output = { out: '', err: '' };
  const closing = new AbortController();
  const process: Process = {
    input: new Input(input),
    env: new Map([['NAME', 'value']]),
    files: new FileSystem({}),
    hostname: 'web-1',
    interactive: false,
    now: () => new Date('2026-01-02T03:04:05Z'),
    out: async (text) => void (output.out += text.toString()),
    err: async (text) => void (output.err += text.toString()),
    closed: closing.signal,
    foreground: { interrupt: undefined },
    ...more,
  };
  return { process, output, close: () => closing.abort() };
}

const script = async (text: string, input?: Readable) => {
  const { process, output } = prepare(input);
  const code = await runCommand(['sh', '-c', text], process);
  return { code, ...output };
};

describe('the shell', () => {
  it.each([
    ['echo one; echo two', 'one\ntwo\n', 0],
    ['true && echo yes || echo no', 'yes\n', 0],
    ['false && echo yes || echo no', 'no\n', 0],
    ['false || false; echo $?', '1\n', 0],
    [`echo 'a  b' "$NAME" '$NAME' \${NAME}x c\\ d`, 'a  b value $NAME valuex c d\n', 0],
    ['echo -n x; exit 3; echo never', 'x', 3],
    ['sh -c "exit 4"; echo $?', '4\n', 0],
    ['/bin/hostname; date', 'web-1\nFri, 02 Jan 2026 03:04:05 UTC\n', 0],
    ['while false; do echo never; done; echo after', 'after\n', 0],
    ['seq 3', '1\n2\n3\n', 0],
    ["echo 'while' do", 'while do\n', 0],
  ])('%s', async (text, out, code) => {
    expect(await script(text)).toMatchObject({ out, code });
  });

  it('sends to stderr what is told to go there', async () => {
    expect(await script('echo out; echo err >&2')).toMatchObject({ out: 'out\n', err: 'err\n' });
  });

  it('names a program that there is not', async () => {
    expect(await script('curl x')).toEqual({ code: 127, out: '', err: 'sh: curl: not found\n' });
    expect(programExists('curl')).toBe(false);
    expect(programExists('constructor')).toBe(false);
  });

  it.each(['echo $(id)', 'a | b', 'echo "x', 'echo x > /tmp/y', 'while true; echo x'])(
    'says that %s is beyond it',
    async (text) => {
      const { code, err } = await script(text);
      expect({ code, err }).toMatchObject({ code: 2, err: expect.stringContaining('sh: syntax error') });
    },
  );

  it('runs lines from standard input, whose programs read on where it stopped', async () => {
    const { process, output } = prepare(Readable.from([Buffer.from('echo a\nca'), Buffer.from('t\nrest\nof it')]));
    expect(await runCommand(['sh'], process)).toBe(0);
    expect(output.out).toBe('a\nrest\nof it');
  });

  it('ends a loop when the caller has gone', async () => {
    const { process, output, close } = prepare();
    const running = runCommand(['sh', '-c', 'while true; do echo x; sleep 1000; done'], process);
    await expect.poll(() => output.out).toBe('x\n');
    close();
    expect(await running).toBe(130);
  });

  it('stops what runs in front at ^C, and keeps the session', async () => {
    const keyboard = new PassThrough({ objectMode: true });
    const { process, output } = prepare(keyboard, { interactive: true });
    const running = runCommand(['sh'], process);
    keyboard.write(Buffer.from('cat\n'));
    keyboard.write(Buffer.from('typed\n'));
    await expect.poll(() => output.out).toBe('/ # typed\n');
    process.foreground.interrupt?.();
    keyboard.write(Buffer.from('echo $?; exit 5\n'));
    expect(await running).toBe(5);
    expect(output.out).toBe('/ # typed\n/ # 130\n');
  });

  it.each(['while true; do true; done', 'sleep 1000; echo never', 'sh -c "sleep 1000"; echo never'])(
    'stops all of %s at ^C',
    async (line) => {
      const keyboard = new PassThrough({ objectMode: true });
      const { process, output } = prepare(keyboard, { interactive: true });
      const running = runCommand(['sh'], process);
      keyboard.write(Buffer.from(`echo begin; ${line}\n`));
      await expect.poll(() => output.out).toBe('/ # begin\n');
      process.foreground.interrupt?.();
      keyboard.write(Buffer.from('exit 5\n'));
      expect(await running).toBe(5);
      expect(output.out).toBe('/ # begin\n/ # ');
    },
  );
});

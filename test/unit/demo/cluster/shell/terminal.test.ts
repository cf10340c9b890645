import { PassThrough } from 'node:stream';
import { describe, expect, it, vi } from 'vitest';

import { createTerminal } from '../../../../../demo/cluster/shell/terminal.ts';

function open() {
  const keyboard = new PassThrough();
  const screen = new PassThrough();
  const interrupt = vi.fn<() => void>();
  const terminal = createTerminal(keyboard, screen, interrupt);
  const lines: string[] = [];
  terminal.input.on('data', (bytes: Buffer) => lines.push(bytes.toString()));
  return { keyboard, screen, interrupt, terminal, lines };
}

describe('a terminal', () => {
  it('hands over whole lines, after erasing, and shows what is typed', async () => {
    const { keyboard, screen, lines } = open();
    let shown = '';
    screen.on('data', (bytes: Buffer) => (shown += bytes.toString()));
    keyboard.write('echo hallo\u007f\u007f\u007f');
    keyboard.write('llo\r');
    await expect.poll(() => lines).toEqual(['echo hallo\n']);
    expect(shown).toBe('echo hallo\b \b\b \b\b \bllo\r\n');
  });

  it('takes a character that comes in two pieces as one', async () => {
    const { keyboard, lines } = open();
    const bytes = Buffer.from('é\r');
    keyboard.write(bytes.subarray(0, 1));
    keyboard.write(bytes.subarray(1));
    await expect.poll(() => lines).toEqual(['é\n']);
  });

  it('forgets the line at ^C and ignores arrow keys', async () => {
    const { keyboard, interrupt, lines } = open();
    keyboard.write('rm\u0003\u001b[Aok\r');
    await expect.poll(() => lines).toEqual(['ok\n']);
    expect(interrupt).toHaveBeenCalledOnce();
  });

  it('says end of file at ^D and takes more after it', async () => {
    const { keyboard, lines } = open();
    keyboard.write('\u0004more\r');
    await expect.poll(() => lines).toEqual(['', 'more\n']);
  });

  it('ends lines as screens want them', () => {
    expect(open().terminal.onScreen('a\nb\r\n')).toBe('a\r\nb\r\n');
  });
});

import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import type { CliContext } from '../../../src/cli/context.ts';
import { fromNow } from '../../../src/cli/terminal/time.ts';
import { printResult } from '../../../src/cli/terminal/output.ts';
import { table } from '../../../src/cli/terminal/table.ts';

describe('a table', () => {
  const headings = ['SESSION', 'USERNAME', 'CLIENT', 'ADDRESS'];
  const row = ['s-0123456789abcdef', 'corp:alice@example.com', 'portcullis-cli', '2001:db8::1'];

  test('is whole where stdout is no terminal', () => {
    expect(table(headings, [['x'.repeat(300), ...row.slice(1)]])).toContain('x'.repeat(300));
  });

  test.each([200, 80, 66, 50, 40, 30, 22, 18])('fits %i columns, and never cuts the first', (columns) => {
    const lines = table(headings, [row], columns).trimEnd().split('\n');
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(columns);
    expect(lines[1]).toContain('s-0123456789abcdef');
  });

  test.each([17, 5])('has the first alone where a terminal of %i columns is narrower than that', (columns) => {
    expect(table(headings, [row], columns)).toBe('SESSION\ns-0123456789abcdef\n');
  });

  test('may have very many rows', () => {
    const rows = Array.from({ length: 200_000 }, () => ['a', 'b']);
    expect(table(['A', 'B'], rows)).toMatch(/^A {3}B\na {3}b\n/);
  });

  test('cuts the widest first, with a mark, and leaves out the last where that is not enough', () => {
    expect(table(headings, [row], 66)).toMatch(/corp:ali\S*…/);
    expect(table(headings, [row], 30)).not.toContain('ADDRESS');
    expect(table(headings, [row], 30)).toContain('USERNAME');
  });

  test('counts what a terminal shows: wide letters twice, combining marks not at all', () => {
    const [, wide, marked] = table(
      ['A', 'B'],
      [
        ['田中', 'x'],
        ['e\u0301', 'y'],
      ],
    ).split('\n');
    expect(wide).toBe('田中   x');
    expect(marked).toBe('e\u0301      y');
  });

  test('shows no control character of a cell', () => {
    const shown = table(['A', 'B'], [['\u001b[31mred', '\u202eevil']]);
    expect(shown.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Cf}]/u);
  });
});

describe('a moment', () => {
  const now = Date.parse('2026-11-25T12:00:00Z');
  test.each([
    ['2026-11-25T12:00:00Z', 'now'],
    ['2026-11-25T11:59:18Z', '42s ago'],
    ['2026-11-25T11:57:00Z', '3m ago'],
    ['2026-11-25T11:56:50Z', '3m10s ago'],
    ['2026-11-25T21:30:00Z', 'in 9h30m'],
    ['2026-11-28T13:00:00Z', 'in 3d1h'],
    ['soon', 'soon'],
  ])('%s is %s', (text, message) => {
    expect(fromNow(text, now)).toBe(message);
  });
});

describe('a result', () => {
  const value = {
    name: 'corp:alice\u001b[31m',
    '\u202ekey': 'two\nlines \u2028',
    list: ['- no', '', 'yes', '123', 'a: b'],
    count: 7,
    nothing: null,
    nested: [{ ok: true }],
  };

  const printed = async (output?: string): Promise<string> => {
    let text = '';
    const context = { print: (more: string) => (text += more) } as unknown as CliContext;
    await printResult(context, output === undefined ? {} : { output }, value, () => 'for users\n');
    return text;
  };

  test.each([
    ['json', (text: string): unknown => JSON.parse(text)],
    ['yaml', (text: string): unknown => parse(text)],
  ])('as %s comes back as it was, with nothing that a terminal obeys', async (output, read) => {
    const text = await printed(output);
    expect(read(text)).toEqual(value);
    expect(text.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
    expect(text.endsWith('\n')).toBe(true);
  });

  test('is for users otherwise', async () => {
    expect(await printed()).toBe('for users\n');
  });
});

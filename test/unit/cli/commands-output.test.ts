import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import type { CliContext } from '../../../src/cli/context.ts';
import { fromNow } from '../../../src/cli/terminal/time.ts';
import { printResult } from '../../../src/cli/terminal/output.ts';
import { idsFor, listTables } from '../../../src/cli/terminal/list-table.ts';
import { fittedTable, table } from '../../../src/cli/terminal/table.ts';

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

  test('cuts no column but the last, and that with a mark', () => {
    const [, shown = ''] = table(['NAME', 'WHY'], [['payments', 'because the laptop was stolen']], 24).split('\n');
    expect(shown).toBe('payments   because the …');
    expect(table(['NAME', 'ADDRESS', 'WHY'], [['payments', '2001:db8::1', 'stolen']], 24)).toBe(
      'NAME       ADDRESS\npayments   2001:db8::1\n',
    );
  });

  test('leaves out what does not fit by its rank, not by its place, and counts it', () => {
    const content = { headings, rows: [row], ranked: ['SESSION', 'ADDRESS'] };
    const [wide, narrow] = [80, 36].map((columns) => fittedTable(content, columns));
    expect(wide).toEqual({ text: table(headings, [row]), hidden: 0 });
    expect(narrow).toEqual({ text: 'SESSION              ADDRESS\ns-0123456789abcdef   2001:db8::1\n', hidden: 2 });
  });

  test('one name that is longer than half the terminal is whole, and takes no column from the others', () => {
    const name = 'x'.repeat(89);
    const rows = [row, ['s-1', name, 'portcullis-cli', '203.0.113.7']];
    const { text, hidden } = fittedTable({ headings, rows }, 80);
    expect(hidden).toBe(0);
    const [, first = '', second = ''] = text.split('\n');
    expect(first.length).toBeLessThanOrEqual(80);
    expect(second).toContain(`${name}   portcullis-cli   203`);
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

describe('a list', () => {
  const content = { headings: ['NAME', 'ACTOR', 'REASON'], rows: [['alice'.repeat(6), '', 'x'.repeat(40)]] };
  const shown = (columns: number | undefined, output?: string) => {
    const messages: string[] = [];
    const terminal = { ...(columns !== undefined && { columns }), notify: (text: string) => messages.push(text) };
    const text = listTables(terminal, output === undefined ? {} : { output }, [content]);
    return { text, messages };
  };

  test('has no column in which there is nothing; a pipe has it, so that a script finds each where it was', () => {
    expect(shown(200)).toEqual({ text: expect.stringMatching(/^NAME +REASON\n/), messages: [] });
    expect(shown(undefined)).toEqual({
      text: expect.stringMatching(/ +ACTOR +REASON\n\S+ +- +x{40}\n$/),
      messages: [],
    });
  });

  test('says how many columns are hidden, and -o wide shows them, uncut', () => {
    expect(shown(36)).toEqual({
      text: expect.not.stringContaining('x'),
      messages: ['1 column hidden; -o wide shows all'],
    });
    expect(shown(36, 'wide')).toEqual({ text: expect.stringContaining('x'.repeat(40)), messages: [] });
  });

  test('has short ids on a terminal, and only where these tell them apart', () => {
    const ids = ['aaaabbbbcccc', 'aaaabbbXcccc'];
    expect(idsFor({ columns: 80 }, {}, ids)).toEqual(['aaaabbbb', 'aaaabbbX']);
    expect(idsFor({ columns: 80 }, {}, [...ids, 'aaaabbbbdddd'])[0]).toBe('aaaabbbbcccc');
    expect(idsFor({ columns: 80 }, { output: 'wide' }, ids)).toEqual(ids);
    expect(idsFor({}, {}, ids)).toEqual(ids);
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

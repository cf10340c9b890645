/** Every statement that a test removes or changes is marked in the sources, and can be replaced there. */
import { readFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { describe, expect, it } from 'vitest';
import { edited, markersIn, removed, replaced, ROOT } from '../chaos/broken-copy.ts';
import * as safeguards from '../chaos/safeguards.ts';
import { AT_ANY_TIME, BROKEN_TOURS } from '../fixtures/changed-sources.ts';
import { NEXT_VERSION } from '../fixtures/next-version.ts';
import { HAS_LUACHECK, luacheck } from '../support/luacheck.ts';

const markers = await markersIn(ROOT);
const all = [...Object.values(safeguards), ...BROKEN_TOURS, AT_ANY_TIME, NEXT_VERSION];
const used = new Set(all.flatMap(({ edits }) => edits.map(({ marker }) => marker)));

/** @throws Error for TypeScript that does not parse */
function errorsIn(file: string, source: string): readonly string[] {
  if (!file.endsWith('.lua')) return stripTypeScriptTypes(source) === '' ? [`${file} is empty`] : [];
  // Its syntax alone: what one file names is in others.
  return HAS_LUACHECK ? luacheck({ changed: source }, ['--only', '0']) : [];
}

describe('the markers of the sources', () => {
  it.each([...used])('%s stands exactly once', (name) => {
    expect(markers.filter(({ marker }) => marker === name)).toHaveLength(1);
  });

  it('has no marker that no test uses', () => {
    expect(markers.map(({ marker }) => marker).filter((marker) => !used.has(marker))).toEqual([]);
  });

  it.each(Object.entries(safeguards).filter(([name]) => name !== 'SLOW_JOIN'))(
    '%s is the name of its marker',
    (name, { edits }) => {
      expect(edits.map(({ marker }) => marker)).toContain(name);
    },
  );

  it.each(all)('sources still parse where this is changed: $name', ({ edits }) => {
    const sources = new Map<string, string>();
    for (const edit of edits) {
      const file = markers.find(({ marker }) => marker === edit.marker)?.file ?? '';
      sources.set(file, edited(sources.get(file) ?? readFileSync(`${ROOT}${file}`, 'utf8'), edit));
    }
    expect([...sources].flatMap(([file, source]) => errorsIn(file, source))).toEqual([]);
  });
});

describe('replacing a statement', () => {
  const source = (statement: string): string => `before();\n// safeguard: ONE\n${statement}\nafter();\n`;

  it.each([
    ['a line', 'return true;'],
    ['a block', 'if (a) {\n  b();\n\n  c();\n} else {\n  d();\n}'],
    ['a chain', 'return a\n  .b()\n  .c();'],
    ['a call of several lines', 'call(\n  a,\n  b,\n);'],
    ['Lua', "if a then\n  return {'GAP'}\nend"],
  ])('takes out %s, and nothing beside it', (_what, statement) => {
    expect(edited(source(statement), removed('ONE'))).toBe('before();\n// safeguard: ONE\n\nafter();\n');
  });

  it('stays within the block that it stands in', () => {
    const within = 'function f() {\n  // safeguard: ONE\n  return a;\n}\n';
    expect(edited(within, replaced('ONE', 'return b;'))).toBe('function f() {\n  // safeguard: ONE\nreturn b;\n}\n');
  });

  it.each([
    ['is missing', 'before();\nafter();\n', /ONE stands 0 times/],
    ['stands twice', `${source('a();')}${source('b();')}`, /ONE stands 2 times/],
    ['has no statement below it', source('// Because.\nb();'), /no statement below the marker ONE/],
    ['has the replacement already', source('c();'), /nothing is changed at the marker ONE/],
  ])('fails where the marker %s', (_what, text, error) => {
    expect(() => edited(text, replaced('ONE', 'c();'))).toThrow(error);
  });
});

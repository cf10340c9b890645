/** The scripts as Redis is sent them, composed of the functions in `lua/`. */
import { globSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { CONSTANTS } from '../../../src/store/redis/lua-constants.ts';
import * as scripts from '../../../src/store/redis/scripts.ts';
import { HAS_LUACHECK, luacheck } from '../../support/luacheck.ts';
import { ROOT } from '../docs/markdown.ts';

const all = Object.values(scripts);
const files = globSync('src/store/redis/lua/*.lua', { cwd: ROOT }).map((file) => ({
  file,
  lines: readFileSync(`${ROOT}${file}`, 'utf8').split('\n'),
}));

describe.runIf(HAS_LUACHECK)('luacheck', () => {
  it('finds nothing in any script', () => {
    expect(all.length).toBeGreaterThan(60);
    expect(luacheck(Object.fromEntries(all.map(({ name, lua }) => [name, lua])))).toEqual([]);
  });

  it.each([
    [
      'a name that is missing',
      'local function session_alone',
      'local function alone',
      /undefined variable 'session_alone'/,
    ],
    ['a global that Redis refuses', 'local last = ', 'last = ', /non-standard global variable 'last'/],
    [
      'a function that is not needed',
      'local above',
      'local function extra() end\nlocal above',
      /unused function 'extra'/,
    ],
    ['a name that hides another', 'local key = ', 'local above = ', /shadowing upvalue 'above'/],
    ['what does not parse', 'return f\nend', 'return f', /expected 'end'/],
  ])('would find %s', (_what, part, other, finding) => {
    const lua = scripts.mintSession.lua.replace(part, other);
    expect(lua).not.toBe(scripts.mintSession.lua);
    expect(luacheck({ broken: lua }).join('\n')).toMatch(finding);
  });
});

describe('the folder of Lua', () => {
  const texts = all.map(({ lua }) => `\n${lua}`);
  const isUsed = (line: string): boolean => texts.some((text) => text.includes(`\n${line}\n`));

  it('has no function, value or constant that no script has', () => {
    const definitions = files.flatMap(({ lines }) => lines.filter((line) => line.startsWith('local ')));
    expect(definitions.length).toBeGreaterThan(150);
    expect(definitions.filter((line) => !isUsed(line))).toEqual([]);
    const constants = Object.keys(CONSTANTS);
    expect(constants.filter((name) => !texts.some((text) => text.includes(`\nlocal ${name} = `)))).toEqual([]);
  });

  it('reads fields by name alone', () => {
    const numbered = files.flatMap(({ file, lines }) =>
      lines.filter((line) => /\b(?:E|f|g|known)\[\d+\]|\[2\]\[\d/.test(line)).map((line) => `${file}: ${line}`),
    );
    expect(numbered).toEqual([]);
  });

  it.each(files)('$file begins with what it is, and keeps its lines short', ({ lines }) => {
    expect(lines[0]).toMatch(/^-- [A-Z]/);
    expect(lines.filter((line) => line.length > 120)).toEqual([]);
  });
});

describe('a script', () => {
  it('begins with the line that says whether a full Redis takes it', () => {
    expect(scripts.openSession.lua).toMatch(/^#!lua\n/);
    expect(scripts.append.lua).toMatch(/^#!lua flags=allow-oom\n/);
  });

  it('has the head, but for those that belong to no epoch', () => {
    const headless = all.filter(({ lua }) => !lua.includes("return {'REGIME'"));
    expect(headless.map(({ name }) => name).toSorted()).toEqual([
      'accept_live',
      'is_accepted_live',
      'list_anchors',
      'new_epoch',
      'probe_commands',
      'probe_server',
      'probe_write',
      'publish_live',
      'put_anchor',
      'read_live',
      'subscribe_live',
      'subscriptions_live',
      'unsubscribe_live',
    ]);
    // Nothing comes before it but what it needs: a check that comes after a write stops nothing.
    for (const { lua } of all.filter((each) => !headless.includes(each))) {
      const [before = ''] = lua.split('\nlocal now = tonumber(ARGV[1])\n');
      expect(before.match(/(?<=^local function )\w+/gm)).toEqual(['fields', 'primary_generation', 'entry_fields']);
    }
  });

  it('is given its arguments in the order of its parameters, and a list of those whose number is open', () => {
    const callOf = ({ lua }: { readonly lua: string }): string => lua.trimEnd().split('\n').at(-1) ?? '';
    expect(callOf(scripts.position)).toBe('return position()');
    expect(callOf(scripts.mintSession)).toBe('return mint_session(ARGV[6], ARGV[7])');
    expect(callOf(scripts.newEpoch)).toBe('return new_epoch(ARGV[1], ARGV[2], ARGV[3], ARGV[4])');
    expect(callOf(scripts.restoreLocks)).toBe('return restore_locks(ARGV[6], ARGV[7], arguments_from(8))');
  });
});

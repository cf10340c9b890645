/**
 * Composes scripts of the functions in `lua/`. A script is one function there, with what it needs: the functions, values
 * and constants that its text names, and what those name. Names are therefore unique in that folder, also among
 * parameters; luacheck finds in each script what is missing, unused or hidden by another (test/unit/store/scripts.test.ts).
 */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';

import { CONSTANTS } from './lua-constants.ts';

/** A Lua script with the hash by which Redis identifies it. */
export interface Script {
  readonly name: string;
  readonly lua: string;
  readonly sha: string;
}

interface Definition {
  readonly text: string;
  /** What it names: not in a string, and not as a field. */
  readonly names: ReadonlySet<string>;
}

const FOLDER = new URL('lua/', import.meta.url);
const HEAD = 'head.lua';

/** Comments are for readers: Redis is sent each script again after a restart, and keeps it in its memory. */
const read = (file: string): string => readFileSync(new URL(file, FOLDER), 'utf8').replaceAll(/^ *--.*\n/gm, '');

const defined = (text: string): Definition => ({
  text,
  names: new Set(text.replaceAll(/'(?:[^'\\]|\\.)*'/g, "''").match(/(?<![\w.])[A-Za-z_]\w*/g)),
});

const luaValue = (value: string | number | readonly string[]): string =>
  typeof value === 'object'
    ? `{${value.map(luaValue).join(', ')}}`
    : typeof value === 'number'
      ? String(value)
      : `'${value}'`;

/** A function, on one line or up to the `end` that closes it; or a value, on one line. */
const DEFINITION = /^local (?:function (\w+)\(.*?(?: end|(?:\n.*)*?\nend)|(\w+(?:, \w+)*) = .+)\n+/;

function* definitionsIn(file: string): Generator<[name: string, Definition]> {
  for (let rest = read(file).trimStart(); rest !== '';) {
    const [found, name, names = ''] = DEFINITION.exec(rest) ?? [];
    if (found === undefined)
      throw new Error(`lua/${file} has more than functions and values: ${rest.split('\n', 1)[0]}`);
    const definition = defined(found.trimEnd());
    for (const each of name === undefined ? names.split(', ') : [name]) yield [each, definition];
    rest = rest.slice(found.length);
  }
}

function allDefinitions(): ReadonlyMap<string, Definition> {
  const found = new Map<string, Definition>();
  const constants = Object.entries(CONSTANTS).map(
    ([name, value]) => [name, defined(`local ${name} = ${luaValue(value)}`)] as const,
  );
  const files = readdirSync(FOLDER).filter((file) => file.endsWith('.lua') && file !== HEAD);
  for (const [name, definition] of [...constants, ...files.flatMap((file) => [...definitionsIn(file)])]) {
    if (found.has(name)) throw new Error(`lua/ has ${name} twice`);
    found.set(name, definition);
  }
  return found;
}

const DEFINITIONS = allDefinitions();
const HEAD_TEXT = defined(read(HEAD).trimEnd());

/** Returns these texts, each after what it needs and has not had before it yet. */
function withNeeds(wanted: readonly Definition[]): readonly string[] {
  const seen = new Set<Definition>();
  const texts: string[] = [];
  const add = (part: Definition): void => {
    if (seen.has(part)) return;
    seen.add(part);
    for (const name of part.names) {
      const needed = DEFINITIONS.get(name);
      if (needed !== undefined) add(needed);
    }
    texts.push(part.text);
  };
  for (const part of wanted) add(part);
  return texts;
}

interface ScriptOptions {
  /**
   * True if the script stores something new. Redis rejects such a script as a whole when it is full, while a
   * revocation, a renewal or a deletion must pass even then.
   */
  readonly stores?: boolean;
  /** False for one that creates what the head requires, or does not depend on it. */
  readonly head?: boolean;
  /** Index of its first argument: before it are those of the head, also where a script without head ignores them. */
  readonly from?: number;
}

/**
 * @param name of a function in `lua/`. It is given the arguments of the script, one for each parameter, and a last one that
 *   is called `more` is a list of all that follow.
 */
export function script(name: string, { stores = false, head = true, from = 6 }: ScriptOptions = {}): Script {
  const body = DEFINITIONS.get(name);
  const [, parameters] = /^local function \w+\(([^)]*)\)/.exec(body?.text ?? '') ?? [];
  if (body === undefined || parameters === undefined) throw new Error(`lua/ has no function ${name}`);
  const args = parameters.split(/,\s+/).flatMap((parameter, index) => {
    if (parameter === '') return [];
    return parameter === 'more' ? `arguments_from(${from + index})` : `ARGV[${from + index}]`;
  });
  const call = defined(`return ${name}(${args.join(', ')})`);
  const shebang = stores ? '#!lua' : '#!lua flags=allow-oom';
  const lua = [shebang, ...withNeeds(head ? [HEAD_TEXT, call] : [call]), ''].join('\n');
  return { name, lua, sha: createHash('sha1').update(lua).digest('hex') };
}

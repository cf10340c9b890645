/** Provides CEL's functions for strings, as in cel-go's extended strings. */
import type { Environment } from '@marcbachmann/cel-js';
import { isComparable } from './lists.ts';
import { OWN } from './names.ts';

/** Characters of a string that an expression builds. */
const MAX_BUILT = 65_536;

/** Registers the functions. Positions count characters, as in CEL; JavaScript's count halves of those beyond U+FFFF. */
export function strings(environment: Environment): void {
  environment
    .registerFunction(`string.${OWN}lowerAscii(): string`, (text: string) =>
      text.replaceAll(/[A-Z]+/g, (letters) => letters.toLowerCase()),
    )
    .registerFunction(`string.${OWN}upperAscii(): string`, (text: string) =>
      text.replaceAll(/[a-z]+/g, (letters) => letters.toUpperCase()),
    )
    .registerFunction(`string.${OWN}trim(): string`, trim)
    .registerFunction('string.charAt(int): string', (text: string, at: bigint) => {
      const characters = charactersOf(text);
      return characters[within(at, characters.length)] ?? '';
    })
    .registerFunction(`string.${OWN}substring(int): string`, (text: string, start: bigint) => slice(text, start))
    .registerFunction(`string.${OWN}substring(int, int): string`, slice)
    .registerFunction(`string.${OWN}indexOf(string): int`, (text: string, part: string) => indexOf(text, part, 0n))
    .registerFunction(`string.${OWN}indexOf(string, int): int`, indexOf)
    .registerFunction(`string.${OWN}lastIndexOf(string): int`, (text: string, part: string) => lastIndexOf(text, part))
    .registerFunction(`string.${OWN}lastIndexOf(string, int): int`, lastIndexOf)
    .registerFunction(`string.${OWN}split(string): list<string>`, (text: string, by: string) => split(text, by, -1n))
    .registerFunction(`string.${OWN}split(string, int): list<string>`, split)
    .registerFunction('string.replace(string, string): string', (text: string, old: string, by: string) =>
      replace(text, old, by, -1n),
    )
    .registerFunction('string.replace(string, string, int): string', replace)
    .registerFunction('string.format(list<dyn>): string', format);
}

/** Has no character beyond U+FFFF. */
const WHITE_SPACE = /^\p{White_Space}$/u;

/**
 * Removes white space at both ends, without a pattern: that would search again from each blank within, in quadratic
 * time.
 */
function trim(text: string): string {
  let from = 0;
  let to = text.length;
  while (from < to && WHITE_SPACE.test(text.charAt(from))) from += 1;
  while (to > from && WHITE_SPACE.test(text.charAt(to - 1))) to -= 1;
  return text.slice(from, to);
}

/** Returns the code points, which are CEL's characters. */
const charactersOf = (text: string): readonly string[] => Array.from(text);

function within(position: bigint, length: number): number {
  if (position < 0n || position > BigInt(length)) throw new Error(`position ${position} is outside the text`);
  return Number(position);
}

function slice(text: string, start: bigint, end?: bigint): string {
  const characters = charactersOf(text);
  const from = within(start, characters.length);
  const to = end === undefined ? characters.length : within(end, characters.length);
  if (to < from) throw new Error(`position ${to} is before position ${from}`);
  return characters.slice(from, to).join('');
}

function indexOf(text: string, part: string, from: bigint): bigint {
  const skipped = slice(text, 0n, from);
  const found = text.indexOf(part, skipped.length);
  return found === -1 ? -1n : BigInt(charactersOf(text.slice(0, found)).length);
}

function lastIndexOf(text: string, part: string, from?: bigint): bigint {
  const found = text.lastIndexOf(part, from === undefined ? text.length : slice(text, 0n, from).length);
  return found === -1 ? -1n : BigInt(charactersOf(text.slice(0, found)).length);
}

function split(text: string, by: string, limit: bigint): readonly string[] {
  const parts = by === '' ? charactersOf(text) : text.split(by);
  if (limit === 0n) return [];
  if (limit < 0n || BigInt(parts.length) <= limit) return parts;
  const most = Number(limit);
  return [...parts.slice(0, most - 1), parts.slice(most - 1).join(by)];
}

/** Replaces a string; an empty one is found between all characters, and at both ends. */
function replace(text: string, old: string, by: string, limit: bigint): string {
  const characters = old === '' ? ['', ...charactersOf(text), ''] : text.split(old);
  const most = limit < 0n ? characters.length - 1 : Math.min(Number(limit), characters.length - 1);
  if (text.length + most * by.length > MAX_BUILT)
    throw new Error(`a text of more than ${MAX_BUILT} characters is not made`);
  return (
    characters.slice(0, most + 1).join(by) +
    characters
      .slice(most + 1)
      .map((each) => old + each)
      .join('')
  );
}

/** Formats with `%s` and `%d`; CEL's other verbs are for numbers, which names do not need. */
function format(pattern: string, values: readonly unknown[]): string {
  let next = 0;
  const formatted = pattern.replaceAll(/%(.?)/gsu, (_all, verb: string) => {
    if (verb === '%') return '%';
    const value = values[next];
    if (next >= values.length) throw new Error('format has more verbs than values');
    next += 1;
    if (verb === 's' && isComparable(value)) return String(value);
    if (verb === 'd' && typeof value === 'bigint') return String(value);
    throw new Error(
      `format knows %s for texts, numbers and bools, and %d for whole numbers; not this value by %${verb}`,
    );
  });
  if (formatted.length > MAX_BUILT) throw new Error(`a text of more than ${MAX_BUILT} characters is not made`);
  return formatted;
}

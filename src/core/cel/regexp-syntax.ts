/**
 * What a pattern means, as a tree. Accepted is what RE2 and the language's own expressions (with the `u` flag) both have; a pattern of which
 * the two think differently is refused or read as RE2 does.
 */

export type PatternNode =
  | { readonly kind: 'char'; readonly test: (character: string) => boolean }
  | { readonly kind: 'assert'; readonly holds: (text: readonly string[], at: number) => boolean }
  | { readonly kind: 'sequence'; readonly items: readonly PatternNode[] }
  /** The earlier option is preferred. */
  | { readonly kind: 'choice'; readonly options: readonly PatternNode[] }
  | {
      readonly kind: 'repeat';
      readonly item: PatternNode;
      readonly min: number;
      readonly max: number;
      readonly lazy: boolean;
    };

/** A pattern is one line of a configuration. */
const MAX_PATTERN = 1000;
const MAX_DEPTH = 50;

/** @throws Error in words for whoever wrote the pattern */
export function parsePattern(pattern: string): PatternNode {
  if (pattern.length > MAX_PATTERN) throw new Error(`the pattern is longer than ${MAX_PATTERN} characters`);
  const flags = /^\(\?([ims]+)\)/.exec(pattern)?.[1] ?? '';
  const body = translated(pattern.slice(flags === '' ? 0 : flags.length + 3), flags);
  if (body.includes('[[:')) throw new Error('classes such as [:alpha:] are not supported: write \\p{L}');
  const fault = faultOf(body, flags);
  if (fault !== undefined) throw new Error(fault);
  const parser = new PatternParser(body, flags);
  return parser.choice(0);
}

/** A class, an escape outside of one, or the beginning of a group with a name. */
const TOKEN = /\[(?:\\[^]|[^\]\\])*\]|\\(?:[pP][A-Z]|[^])|\(\?P</gu;
const ESCAPED = /\\(?:[pP][A-Z]|[^])/gu;

/** RE2's spellings in the language's own. */
function translated(body: string, flags: string): string {
  return body.replaceAll(TOKEN, (token) => {
    if (token.startsWith('[')) return token.replaceAll(ESCAPED, respelt);
    if (token.startsWith('(')) return '(?<';
    // Over lines they would be something else than `^` and `$`.
    if (token === '\\A' && !flags.includes('m')) return '^';
    if (token === '\\z' && !flags.includes('m')) return '$';
    return respelt(token);
  });
}

function respelt(escape: string): string {
  const [, property, letter] = /^\\([pP])([A-Z])$/.exec(escape) ?? [];
  if (letter !== undefined) return `\\${property}{${letter}}`;
  // Any punctuation may stand behind a backslash in RE2.
  return /^\\[ !"#%&',:;<=>@_`~-]$/.test(escape) ? `\\x${escape.charCodeAt(1).toString(16)}` : escape;
}

/** What the language's own engine has against it: it is no pattern at all, or has a flag twice. */
function faultOf(body: string, flags: string): string | undefined {
  try {
    return RegExp(body, `u${flags}`) instanceof RegExp ? undefined : 'no pattern';
  } catch (error) {
    return error instanceof Error ? error.message : 'no pattern';
  }
}

const ESCAPE = /\\(?:[pP]\{[^}]*\}|u\{[^}]*\}|u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2}|c[A-Za-z]|[^])/uy;
const CLASS = /\[(?:\\[^]|[^\]\\])*\]/uy;
const GROUP = /\((?:\?:|\?<[A-Za-z_]\w*>)?/uy;
const COUNT = /(?:[*+?]|\{(\d+)(,?)(\d*)\})(\??)/uy;
const SIGNS: ReadonlyMap<string, readonly [min: number, max: number]> = new Map([
  ['*', [0, Number.POSITIVE_INFINITY]],
  ['+', [1, Number.POSITIVE_INFINITY]],
  ['?', [0, 1]],
]);
/** RE2's `\s`; the language's own has every space that Unicode knows. */
const SPACE = '\\t\\n\\f\\r ';
/** All others. */
const NOT_SPACE = '\\x00-\\x08\\x0b\\x0e-\\x1f!-\\u{10FFFF}';
const IN_CLASS: ReadonlyMap<string, string> = new Map([
  ['\\s', SPACE],
  ['\\S', NOT_SPACE],
]);
/** RE2 has no more either. */
const MAX_COUNT = 1000;
const WORD = /^\w$/;

class PatternParser {
  readonly #source: string;
  readonly #flags: string;
  #at = 0;

  constructor(source: string, flags: string) {
    this.#source = source;
    this.#flags = flags;
  }

  choice(depth: number): PatternNode {
    if (depth > MAX_DEPTH) throw new Error('the pattern is nested too deep');
    const options = [this.#sequence(depth)];
    while (this.#source[this.#at] === '|') {
      this.#at += 1;
      options.push(this.#sequence(depth));
    }
    return { kind: 'choice', options };
  }

  #sequence(depth: number): PatternNode {
    const items: PatternNode[] = [];
    for (;;) {
      const next = this.#source[this.#at];
      if (next === undefined || next === '|' || next === ')') return { kind: 'sequence', items };
      items.push(this.#repeated(this.#atom(next, depth)));
    }
  }

  #repeated(item: PatternNode): PatternNode {
    const count = this.#take(COUNT);
    if (count === undefined) return item;
    const [all, least = '0', comma, most = ''] = count;
    const lazy = count[4] === '?';
    const [min, max] = SIGNS.get(all.slice(0, 1)) ?? [
      Number(least),
      most === '' && comma === ',' ? Number.POSITIVE_INFINITY : Number(most || least),
    ];
    if (min > MAX_COUNT || (max > MAX_COUNT && max !== Number.POSITIVE_INFINITY)) {
      throw new Error(`a repetition of more than ${MAX_COUNT} is not supported`);
    }
    return { kind: 'repeat', item, min, max, lazy };
  }

  #atom(next: string, depth: number): PatternNode {
    switch (next) {
      case '(':
        return this.#group(depth);
      case '[':
        return this.#class();
      case '\\':
        return this.#escape();
      case '.':
        this.#at += 1;
        return { kind: 'char', test: this.#flags.includes('s') ? () => true : (character) => character !== '\n' };
      case '^':
      case '$':
        this.#at += 1;
        return { kind: 'assert', holds: edge(next, this.#flags.includes('m')) };
      default: {
        const literal = String.fromCodePoint(this.#source.codePointAt(this.#at) ?? 0);
        this.#at += literal.length;
        return this.#flags.includes('i')
          ? this.#oneOf(literal.replace(/[\\^$.*+?()[\]{}|/]/u, '\\$&'))
          : { kind: 'char', test: (character) => character === literal };
      }
    }
  }

  #group(depth: number): PatternNode {
    this.#take(GROUP);
    if (this.#source[this.#at] === '?') throw new Error('look-around and flags within a pattern are not supported');
    const inner = this.choice(depth + 1);
    // The parenthesis that closes it, which is there.
    this.#at += 1;
    return inner;
  }

  #class(): PatternNode {
    const [all] = this.#take(CLASS) ?? ['[]'];
    return this.#oneOf(all.replaceAll(/\\[^]/gu, (escape) => IN_CLASS.get(escape) ?? escape));
  }

  #escape(): PatternNode {
    const [all] = this.#take(ESCAPE) ?? [''];
    if (/^\\(?:[1-9]|k)/.test(all)) throw new Error('back-references are not supported');
    if (/^\\u[dD][89a-fA-F]/.test(all)) throw new Error('half a character is not supported');
    if (all === '\\b') return { kind: 'assert', holds: atWordEdge };
    if (all === '\\B') return { kind: 'assert', holds: (text, at) => !atWordEdge(text, at) };
    if (all === '\\s') return this.#oneOf(`[${SPACE}]`);
    if (all === '\\S') return this.#oneOf(`[^${SPACE}]`);
    return this.#oneOf(all);
  }

  /** One character, judged by the language's own engine: over a single one it has nothing to go back to. */
  #oneOf(source: string): PatternNode {
    const expression = new RegExp(`^${source}$`, this.#flags.includes('i') ? 'iu' : 'u');
    return { kind: 'char', test: (character) => expression.test(character) };
  }

  #take(expression: RegExp): RegExpExecArray | undefined {
    expression.lastIndex = this.#at;
    const found = expression.exec(this.#source) ?? undefined;
    this.#at += found?.[0].length ?? 0;
    return found;
  }
}

function edge(side: '^' | '$', lines: boolean): (text: readonly string[], at: number) => boolean {
  if (side === '^') return (text, at) => at === 0 || (lines && text[at - 1] === '\n');
  return (text, at) => at === text.length || (lines && text[at] === '\n');
}

const isWord = (character: string | undefined): boolean => character !== undefined && WORD.test(character);

const atWordEdge = (text: readonly string[], at: number): boolean => isWord(text[at - 1]) !== isWord(text[at]);

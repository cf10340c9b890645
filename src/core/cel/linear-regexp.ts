/**
 * Regular expressions that take time in proportion to the text, as RE2's do in Kubernetes, and with what RE2 has: no look-around, no
 * back-references.
 *
 * Threat: the pattern is the configuration's, but the text is a person's own (a display name, a branch). The language's own engine goes back and
 * tries again, and some pattern of a careful author takes hours for forty letters of somebody else's choosing, in which nobody is served.
 * So a pattern becomes a small program, and all ways through it are followed at once, letter by letter (Thompson 1968, Pike's variant, which
 * prefers the leftmost match and in it the first alternative).
 *
 * @see https://swtch.com/~rsc/regexp/regexp2.html
 * @see https://github.com/google/re2/wiki/Syntax
 */
import { parsePattern, type PatternNode } from './regexp-syntax.ts';

/** Counted repetition is written out: `(a{50}){50}` would be 2,500 steps for each letter. */
const MAX_INSTRUCTIONS = 1000;
/** UTF-16 units. Claims that are looked into with a pattern are names, not documents. */
const MAX_TEXT = 16_384;
/** Steps of one call; some tens of milliseconds. */
const MAX_STEPS = 1_000_000;

type Instruction =
  | { readonly op: 'char'; readonly test: (character: string) => boolean }
  | { readonly op: 'assert'; readonly holds: (text: readonly string[], at: number) => boolean }
  /** `first` is preferred. */
  | { readonly op: 'split'; first: number; second: number }
  | { readonly op: 'jump'; to: number }
  | { readonly op: 'match' };

export interface LinearRegExp {
  /** @param took is told how many steps it took @throws Error where the text is too long for it */
  test(text: string, took?: Took): boolean;
  /**
   * Matches that do not overlap, from the left; an empty one right behind another is none, as in Go.
   * @param limit how many at most; negative: all
   * @param took as above
   * @throws Error where the text is too long for it
   */
  find(text: string, limit: number, took?: Took): readonly string[];
}

type Took = (steps: number) => void;

/** @throws Error in words where the pattern is none, or has what RE2 does not have */
export function compileRegExp(pattern: string): LinearRegExp {
  const program: Instruction[] = [];
  emit(program, parsePattern(pattern));
  program.push({ op: 'match' });
  return {
    test: (text, took) => {
      const search = new Search(program, charactersOf(text));
      const found = search.from(0) !== undefined;
      took?.(search.steps);
      return found;
    },
    find: (text, limit, took) => {
      const search = new Search(program, charactersOf(text));
      const found = findAll(search, limit);
      took?.(search.steps);
      return found;
    },
  };
}

function charactersOf(text: string): readonly string[] {
  if (text.length > MAX_TEXT)
    throw new Error(`a text of more than ${MAX_TEXT} characters is not searched by a pattern`);
  return Array.from(text);
}

function push(program: Instruction[], instruction: Instruction): void {
  if (program.length >= MAX_INSTRUCTIONS) throw new Error('the pattern is too large: repeat less in it');
  program.push(instruction);
}

function emit(program: Instruction[], node: PatternNode): void {
  switch (node.kind) {
    case 'char':
      return push(program, { op: 'char', test: node.test });
    case 'assert':
      return push(program, { op: 'assert', holds: node.holds });
    case 'sequence':
      for (const item of node.items) emit(program, item);
      return;
    case 'choice':
      return emitChoice(program, node.options);
    case 'repeat':
      return emitRepeat(program, node);
  }
}

function emitChoice(program: Instruction[], [option, ...others]: readonly PatternNode[]): void {
  if (option === undefined) return;
  if (others.length === 0) return emit(program, option);
  const split: Instruction & { op: 'split' } = { op: 'split', first: program.length + 1, second: 0 };
  push(program, split);
  emit(program, option);
  const jump: Instruction & { op: 'jump' } = { op: 'jump', to: 0 };
  push(program, jump);
  split.second = program.length;
  emitChoice(program, others);
  jump.to = program.length;
}

function emitRepeat(program: Instruction[], node: PatternNode & { readonly kind: 'repeat' }): void {
  const { item, min, max, lazy } = node;
  for (let count = 0; count < min; count += 1) {
    const before = program.length;
    emit(program, item);
    // Nothing is nothing again, and the program's size is no bound for it: `((){1000}){1000}`.
    if (program.length === before) break;
  }
  const splits: { readonly split: Instruction & { op: 'split' }; readonly body: number }[] = [];
  const branch = (): number => {
    const split: Instruction & { op: 'split' } = { op: 'split', first: 0, second: 0 };
    push(program, split);
    splits.push({ split, body: program.length });
    return program.length - 1;
  };
  if (max === Number.POSITIVE_INFINITY) {
    const to = branch();
    emit(program, item);
    push(program, { op: 'jump', to });
  } else {
    for (let count = min; count < max; count += 1) {
      branch();
      emit(program, item);
    }
  }
  for (const { split, body } of splits) {
    [split.first, split.second] = lazy ? [program.length, body] : [body, program.length];
  }
}

interface Match {
  readonly start: number;
  readonly end: number;
}

/** A way through the program, and where it began in the text. */
interface Way {
  readonly at: number;
  readonly start: number;
}

class Search {
  readonly text: readonly string[];
  readonly #program: readonly Instruction[];
  #steps = 0;

  get steps(): number {
    return this.#steps;
  }

  constructor(program: readonly Instruction[], text: readonly string[]) {
    this.#program = program;
    this.text = text;
  }

  /** The leftmost match that begins at `from` or later. */
  from(from: number): Match | undefined {
    let ways: Way[] = [];
    let seen = new Set<number>();
    let found: Match | undefined;
    for (let at = from; at <= this.text.length; at += 1) {
      if (found === undefined) this.#follow(ways, seen, { at: 0, start: at }, at);
      const next: Way[] = [];
      const seenNext = new Set<number>();
      for (const way of ways) {
        const instruction = this.#program[way.at];
        if (instruction?.op === 'match') {
          found = { start: way.start, end: at };
          // Those behind it are less wanted.
          break;
        }
        const character = this.text[at];
        if (instruction?.op === 'char' && character !== undefined && instruction.test(character)) {
          this.#follow(next, seenNext, { at: way.at + 1, start: way.start }, at + 1);
        }
      }
      if (next.length === 0 && found !== undefined) return found;
      [ways, seen] = [next, seenNext];
    }
    return found;
  }

  /** Adds a way as far as it leads without another character. */
  #follow(ways: Way[], seen: Set<number>, from: Way, at: number): void {
    const open: number[] = [from.at];
    for (let next = open.pop(); next !== undefined; next = open.pop()) {
      this.#steps += 1;
      if (this.#steps > MAX_STEPS) throw new Error('the text is too long for this pattern');
      if (seen.has(next)) continue;
      seen.add(next);
      const instruction = this.#program[next];
      if (instruction?.op === 'jump') open.push(instruction.to);
      else if (instruction?.op === 'split') open.push(instruction.second, instruction.first);
      else if (instruction?.op !== 'assert') ways.push({ at: next, start: from.start });
      else if (instruction.holds(this.text, at)) open.push(next + 1);
    }
  }
}

function findAll(search: Search, limit: number): readonly string[] {
  const { text } = search;
  const matches: string[] = [];
  const wanted = limit < 0 ? Number.POSITIVE_INFINITY : limit;
  let last = -1;
  let from = 0;
  while (from <= text.length && matches.length < wanted) {
    const match = search.from(from);
    if (match === undefined) break;
    const behind = match.end === match.start && match.start === last;
    if (!behind) matches.push(text.slice(match.start, match.end).join(''));
    last = match.end;
    from = match.end === from ? from + 1 : match.end;
  }
  return matches;
}

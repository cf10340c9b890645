/**
 * Regular expressions in RE2's syntax that take time in proportion to the text, as in Kubernetes. The engine is re2js.
 *
 * The pattern is the configuration's, but the text is in part chosen by a user (a display name, a branch). An attacker
 * chooses a text for which JavaScript's own engine backtracks for hours, so patterns never reach that engine.
 *
 * Linear time still leaves a large factor, the size of the pattern. So the work is limited, and each caller can charge
 * for it before it is done. A search takes at most one unit of work for each instruction of the pattern at each
 * character. Only `Matcher.find` is called: `RE2JS.test` builds a cache of up to 8 MiB for each pattern.
 *
 * @see https://github.com/google/re2/wiki/Syntax
 * @see https://github.com/le0pard/re2js
 */
import { RE2JS } from 're2js';

/** A pattern is one line of a configuration. */
const MAX_PATTERN = 1000;
/** Counted repetition is written out: `(a{30}){30}` is 1,800 instructions. */
const MAX_INSTRUCTIONS = 4000;
/** UTF-16 units. Claims that are searched by a pattern are names, not documents. */
const MAX_TEXT = 16_384;
/** Units of one search; some tens of milliseconds. */
const MAX_WORK = 2_000_000;

/** Units for compiling one character of a pattern, by how long it takes: some ten microseconds. */
const WORK_OF_CHARACTER = 320;
/** A class with characters beyond ASCII has hundreds of ranges. */
const TIMES_FOR_UNICODE = 8;
/** Ignoring case, each character of a range is looked up, of as many as 125,000. */
const TIMES_FOR_FOLDED_RANGES = 100;
/** RE2 allows no more copies of a part, nested repetitions multiplied. */
const MAX_COPIES = 1000;

/** Is called before some work is done. @throws Error if the work may not be done */
export type Charge = (work: number) => void;

export interface LinearRegExp {
  /** @throws Error if the text is too long for the pattern */
  test(text: string, charge?: Charge): boolean;
  /**
   * Returns the matches that do not overlap, from the left. An empty match right after another match is left out, as in
   * Go.
   * @param limit how many at most; negative: all
   * @throws Error if the text is too long for the pattern
   */
  find(text: string, limit: number, charge?: Charge): readonly string[];
}

/**
 * Compiles a pattern.
 * @throws Error with a message for the author of the pattern if it is invalid or too large
 */
export function compileRegExp(pattern: string, charge?: Charge): LinearRegExp {
  if (pattern.length > MAX_PATTERN) throw new Error(`the pattern is longer than ${MAX_PATTERN} characters`);
  charge?.(workOfCompiling(pattern));
  const expression = RE2JS.compile(pattern);
  if (expression.programSize() > MAX_INSTRUCTIONS) throw new Error('the pattern is too large: repeat less in it');
  return {
    test: (text, chargeSearch) => new Search(expression, text, chargeSearch).next() !== undefined,
    find: (text, limit, chargeSearch) => findAll(new Search(expression, text, chargeSearch), limit),
  };
}

/**
 * An upper bound, found without parsing: an attacker who can choose a part of a pattern could mislead a second parser.
 * A thousand characters that are repeated a thousand times take a second and 350 MB, although the pattern is then
 * rejected.
 */
function workOfCompiling(pattern: string): number {
  const counts = [...pattern.matchAll(/\{(\d+),?(\d*)\}/g)];
  const copies = counts.reduce((product, [, min, max]) => product * Math.max(1, Number(min), Number(max)), 1);
  const isUnicode = /\\[pPx]|[^\0-\x7f]/.test(pattern);
  const foldsRanges = isUnicode && /\(\?[a-zA-Z]*i/.test(pattern) && pattern.includes('-');
  const times = foldsRanges ? TIMES_FOR_FOLDED_RANGES : isUnicode ? TIMES_FOR_UNICODE : 1;
  return pattern.length * Math.min(copies, MAX_COPIES) * times * WORK_OF_CHARACTER;
}

interface Match {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

/** The matches of one pattern in one text, one after the other. */
class Search {
  readonly #matcher: ReturnType<RE2JS['matcher']>;
  readonly #size: number;
  readonly #charge: Charge | undefined;
  #from = 0;

  constructor(expression: RE2JS, text: string, charge: Charge | undefined) {
    if (text.length > MAX_TEXT)
      throw new Error(`a text of more than ${MAX_TEXT} characters is not searched by a pattern`);
    this.#matcher = expression.matcher(text);
    this.#size = expression.programSize();
    this.#charge = charge;
  }

  next(): Match | undefined {
    const work = this.#size * (this.#matcher.inputLength() - this.#from + 1);
    if (work > MAX_WORK) throw new Error('the text is too long for this pattern');
    this.#charge?.(work);
    if (!this.#matcher.find()) return undefined;
    const match = { start: this.#matcher.start(), end: this.#matcher.end(), text: this.#matcher.group() ?? '' };
    this.#from = match.end;
    return match;
  }
}

function findAll(search: Search, limit: number): readonly string[] {
  const wanted = limit < 0 ? Number.POSITIVE_INFINITY : limit;
  const found: string[] = [];
  let last = -1;
  while (found.length < wanted) {
    const match = search.next();
    if (match === undefined) break;
    if (match.start !== match.end || match.start !== last) found.push(match.text);
    last = match.end;
  }
  return found;
}

/**
 * Tables for a terminal. No column is cut but the last, which takes the rest of the line: half a name or half an address
 * is worse than none. What does not fit is left out, the least important first.
 */
import { plainText } from './plain-text.ts';

const GAP = '   ';
/** The last column is not cut below this: eight characters, which are enough of an id, and the mark. */
const NARROWEST = 9;
/** A cell that is longer than this, and than half the terminal, makes its own line longer, and no other. */
const LONGEST = 40;

/** Characters that are two cells wide in a terminal: East Asian scripts, full-width forms and emoji. */
const WIDE =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\p{Emoji_Presentation}\u3000-\u303f\uff01-\uff60\uffe0-\uffe6]/u;
const COMBINING = /\p{M}/u;

const widthOf = (text: string): number => {
  let width = 0;
  for (const character of text) width += COMBINING.test(character) ? 0 : WIDE.test(character) ? 2 : 1;
  return width;
};

const padded = (text: string, width: number): string => text + ' '.repeat(Math.max(0, width - widthOf(text)));

/** Returns at most `width` cells, with a mark where text is missing. */
function cut(text: string, width: number): string {
  if (widthOf(text) <= width) return text;
  let kept = '';
  for (const character of text) {
    if (widthOf(kept + character) > width - 1) break;
    kept += character;
  }
  return `${kept}…`;
}

export interface TableContent {
  readonly headings: readonly string[];
  /** A cell for each heading. */
  readonly rows: readonly (readonly string[])[];
  /** Headings, the most important first; those that are not named come after them, in their order. */
  readonly ranked?: readonly string[];
}

interface Shown {
  /** Ends with a newline. */
  readonly text: string;
  /** How many columns did not fit. */
  readonly hidden: number;
}

/**
 * Returns rows under headings, as kubectl prints them; control characters are removed from every cell.
 * @param columns columns of the terminal; absent: everything is shown, whole. The first column always is, because users
 *   read or copy it.
 */
export function fittedTable({ headings, rows, ranked = [] }: TableContent, columns?: number): Shown {
  const cells = [headings, ...rows].map((row) => headings.map((_, column) => plainText(row[column] ?? '', 4000)));
  const last = headings.length - 1;
  const longest = columns === undefined ? Number.POSITIVE_INFINITY : Math.max(LONGEST, Math.floor(columns / 2));
  const natural = headings.map((_, column) =>
    cells.reduce((most, row) => {
      const width = widthOf(row[column] ?? '');
      return width > most && (width <= longest || column === last) ? width : most;
    }, 0),
  );
  const rank = (column: number): number => {
    const named = ranked.indexOf(headings[column] ?? '');
    return named === -1 ? ranked.length + column : named;
  };
  const kept = columns === undefined ? headings.map((_, column) => column) : fitting(natural, columns, rank);
  const others = kept.filter((column) => column !== last).reduce((sum, at) => sum + (natural[at] ?? 0) + GAP.length, 0);
  const widthAt = (column: number): number =>
    column === last && columns !== undefined
      ? Math.max(columns - others, Math.min(natural[last] ?? 0, NARROWEST))
      : (natural[column] ?? 0);
  const line = (row: readonly string[]): string =>
    kept
      .map((column) => {
        const cell = row[column] ?? '';
        return column === last ? cut(cell, widthAt(column)) : padded(cell, widthAt(column));
      })
      .join(GAP)
      .trimEnd();
  return { text: `${cells.map(line).join('\n')}\n`, hidden: headings.length - kept.length };
}

/** Returns the columns that fit, in their order. The last needs no more than it is cut to. */
function fitting(natural: readonly number[], columns: number, rank: (column: number) => number): readonly number[] {
  const last = natural.length - 1;
  const byRank = natural.map((_, column) => column).toSorted((left, right) => rank(left) - rank(right));
  const kept = new Set([0]);
  let left = columns - (natural[0] ?? 0);
  for (const column of byRank) {
    const whole = natural[column] ?? 0;
    const needed = GAP.length + (column === last ? Math.min(whole, NARROWEST) : whole);
    if (kept.has(column) || needed > left) continue;
    kept.add(column);
    left -= needed;
  }
  return [...kept].toSorted((left, right) => left - right);
}

/** Returns a table of few narrow columns, the most important first. Ends with a newline. */
export const table = (headings: readonly string[], rows: readonly (readonly string[])[], columns?: number): string =>
  fittedTable({ headings, rows }, columns).text;

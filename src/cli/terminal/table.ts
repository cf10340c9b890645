/** Tables for a terminal. */
import { plainText } from './plain-text.ts';

const GAP = '   ';
/** No column is cut below this: a few letters mean nothing. */
const NARROWEST = 8;

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

/**
 * Returns rows under headings, as kubectl prints them; control characters are removed from every cell. Ends with a
 * newline.
 * @param columns columns of the terminal: wide columns are cut to fit, and where that is not enough the last ones
 *   are left out, but never the first, which users copy. Absent (a pipe): everything is shown.
 */
export function table(headings: readonly string[], rows: readonly (readonly string[])[], columns?: number): string {
  const cells = [headings, ...rows].map((row) => row.map((cell) => plainText(cell, 4000)));
  const natural = headings.map((_, column) =>
    cells.reduce((most, row) => Math.max(most, widthOf(row[column] ?? '')), 0),
  );
  const widths = columns === undefined ? natural : fitted(natural, columns);
  const line = (row: readonly string[]): string =>
    widths
      .map((width, column) => padded(cut(row[column] ?? '', width), width))
      .join(GAP)
      .trimEnd();
  return `${cells.map(line).join('\n')}\n`;
}

/** Returns widths that fit; the widest column is cut first. Returns fewer where even the narrowest do not fit. */
function fitted(natural: readonly number[], columns: number): readonly number[] {
  const [first = 0, ...others] = natural;
  const space = columns - first;
  const least = (widths: readonly number[]): number =>
    widths.reduce((sum, width) => sum + GAP.length + Math.min(width, NARROWEST), 0);
  let kept = others;
  while (kept.length > 0 && least(kept) > space) kept = kept.slice(0, -1);
  const widths = [...kept];
  const total = (): number => widths.reduce((sum, width) => sum + GAP.length + width, 0);
  // The first may be wider than the terminal: then it is shown alone.
  while (widths.length > 0 && total() > space) {
    const widest = Math.max(...widths);
    widths[widths.indexOf(widest)] = widest - 1;
  }
  return [first, ...widths];
}

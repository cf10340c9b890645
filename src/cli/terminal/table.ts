/**
 * Columns for a terminal.
 */
import { plainText } from './plain-text.ts';

const GAP = '   ';
/** To less than this no column is cut: a few letters say nothing. */
const NARROWEST = 8;

/** Two cells wide in a terminal: East Asian scripts, full-width forms and pictures. */
const WIDE =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\p{Emoji_Presentation}\u3000-\u303f\uff01-\uff60\uffe0-\uffe6]/u;
const COMBINING = /\p{M}/u;

const widthOf = (text: string): number => {
  let width = 0;
  for (const character of text) width += COMBINING.test(character) ? 0 : WIDE.test(character) ? 2 : 1;
  return width;
};

const padded = (text: string, width: number): string => text + ' '.repeat(Math.max(0, width - widthOf(text)));

/** At most `width` cells, with a mark where something is missing. */
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
 * Rows under headings, as kubectl prints them; control characters stripped from every cell. Ends with a newline.
 * @param columns cells of the terminal: then wide columns are cut, and where that is not enough the last ones left out, but never the
 *   first, which is what one copies. Absent (a pipe): everything is shown.
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

/** Widths that fit: the widest is cut first. Fewer where even the narrowest do not. */
function fitted(natural: readonly number[], columns: number): readonly number[] {
  const [first = 0, ...others] = natural;
  const room = columns - first;
  const least = (widths: readonly number[]): number =>
    widths.reduce((sum, width) => sum + GAP.length + Math.min(width, NARROWEST), 0);
  let kept = others;
  while (kept.length > 0 && least(kept) > room) kept = kept.slice(0, -1);
  const widths = [...kept];
  const total = (): number => widths.reduce((sum, width) => sum + GAP.length + width, 0);
  // The first may be wider than the terminal: then it stands alone.
  while (widths.length > 0 && total() > room) {
    const widest = Math.max(...widths);
    widths[widths.indexOf(widest)] = widest - 1;
  }
  return [first, ...widths];
}

/**
 * Columns for a terminal.
 */
import { plainText } from './plain-text.ts';

/** Rows under headings, as kubectl prints them; control characters stripped from every cell. Ends with a newline. */
export function table(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = [headings, ...rows].map((row) => row.map((cell) => plainText(cell, 120)));
  const widths = headings.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('   ')
      .trimEnd();
  return `${cells.map(line).join('\n')}\n`;
}

/** Lists as tables: whole in a pipe and with `-o wide`, otherwise as much as the terminal has space for. */
import type { CliContext } from '../context.ts';
import type { OutputOptions } from './output.ts';
import { fittedTable, type TableContent } from './table.ts';
import { fromNow } from './time.ts';

type Terminal = Pick<CliContext, 'columns' | 'notify'>;

/** Characters of an id in a table: commands take as many (session/session-id.ts). */
const SHORT_ID = 8;
/** In a cell in which there is nothing. */
const NOTHING = '-';

/**
 * Returns one table after the other, and says on stderr where columns are missing. On a terminal a column in which no
 * row has anything is left out; a pipe always gets all of them.
 * @param tables each with the line above it, if there is one; a cell is empty where there is nothing
 */
export function listTables(
  terminal: Terminal,
  { output }: OutputOptions,
  tables: readonly (TableContent & { readonly title?: string })[],
): string {
  const shown = tables.map(({ title, ...content }) => {
    const { text, hidden } = fittedTable(
      withMarks(terminal.columns === undefined ? content : withoutEmpty(content)),
      output === 'wide' ? undefined : terminal.columns,
    );
    return { text: title === undefined ? text : `${title}\n${text}`, hidden };
  });
  const hidden = shown.reduce((sum, one) => sum + one.hidden, 0);
  if (hidden > 0) terminal.notify(`${hidden} ${hidden === 1 ? 'column' : 'columns'} hidden; -o wide shows all`);
  return shown.map(({ text }) => text).join('\n');
}

const withMarks = ({ rows, ...content }: TableContent): TableContent => ({
  ...content,
  rows: rows.map((row) => row.map((cell) => cell || NOTHING)),
});

function withoutEmpty({ headings, rows, ...content }: TableContent): TableContent {
  const filled = headings.map((_, column) => column === 0 || rows.some((row) => (row[column] ?? '') !== ''));
  const kept = <T>(values: readonly T[]): T[] => values.filter((_, column) => filled[column]);
  return { ...content, headings: kept(headings), rows: rows.map(kept) };
}

/** Returns ids as a table shows them: on a terminal their first characters, where these tell them apart. */
export function idsFor(
  terminal: Pick<CliContext, 'columns'>,
  { output }: OutputOptions,
  ids: readonly string[],
): string[] {
  const short = new Set(ids.map((id) => id.slice(0, SHORT_ID)));
  const isShort = terminal.columns !== undefined && output !== 'wide' && short.size === new Set(ids).size;
  return ids.map((id) => (isShort ? id.slice(0, SHORT_ID) : id));
}

/** Returns a time of a server as a table shows it: as seen from now on a terminal, exact in a pipe. */
export const timeFor = ({ columns, nowMs }: Pick<CliContext, 'columns' | 'nowMs'>, text: string): string =>
  columns === undefined ? text : fromNow(text, nowMs());

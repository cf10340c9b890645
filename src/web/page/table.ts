/** Tables, whose headings stand above their columns, and on narrow screens beside each cell (`tables.css`). */
import { html, type Html, type HtmlValue } from './html.ts';

export interface Column<Row> {
  readonly heading: string;
  readonly cell: (row: Row) => HtmlValue;
  /** `main`: what names the row. `action`: what can be done with it, under a heading for screen readers only. */
  readonly kind?: 'main' | 'action' | 'answer';
  /** A class that gives the column its width. */
  readonly width?: string;
  /** What is beside a cell on a narrow screen. Absent: the heading. */
  readonly label?: (row: Row) => string;
  readonly title?: (row: Row) => string;
}

interface RowStyle<Row> {
  /** `false` is a column that this page does not show. */
  readonly columns: readonly (Column<Row> | false)[];
  readonly rowClass?: (row: Row) => string | undefined;
  /** `log`: for long lists, whose cells have no headings beside them. */
  readonly style?: 'log' | 'sessions';
}

interface Table<Row> extends RowStyle<Row> {
  readonly rows: readonly Row[];
  /** What is shown where there is no row. */
  readonly empty?: HtmlValue;
  readonly caption?: Html;
  /** True: with rows that a script adds and removes. */
  readonly live?: boolean;
}

const attribute = (name: string, value: string | undefined): Html | false =>
  value !== undefined && html` ${name}="${value}"`;

const shownOf = <Row>(columns: RowStyle<Row>['columns']): readonly Column<Row>[] =>
  columns.filter((column) => column !== false);

const headingOf = <Row>({ heading, kind, width }: Column<Row>): Html =>
  html`<th${[attribute('scope', 'col'), attribute('class', width)]}>
    ${kind === 'action' ? html`<span class="visually-hidden">${heading}</span>` : heading}
  </th>`;

function cellOf<Row>({ heading, cell, kind, label, title }: Column<Row>, row: Row, hasLabels: boolean): Html {
  const beside = hasLabels && kind === undefined ? (label?.(row) ?? heading) : undefined;
  const attributes = [attribute('class', kind), attribute('data-label', beside), attribute('title', title?.(row))];
  return html`<td${attributes}>${cell(row)}</td>`;
}

/** Returns a single row, which a script copies. */
export function tableRow<Row>({ columns, rowClass, style }: RowStyle<Row>, row: Row): Html {
  const cells = shownOf(columns).map((column) => cellOf(column, row, style !== 'log'));
  return html`<tr${attribute('class', rowClass?.(row))}>
    ${cells}
  </tr>`;
}

export function table<Row>(table: Table<Row>): Html {
  const { rows, empty, caption, style, live } = table;
  if (rows.length === 0 && empty !== undefined) return html`<p class="empty">${empty}</p>`;
  return html`<table${attribute('class', style)}>
    ${caption}
    <thead>
      <tr>
        ${shownOf(table.columns).map(headingOf)}
      </tr>
    </thead>
    <tbody${live === true && html` data-rows`}>
      ${rows.map((row) => tableRow(table, row))}
    </tbody>
  </table>`;
}

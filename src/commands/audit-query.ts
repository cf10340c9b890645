/** `portcullis audit query`: a query of the audit log's files, with a table or the events themselves as its result. */
import { once } from 'node:events';
import type { Writable } from 'node:stream';
import { momentOf } from '../core/audit/moment.ts';
import { byOutcome } from '../audit/query/outcomes.ts';
import { MOST_FILES, queryAuditLog, type FileError, type Hit, type AuditQuery } from '../audit/query/query.ts';
import { eventCells } from '../cli/terminal/audit-event-line.ts';
import { escapeUnsafe, plainText } from '../cli/terminal/plain-text.ts';
import { table } from '../cli/terminal/table.ts';
import { isPortcullisEventName } from '../core/audit/catalogue.ts';
import { AUDIT_QUESTIONS, isAsLogged } from '../core/audit/questions.ts';
import { no, ok, type Result } from '../core/result.ts';
import { defined } from '../core/defined.ts';

const RESOURCE_HINT = '; the audit log has the plural, without group: --resource deployments';
const FAILED = 1;
const WRONG_USE = 2;

/** The options as they were typed. */
export interface QueryOptions extends Omit<AuditQuery, 'refused' | 'since' | 'until'> {
  readonly since?: string;
  readonly until?: string;
  readonly refused?: true;
  readonly output?: 'json' | 'table';
  /** One of `AUDIT_QUESTIONS`. */
  readonly about?: keyof typeof AUDIT_QUESTIONS;
}

export interface QueryContext {
  readonly stdout: Writable & { readonly columns?: number };
  readonly stderr: Pick<Writable, 'write'>;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

/** @returns exit status: 0, 1 where a file could not be read to its end, 2 for wrong use */
export async function auditQuery(
  files: readonly string[],
  options: QueryOptions,
  context: QueryContext,
): Promise<number> {
  const question = questionOf(files, options, context.now);
  if (!question.ok) {
    context.stderr.write(`${question.reason}\n`);
    return WRONG_USE;
  }
  let failed = false;
  const isJson = options.output === 'json';
  const show = isJson ? asLines : asTable(context.stdout.columns);
  const hits = queryAuditLog(files, question.value, (failure) => {
    failed ||= failure.error !== undefined;
    context.stderr.write(`${failureMessage(failure)}\n`);
  });
  // The reader may have seen enough, such as `head`.
  let readerClosed = false;
  let nothing = true;
  context.stdout.on('error', () => (readerClosed = true));
  for await (const batch of isJson ? hits : byOutcome(hits)) {
    if (readerClosed) break;
    nothing = false;
    if (!context.stdout.write(show(batch)))
      await Promise.race([once(context.stdout, 'drain'), once(context.stdout, 'close')]).catch(() => undefined);
  }
  if (nothing && !failed)
    context.stderr.write(
      `no event matches${options.resource === undefined || isAsLogged(options.resource) ? '' : RESOURCE_HINT}\n`,
    );
  return failed ? FAILED : 0;
}

/** Every validation error is reported before a file is opened. */
function questionOf(files: readonly string[], options: QueryOptions, now: number): Result<AuditQuery, string> {
  if (files.length > MOST_FILES)
    return no(`at most ${MOST_FILES} files at once: give fewer files, or narrow the pattern`);
  const { since, until, refused, output: _output, about, ...typed } = options;
  const rest = { ...(about === undefined ? {} : AUDIT_QUESTIONS[about].filter), ...typed };
  if (rest.event?.split(',').every(isPortcullisEventName) === false) {
    return no(
      `--event ${plainText(rest.event, 60)}: the audit log has no event of this name; docs/reference/audit-events.md lists them`,
    );
  }
  const [from, before] = [since, until].map((moment) => (moment === undefined ? undefined : momentOf(moment, now)));
  for (const [name, typed, read] of [
    ['since', since, from],
    ['until', until, before],
  ] as const) {
    if (typed !== undefined && read === undefined) {
      return no(
        `--${name} ${plainText(typed, 60)}: give a time such as 2026-11-25T14:00:00Z, a day such as 2026-11-25, or an age such as 90s, 15m, 12h or 7d`,
      );
    }
  }
  return ok({
    ...rest,
    ...defined({ since: from, until: before }),
    ...(refused === true ? { refused: 'true' } : {}),
  });
}

const asLines = (hits: readonly Hit[]): string => hits.map(({ text }) => `${escapeUnsafe(text)}\n`).join('');

/** Prints headings once; each batch has its own column widths, because the rest is not known yet. */
function asTable(columns: number | undefined): (hits: readonly Hit[]) => string {
  let first = true;
  return (hits) => {
    const rows = hits.map(({ time, event }) => [`${time.slice(0, 19)}Z`, ...eventCells({ ...event })]);
    const text = table(['TIME', 'WHO', 'DID WHAT', 'OUTCOME', 'FROM'], rows, columns);
    const shown = first ? text : text.slice(text.indexOf('\n') + 1);
    first = false;
    return shown;
  };
}

function failureMessage({ file, unreadable, firstUnreadable, error }: FileError): string {
  const name = plainText(file, 200);
  const lines =
    unreadable === 0
      ? ''
      : `${unreadable} line(s) are not audit events and were skipped, the first is line ${firstUnreadable}`;
  const broken = error === undefined ? '' : `could not be read to its end: ${plainText(error, 200)}`;
  return `${name}: ${[lines, broken].filter((part) => part !== '').join('; ')}`;
}

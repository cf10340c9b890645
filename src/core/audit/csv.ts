/** Audit events as a table for a spreadsheet (RFC 4180). */
import type { AuditEvent } from './event.ts';
import { EXTRA_DOMAIN } from '../core.ts';
import { outcomeOf, whatOf, whoOf } from './sentence.js';

type Cell = (event: AuditEvent) => string | number | undefined;

const fact =
  (name: string): Cell =>
  ({ annotations }) =>
    annotations[`${EXTRA_DOMAIN}/${name}`];

const COLUMNS: Readonly<Record<string, Cell>> = {
  time: ({ stageTimestamp }) => stageTimestamp,
  who: whoOf,
  what: whatOf,
  outcome: (event) => outcomeOf(event).text,
  status: ({ responseStatus }) => responseStatus?.code,
  user: ({ user }) => user.username,
  as: ({ impersonatedUser }) => impersonatedUser?.username,
  account: fact('account'),
  session: fact('session'),
  actor: fact('actor'),
  cluster: fact('cluster'),
  verb: ({ verb }) => verb,
  resource: ({ objectRef: ref }) =>
    ref && `${ref.resource}${ref.subresource === undefined ? '' : `/${ref.subresource}`}`,
  namespace: ({ objectRef }) => objectRef?.namespace,
  name: ({ objectRef }) => objectRef?.name,
  reason: fact('reason'),
  address: ({ sourceIPs }) => sourceIPs.join(' '),
  requestId: ({ auditID }) => auditID,
};

/** An attacker names a pod `=HYPERLINK(…)`, and a spreadsheet would run it. */
const FORMULA = /^[=+\-@\t\r]/;

function cell(value: string | number | undefined): string {
  const text = String(value ?? '');
  const safe = FORMULA.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

const line = (cells: readonly string[]): string => `${cells.join(',')}\r\n`;

export const CSV_HEADING = line(Object.keys(COLUMNS));

/** Returns the line of an event, with its end. */
export const csvLine = (event: AuditEvent): string => line(Object.values(COLUMNS).map((column) => cell(column(event))));

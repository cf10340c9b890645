/**
 * What ended with a revocation: its sessions, as they were read just before, and the streams, grants and open requests of
 * the user, as the audit log of all replicas has their end.
 */
import type { AuditEvent } from '../../core/audit/event.ts';
import type { History } from '../../audit/query/history.ts';
import { auditTime } from '../../core/audit/moment.ts';
import { EXTRA_DOMAIN } from '../../core/core.ts';
import { defined } from '../../core/defined.ts';
import { waiterOf } from '../../http/request-context.ts';
import { searchHistory, type RevocationReceipt } from '../../services/admin/admin.ts';
import { clientName, deviceOf, quotedName } from '../page/client-label.ts';
import { html, type Html } from '../page/html.ts';
import { momentSeconds } from '../page/layout.ts';
import { table, type Column } from '../page/table.ts';
import type { AdminPageContext } from './admin-frame.ts';
import { eventLine, searchedText } from './audit-lines.ts';
import { sessionHref } from './links.ts';

/**
 * Everything is cut within moments; what comes later is of a session that was opened since. A replica may cut before the
 * one that was asked has noted the time, and its clock may be behind. Milliseconds.
 */
const ENDS_WITHIN_MS = 60_000;
const ENDS_BEFORE_MS = 5000;
/** Of what is found, which has what a user did next too; and of what is shown. */
const MOST_READ = 500;
const MOST_EVENTS = 100;
/** The page waits for it. Milliseconds. */
const SEARCH_MS = 1000;

type EndedSession = NonNullable<RevocationReceipt['ended']>[number];

const SESSIONS: readonly Column<EndedSession>[] = [
  {
    heading: 'Session',
    kind: 'main',
    cell: ({ id, client, userAgent, deviceName }) =>
      html`<a href="${sessionHref(id)}">${clientName(client)}, ${deviceOf(userAgent)}</a>
        ${deviceName !== undefined && quotedName(deviceName)}`,
  },
  { heading: 'IP address', cell: ({ address }) => (address === '' ? '–' : address) },
  { heading: 'Signed in', cell: ({ createdAt }) => momentSeconds(createdAt) },
  { heading: 'Last used', cell: ({ lastUsedAt }) => momentSeconds(lastUsedAt) },
];

/** What the audit log has of the end of what was open. `unsearched`: other searches are running, or this one failed. */
export type EndsInLog = Pick<History, 'hits' | 'stopped' | 'searched' | 'missing'> | 'unsearched';

const factOf = ({ annotations }: AuditEvent, name: string): string | undefined =>
  annotations[`${EXTRA_DOMAIN}/${name}`];

/** Of a stream or a request that was under way; of a grant, or a request for one, that ended with its session. */
const isEnd = (event: AuditEvent): boolean =>
  factOf(event, 'event') === undefined
    ? factOf(event, 'reason') === 'session_revoked' && event.stage === 'ResponseComplete' && isStarted(event)
    : ENDS_OF_ACCESS.has(factOf(event, 'event') ?? '') && factOf(event, 'ending') === 'session';

const ENDS_OF_ACCESS: ReadonlySet<string> = new Set(['access-ended', 'access-denied']);

/** One that was rejected had not begun. */
const isStarted = ({ responseStatus }: AuditEvent): boolean => (responseStatus?.code ?? 0) < 400;

/** Returns what the audit log has of the ends; undefined where a target has more than one user, or no replica has a file. */
export async function endsInLog(
  { deps, req }: Pick<AdminPageContext, 'deps' | 'req'>,
  { target = '', at }: RevocationReceipt,
): Promise<EndsInLog | undefined> {
  const [kind, name] = /^(account|session):(.+)$/u.exec(target)?.slice(1) ?? [];
  if (kind === undefined || name === undefined) return undefined;
  const from = Date.parse(at);
  const query = { [kind]: name, since: auditTime(from - ENDS_BEFORE_MS), until: auditTime(from + ENDS_WITHIN_MS) };
  const tried = await searchHistory(deps, waiterOf(req), query, { events: MOST_READ, ms: SEARCH_MS }).catch(
    () => undefined,
  );
  if (tried?.ok !== true) return 'unsearched';
  if (tried.value === undefined) return undefined;
  const { hits, searched, missing } = tried.value;
  const ends = hits.filter(({ event }) => isEnd(event));
  const stopped = ends.length > MOST_EVENTS ? 'events' : tried.value.stopped;
  return { hits: ends.slice(0, MOST_EVENTS), ...defined({ stopped, searched, missing }) };
}

/** Returns the card of what ended; nothing where neither a session nor a stream is known. */
export function endedCard({ ended = [], sessions }: RevocationReceipt, found: EndsInLog | undefined): Html | false {
  if (ended.length === 0 && found === undefined) return false;
  const ends = found === 'unsearched' ? undefined : found;
  const more = sessions - ended.length;
  return html`<section class="card" aria-labelledby="ended">
    <div class="card-head">
      <h2 id="ended">What ended</h2>
      ${ends !== undefined && html`<p class="small">${searchedText(ends)}</p>`}
    </div>
    ${ended.length > 0 && table({ columns: SESSIONS, rows: ended })}
    ${ended.length > 0 && more > 0 && html`<p class="small muted">and ${more} more, delegated ones included</p>`}
    ${
      ends !== undefined &&
      (ends.hits.length === 0 && ends.stopped === undefined && (ends.missing ?? []).length === 0
        ? html`<p class="empty">No stream that was cut is in the audit log.</p>`
        : html`<ol class="record" reversed>
            ${ends.hits.map(({ event }) => eventLine(event))}
          </ol>`)
    }
    ${
      found === 'unsearched' &&
      html`<p class="small">
        <span class="state warn">Not searched</span> Other searches of the audit log are running: load this page again
        in a few seconds to see what was cut.
      </p>`
    }
    ${
      ends?.stopped !== undefined &&
      html`<p class="small"><span class="state warn">Not finished</span> The audit log has more of it.</p>`
    }
  </section>`;
}

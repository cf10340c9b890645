/**
 * `/admin/audit`: the audit log. The page opens with what the files of all replicas have, or else the store, in the
 * range and with the filters of the URL. Then `audit.js` reads the stream of the admin API, which authorizes and
 * audits each connection, and adds new events on top.
 */
import type { Request } from 'express';
import { ADMIN } from '../../core/api/rejections.ts';
import { problemFor } from '../../http/problem.ts';
import { AUDIT_SUBJECTS } from '../../core/api/fields.ts';
import { auditEventsQuerySchema } from '../../core/api/audit.ts';
import { auditTime } from '../../core/audit/moment.ts';
import { AUDIT_QUESTIONS, isAsLogged, parseQuestion, questionOf } from '../../core/audit/questions.ts';
import { defined } from '../../core/defined.ts';
import type { AuditQuery } from '../../audit/query/matcher.ts';
import type { History } from '../../audit/query/history.ts';
import { auditFilter, defaultSince, pastQuery, searchHistory } from '../../services/admin/admin.ts';
import { waiterOf } from '../../http/request-context.ts';
import { AppError } from '../../core/errors.ts';
import { html, type Html } from '../page/html.ts';
import { requestsTable, latestRequests, type LatestRequest } from '../page/recent-requests.ts';
import type { RecentRequest, SessionQuery, SessionRecord } from '../../store/store.ts';
import type { WebDeps } from '../dependencies.ts';
import { eventLine, eventTemplate, searchedText } from './audit-lines.ts';
import { auditHref, queryString } from './links.ts';
import { checkBox } from '../page/field.ts';
import { searchField, selectField } from './form-fields.ts';
import { parameter } from '../page/response.ts';
import { sendAdminPage, type AdminPageContext, type AdminRead } from './admin-frame.ts';

const AUDIT_FIELDS = [...AUDIT_SUBJECTS, 'event', 'refused'] as const;

/** Those that only the past has. */
const PAST_FIELDS = ['auditId', 'since', 'until'] as const;
const FILTERS = [...AUDIT_FIELDS, ...PAST_FIELDS] as const;
/** Parameters that are no filter: a question in one line, and whether the reader's own reads are shown. */
const OTHERS = ['q', 'reads'] as const;

/** The filters of the URL, unchanged; empty ones are left out. */
type LiveFilters = { readonly [F in (typeof AUDIT_FIELDS)[number]]?: string };
type AuditFilters = LiveFilters & { readonly [F in (typeof PAST_FIELDS)[number]]?: string };

/** What the page opens with. */
type Past =
  | { readonly kind: 'files'; readonly found: History }
  /** No replica has a file. Undefined: the store cannot be read. */
  | { readonly kind: 'recent'; readonly requests: readonly RecentRequest[] | undefined }
  /** Too many others search at the moment. */
  | { readonly kind: 'busy' }
  /** A filter is malformed. */
  | { readonly kind: 'malformed'; readonly message: string };

interface AuditPage {
  readonly deps: Pick<WebDeps, 'clock'>;
  readonly shown: AuditFilters;
  /** As it was typed, where it is not understood. */
  readonly typed: string | undefined;
  /** Whose own reads are left out; undefined: no one's. */
  readonly withoutReadsOf: string | undefined;
  readonly clusters: readonly string[];
  readonly past: Past;
  /**
   * Before the past was searched: the files of this replica are read first, and then others may be waited for, so what is
   * written meanwhile is not in it.
   */
  readonly askedAtMs: number;
  /** False where this server has no live view of the audit log, and where the page is about the past alone. */
  readonly live: boolean;
}

const textField = (name: keyof AuditFilters, label: string, shown: AuditFilters, placeholder: string): Html =>
  searchField({ name, label, value: shown[name], placeholder });

/** One line for what is asked, and what is asked most. */
function questionForm({ shown, typed }: AuditPage): Html {
  const { since, until, ...question } = shown;
  const asked = typed ?? questionOf(question);
  const questions = Object.values(AUDIT_QUESTIONS).map(({ label, filter }) => {
    const isChosen = questionOf(filter) === questionOf(question);
    const href = `/admin/audit${queryString({ ...filter, since, until })}`;
    return html`<li><a class="chip" href="${href}" ${isChosen && html`aria-current="true"`}>${label}</a></li>`;
  });
  return html`<form
      class="filters"
      method="get"
      action="/admin/audit"
      autocomplete="off"
      spellcheck="false"
      role="search"
      aria-label="Audit log"
    >
      ${searchField({ name: 'q', label: 'Search', value: asked, placeholder: 'user:corp:alice ns:payments verb:read', wide: true })}
      ${since !== undefined && html`<input type="hidden" name="since" value="${since}" />`}
      ${until !== undefined && html`<input type="hidden" name="until" value="${until}" />`}
      <button class="button">Search</button>
      ${Object.keys(shown).length > 0 && html`<a class="button quiet" href="/admin/audit">Clear</a>`}
    </form>
    <ul class="list chips" aria-label="Questions">
      ${questions}
    </ul>`;
}

function moreFilters({ shown, clusters }: AuditPage): Html {
  const names = [['', 'Any'], ...clusters.map((name) => [name, name] as const)] as const;
  return html`<details>
    <summary>More filters</summary>
    <form
      class="filters"
      method="get"
      action="/admin/audit"
      autocomplete="off"
      spellcheck="false"
      aria-label="More filters"
    >
      ${textField('user', 'Username', shown, 'corp:alice')} ${textField('as', 'Acted as', shown, 'corp:bob, or *')}
      ${textField('account', 'Account', shown, 'corp/alice')} ${textField('session', 'Session', shown, 'its id')}
      ${textField('actor', 'Actor', shown, 'claude, or *')} ${textField('grant', 'Access request', shown, 'its id')}
      ${selectField({ name: 'cluster', label: 'Cluster', options: names, chosen: shown.cluster })}
      ${textField('verb', 'Verbs', shown, 'create,delete')} ${textField('resource', 'Resources', shown, 'pods/exec')}
      ${textField('namespace', 'Namespace', shown, 'payments')}
      ${textField('event', 'Portcullis events', shown, 'lock,unlock')}
      ${textField('auditId', 'Request id', shown, 'all of it')} ${momentField('since', 'From', shown, '24h')}
      ${momentField('until', 'Until', shown, '2026-11-25T14:00')}
      <div class="field tick">${checkBox('refused', 'true', 'Rejected only', shown.refused === 'true')}</div>
      <button class="button">Apply</button>
    </form>
  </details>`;
}

/** In UTC; the script of the page takes and shows it in the reader's own time. */
const momentField = (name: 'since' | 'until', label: string, shown: AuditFilters, placeholder: string): Html =>
  html`<div class="field">
    <label for="${name}">${label} (<span data-moment-zone>UTC</span>)</label>
    <input
      type="search"
      id="${name}"
      name="${name}"
      value="${shown[name] ?? ''}"
      maxlength="40"
      placeholder="${placeholder}"
      data-moment
    />
  </div>`;

const gapTemplate = (): Html =>
  html`<template data-gap>
    <li class="line gap"><span class="state warn" data-text="why"></span></li>
  </template>`;

/** The messages for gaps, which the script reads from `data-messages`, so that all texts are in this file. */
const gapMessages = JSON.stringify({
  too_old: 'Events may be missing here: the live view does not reach back so far.',
  replica_late: 'Events may be missing here: a replica has not confirmed yet that it sends its events.',
  dropped: 'Events may be missing here: a replica had more events than it could send.',
  too_slow: 'Events may be missing here: this page read them too slowly.',
  unread: 'Events may be missing here: those that were written while this page was loaded could not be read.',
  lost: 'Events may be missing here: the connection was interrupted for too long.',
});

const COMMAND_OPTIONS: Readonly<Record<keyof LiveFilters, string>> = {
  user: '--user',
  as: '--as',
  account: '--account',
  session: '--session',
  actor: '--actor',
  grant: '--grant',
  cluster: '--cluster',
  verb: '--verb',
  resource: '--resource',
  namespace: '--namespace',
  event: '--event',
  refused: '--refused',
};

/** Returns a value quoted for a shell, so that nothing in it is more than text. */
const shellQuoted = (value: string): string =>
  /^[\w@%+=:,./-]+$/.test(value) ? value : `'${value.replaceAll("'", String.raw`'\''`)}'`;

function command(shown: AuditFilters): string {
  const options = AUDIT_FIELDS.filter((name) => shown[name] !== undefined).map((name) =>
    name === 'refused' ? COMMAND_OPTIONS[name] : `${COMMAND_OPTIONS[name]} ${shellQuoted(shown[name] ?? '')}`,
  );
  return ['portcullis audit tail', ...options].join(' ');
}

/** Filters as a query, without an option of the past. */
const liveQuery = (shown: AuditFilters): string =>
  queryString(Object.fromEntries(AUDIT_FIELDS.map((name) => [name, shown[name]])));

const RANGES = [
  ['15m', '15 minutes'],
  ['1h', '1 hour'],
  ['24h', '24 hours'],
  ['7d', '7 days'],
  ['30d', '30 days'],
] as const;

/** Whole days, so many before this one. In UTC; the script of the page makes them the reader's own. */
const DAYS = [
  [0, 'Today'],
  [1, 'Yesterday'],
] as const;
const DAY_MS = 86_400_000;

function ranges({ deps, shown }: AuditPage): Html {
  const chosen = shown.until === undefined ? (shown.since ?? defaultSince(shown)) : '';
  const link = ([since, label]: (typeof RANGES)[number]): Html => {
    const href = `/admin/audit${queryString({ ...shown, since, until: '' })}`;
    return since === chosen
      ? html`<li><a class="chip" href="${href}" aria-current="true">${label}</a></li>`
      : html`<li><a class="chip" href="${href}">${label}</a></li>`;
  };
  const today = Math.floor(deps.clock.nowMs() / DAY_MS);
  const at = (daysBefore: number): string => `${new Date((today - daysBefore) * DAY_MS).toISOString().slice(0, 19)}Z`;
  const day = ([before, label]: (typeof DAYS)[number]): Html => {
    const range = { since: at(before), until: before === 0 ? '' : at(before - 1) };
    const isChosen = shown.since === range.since && (shown.until ?? '') === range.until;
    const href = `/admin/audit${queryString({ ...shown, ...range })}`;
    return html`<li>
      <a class="chip" href="${href}" data-days-before="${before}" ${isChosen && html`aria-current="true"`}>${label}</a>
    </li>`;
  };
  return html`<ul class="list chips" aria-label="Range">
    ${RANGES.slice(0, 2).map(link)} ${DAYS.map(day)} ${RANGES.slice(2).map(link)}
  </ul>`;
}

/** A line is half a kilobyte. */
const PAGE_SIZE = 20;

const beyond = (limit: string): Html =>
  html`The search ended at its limit of ${limit}, so older ones may be missing. Set <em>Until</em> to a time at which
    they were written, or run <code>portcullis audit query</code> on the files, which has no limit.`;

const STOPPED: Readonly<Record<NonNullable<History['stopped']>, Html>> = {
  events: html`The newest ${PAGE_SIZE} of them; older ones are on the next page.`,
  bytes: beyond('bytes'),
  time: beyond('time'),
};

/** Says where the events come from, because an auditor must know what is not here. */
function sourceText({ past }: AuditPage): Html {
  switch (past.kind) {
    case 'files': {
      const { stopped, unreadable } = past.found;
      return html`${searchedText(past.found)} ${stopped !== undefined && STOPPED[stopped]}
      ${unreadable > 0 && `${unreadable} lines or files could not be read.`}`;
    }
    case 'recent':
      return html`No replica has an audit file that can be searched, so the past is where the sinks send the events.
      Below are the latest requests of sessions that are live, as far as they match; what Portcullis did is not among
      them.`;
    case 'malformed':
      return html`<span class="state bad" role="alert">${past.message}</span>`;
    case 'busy':
      return html`Other searches of the audit log are running: load the page again in a few seconds to see the past.`;
  }
}

/** Until when the next page of older events reaches: a page ends between two moments. */
const olderThan = ({ hits }: History): string | undefined => hits.map(({ time }) => time).toSorted()[0];

function olderLink({ shown, past }: AuditPage): Html | false {
  if (past.kind !== 'files' || past.found.stopped !== 'events') return false;
  const href = `/admin/audit${queryString({ ...shown, until: olderThan(past.found) })}`;
  return html`<nav class="pager" aria-label="Pages"><a class="button quiet compact" href="${href}">Older</a></nav>`;
}

function pastLines({ shown, past }: AuditPage): Html {
  if (past.kind !== 'files') return html``;
  const { auditId, until } = shown;
  const line = { whole: auditId !== undefined, later: until !== undefined };
  return html`${past.found.hits.map(({ event }) => eventLine(event, line))}`;
}

function emptyText({ past, live, shown }: AuditPage): Html | false {
  if (past.kind !== 'files') return live && html`<p class="empty" data-empty hidden>No matching event yet.</p>`;
  if (past.found.hits.length > 0) return false;
  const after = live ? ' New ones appear here.' : '';
  const hint =
    shown.resource !== undefined &&
    !isAsLogged(shown.resource) &&
    html` The audit log has the plural, without a group: <code>deployments</code>, and not
      <code>${shown.resource}</code>.`;
  return html`<p class="empty" data-empty>No event matches in this range.${after}${hint}</p>`;
}

const exportLinks = ({ shown, past }: AuditPage): Html | false =>
  past.kind === 'files' &&
  html`${(['', 'csv'] as const).map(
    (format) =>
      html`<a
        class="button quiet compact"
        href="/admin/api/v1/audit/events.jsonl${queryString({ ...shown, format })}"
        download
        >Download ${format === '' ? 'JSON lines' : 'CSV'}</a
      >`,
  )}`;

/** What the script needs to go on: the stream, and the search that finds what was written since the past was searched. */
function liveData({ askedAtMs, shown, live, withoutReadsOf = '' }: AuditPage): Html {
  if (!live) return html``;
  const since = auditTime(askedAtMs - OVERLAP_MS);
  const missed = `/admin/api/v1/audit/events${queryString({ ...shown, since, until: '', limit: '100' })}`;
  return html`data-live="/admin/api/v1/audit${liveQuery(shown)}" data-missed="${missed}" data-messages="${gapMessages}"
  data-without-reads-of="${withoutReadsOf}"`;
}

/** Events may be written some moments after their time. */
const OVERLAP_MS = 2000;

const ownReads = ({ shown, past, withoutReadsOf }: AuditPage): Html | false =>
  past.kind === 'files' &&
  withoutReadsOf !== undefined &&
  html`Your own reads are left out: <a href="/admin/audit${queryString({ ...shown, reads: 'own' })}">show them</a>.`;

function eventsCard(content: AuditPage): Html {
  const { deps, shown, past, live } = content;
  return html`<section class="card" aria-labelledby="lines" ${liveData(content)}>
    <div class="card-head">
      <h2 id="lines">Events</h2>
      <div class="row">
        ${exportLinks(content)}
        ${
          live &&
          html`<span class="live" data-connection role="status" hidden></span>
            <button class="button quiet compact" type="button" data-pause hidden>Pause</button>`
        }
      </div>
    </div>
    <p class="small muted">${sourceText(content)} ${ownReads(content)}</p>
    ${
      live &&
      html`<p class="small muted" data-count></p>
        <p class="visually-hidden" role="status" data-announcement></p>`
    }
    <ol class="record" data-lines reversed>
      ${pastLines(content)}
    </ol>
    ${emptyText(content)} ${past.kind === 'recent' && requestsTable(deps, past.requests, auditHref)}
    ${olderLink(content)}
    ${
      live &&
      html`${eventTemplate()} ${gapTemplate()}
        <noscript>
          <p>The live view needs JavaScript. The command line shows the same events:</p>
          <pre class="commands">${command(shown)}</pre>
        </noscript>`
    }
  </section>`;
}

function auditBody(content: AuditPage): Html {
  return html`<h1>Audit log</h1>
    <p class="lead">
      What users do in the clusters and what Portcullis does: first the past, then live from all replicas. That you read
      it is audited too.
    </p>
    <section class="card" aria-label="Filters">
      ${questionForm(content)} ${ranges(content)} ${moreFilters(content)}
    </section>
    ${eventsCard(content)}`;
}

interface Asked {
  readonly shown: AuditFilters;
  /** What is not understood, and why: a mistyped bookmark must not show events as if it had asked for them. */
  readonly problem?: { readonly typed?: string; readonly message: string };
}

function askedOf(query: Readonly<Record<string, unknown>>): Asked {
  const text = (name: string): string => parameter(query[name])?.trim() ?? '';
  const given = FILTERS.map((name) => [name, text(name)] as const).filter(([, value]) => value !== '');
  const shown: AuditFilters = Object.fromEntries(given);
  const unknown = Object.keys(query).find((name) => ![...FILTERS, ...OTHERS].some((known) => known === name));
  if (unknown !== undefined) {
    const message = `There is no filter “${unknown.slice(0, 60)}”. There are ${FILTERS.join(', ')}.`;
    return { shown, problem: { message } };
  }
  const typed = text('q');
  const question = parseQuestion(typed, FILTERS);
  if (!question.ok) return { shown, problem: { typed, message: question.reason } };
  return { shown: { ...shown, ...question.value } };
}

async function pastOf(
  { deps, req }: AdminPageContext,
  { shown, problem }: Asked,
  withoutReadsOf: string | undefined,
): Promise<{ readonly past: Past; readonly read: AdminRead }> {
  if (problem !== undefined) {
    return { past: { kind: 'malformed', message: problem.message }, read: { reason: 'query_malformed' } };
  }
  const parsed = auditFilter(deps.config, shown, auditEventsQuerySchema);
  if (!parsed.ok) {
    const { message, reason } = problemFor(ADMIN, parsed.reason);
    return { past: { kind: 'malformed', message }, read: { reason } };
  }
  const filter = parsed.value;
  const past = await searched(deps, req, pastQuery(filter, deps.clock.nowMs()), withoutReadsOf);
  // The page is shown without the past, and nothing was read.
  const reason = past.kind === 'busy' ? 'too_many_requests' : 'audit_events';
  return { past, read: { reason, details: { filter: JSON.stringify(filter) } } };
}

async function searched(
  deps: WebDeps,
  req: Request,
  query: AuditQuery,
  withoutReadsOf: string | undefined,
): Promise<Past> {
  const bounds = { events: PAGE_SIZE, ...defined({ withoutReadsOf }) };
  const found = await searchHistory(deps, waiterOf(req), query, bounds);
  if (!found.ok) return { kind: 'busy' };
  if (found.value !== undefined) return { kind: 'files', found: found.value };
  return { kind: 'recent', requests: await recentMatches(deps, query) };
}

export async function showAudit(context: AdminPageContext): Promise<void> {
  const { deps, req, user } = context;
  const asked = askedOf(req.query);
  const { shown, problem } = asked;
  // Each look at this page is in the log: a reader would see their own reads first. One who asks for them gets them.
  const asksForReads = shown.event !== undefined || shown.auditId !== undefined || req.query['reads'] === 'own';
  const withoutReadsOf = asksForReads ? undefined : user.account;
  const askedAtMs = deps.clock.nowMs();
  const { past, read } = await pastOf(context, asked, withoutReadsOf);
  const isMalformed = past.kind === 'malformed';
  const isPast = shown.until !== undefined || shown.auditId !== undefined;
  const live = deps.tails !== undefined && !isMalformed && !isPast;
  const clusters = deps.config.clusters.map(({ name }) => name);
  sendAdminPage(context, {
    title: 'Audit log',
    status: isMalformed ? 400 : 200,
    read,
    body: auditBody({ deps, shown, typed: problem?.typed, withoutReadsOf, clusters, past, askedAtMs, live }),
    scripts: live ? ['audit.js'] : [],
  });
}

/** As many sessions as are read at most. */
const MOST_SESSIONS = 20;

/** Returns the latest matching requests of live sessions, newest first; undefined where the store cannot be read. */
async function recentMatches(
  deps: Pick<WebDeps, 'store' | 'logger'>,
  query: AuditQuery,
): Promise<readonly LatestRequest[] | undefined> {
  // Nothing that Portcullis did is among them.
  if (query.event !== undefined) return [];
  const { account, user } = query;
  try {
    const sessions = (await sessionsOf(deps, query)).filter(
      (session) =>
        (account === undefined || session.account === account) &&
        (user === undefined || session.identity.username === user),
    );
    return (await latestRequests(deps, sessions))?.filter((request) => matches(query, request));
  } catch (err) {
    if (!(err instanceof AppError) || err.code !== 'store_unavailable') throw err;
    deps.logger.warn({ err }, 'sessions not readable; the page shows no recent requests');
    return undefined;
  }
}

async function sessionsOf({ store }: Pick<WebDeps, 'store'>, query: AuditQuery): Promise<readonly SessionRecord[]> {
  if (query.session !== undefined) {
    const session = await store.sessions.read(query.session);
    return session === undefined ? [] : [session];
  }
  const { account, user: username } = query;
  const limit = MOST_SESSIONS;
  const whose = account === undefined ? (username === undefined ? { order: 'last-used' } : { username }) : { account };
  return (await store.sessions.list({ ...whose, limit } as SessionQuery)).sessions;
}

function matches(
  { actor, verb, resource, namespace, cluster, code, refused, auditId, since, until }: AuditQuery,
  request: LatestRequest,
): boolean {
  const fits = (wanted: string | undefined, found: string | undefined): boolean =>
    wanted === undefined || wanted === found;
  const time = new Date(request.at).toISOString();
  const isRejection = request.reason !== undefined || request.code === 401 || request.code === 403;
  return (
    (actor === undefined || request.actor === actor || request.actor?.split('/').includes(actor) === true) &&
    fits(verb, request.verb) &&
    (fits(resource, request.resource) || fits(resource, request.resource?.split('/', 1)[0])) &&
    fits(namespace, request.namespace) &&
    fits(cluster, request.cluster) &&
    fits(code, String(request.code)) &&
    fits(auditId, request.auditId) &&
    (refused === undefined || isRejection) &&
    (since === undefined || time >= since) &&
    (until === undefined || time < until)
  );
}

/**
 * `/admin`: the list of sessions.
 */
import type { Request } from 'express';
import { parameter } from '../page/response.ts';
import { listQuery, type SessionQuery, type ListSessions } from '../../admin/session-query.ts';
import { queryString } from './links.ts';
import type { SessionPage } from '../../store/store.ts';
import { html, type Html } from '../page/html.ts';
import { cursorPager } from './pager.ts';
import { selectField } from './form-fields.ts';
import { sessionTable } from './session-table.ts';
import { counted } from './format.ts';
import type { AuditFacts } from '../../core/audit/event.ts';
import { nowSeconds } from '../../contracts/clock.ts';
import { auditRead, sendAdminPage, type AdminHandler } from './admin-frame.ts';

const NAMES = ['search', 'provider', 'cluster', 'idle', 'sort', 'cursor'] as const;

type Name = (typeof NAMES)[number];

/** What the URL says, as it says it; empty and repeated parameters are not in it. */
type Shown = { readonly [N in Name]?: string };

/** So that a page stays light, names and all: a row is about a kilobyte. */
const PAGE_SIZE = 25;

function shownBy(req: Request): Shown {
  const said = NAMES.map((name) => [name, parameter(req.query[name])?.trim() ?? ''] as const);
  return Object.fromEntries(said.filter(([, value]) => value !== ''));
}

/** @throws AppError `bad_request` for what the admin API would refuse too */
const queryFor = (shown: Shown): SessionQuery => listQuery({ ...shown, limit: PAGE_SIZE });

/** The same list but for what changes. Whoever asks for other sessions begins at the first page. */
const listHref = (shown: Shown, change: { readonly [N in Name]?: string }): string =>
  `/admin${queryString({ ...shown, cursor: '', ...change })}`;

const IDLE = [
  ['', 'Any time'],
  ['15m', '15 minutes'],
  ['1h', 'an hour'],
  ['4h', '4 hours'],
  ['12h', '12 hours'],
] as const;

const SORTS = [
  ['', 'Newest first'],
  ['oldest', 'Oldest first'],
  ['last-used', 'Last used first'],
  ['least-used', 'Longest unused first'],
] as const;

interface SessionsPage {
  readonly shown: Shown;
  readonly page: SessionPage;
  /** Of all sessions, whatever is shown. */
  readonly total: number;
  readonly providers: readonly string[];
  readonly clusters: readonly string[];
  /** Epoch seconds. */
  readonly now: number;
  readonly mayAct: boolean;
}

const anyOr = (names: readonly string[]): readonly (readonly [string, string])[] => [
  ['', 'Any'],
  ...names.map((name) => [name, name] as const),
];

function filters({ shown, providers, clusters }: SessionsPage): Html {
  return html`<form class="filters" method="get" action="/admin" role="search" aria-label="Sessions">
    <div class="field search">
      <label for="search">Search</label>
      <input
        type="search"
        id="search"
        name="search"
        value="${shown.search ?? ''}"
        maxlength="200"
        placeholder="Name, account, address …"
        autocomplete="off"
        spellcheck="false"
      />
    </div>
    ${selectField({ name: 'provider', label: 'Provider', options: anyOr(providers), chosen: shown.provider })}
    ${selectField({ name: 'cluster', label: 'May use cluster', options: anyOr(clusters), chosen: shown.cluster })}
    ${selectField({ name: 'idle', label: 'Not used for', options: IDLE, chosen: shown.idle })}
    ${selectField({ name: 'sort', label: 'Order', options: SORTS, chosen: shown.sort })}
    <button class="button">Show</button>
  </form>`;
}

const CHIPS = {
  search: 'Search',
  provider: 'Provider',
  cluster: 'May use',
  idle: 'Not used for',
} as const;

/** What narrows the list, each with a way to take it off. */
function chips(shown: Shown): Html {
  const names = (['search', 'provider', 'cluster', 'idle'] as const).filter((name) => shown[name] !== undefined);
  if (names.length === 0) return html``;
  const chip = (name: keyof typeof CHIPS): Html =>
    html`<li>
      <a class="chip" href="${listHref(shown, { [name]: '' })}"
        >${CHIPS[name]}: <strong>${shown[name]}</strong><span class="visually-hidden">, remove this filter</span
        ><span aria-hidden="true">×</span></a
      >
    </li>`;
  return html`<ul class="list chips" aria-label="Filters in use">
    ${names.map(chip)}
    ${names.length > 1 && html`<li><a class="chip" href="${listHref({}, { sort: shown.sort ?? '' })}">Clear all</a></li>`}
  </ul>`;
}

function countWords({ shown, page, total }: SessionsPage): string {
  const { sessions, cursor } = page;
  const narrowed = (['search', 'provider', 'cluster', 'idle'] as const).some((name) => shown[name] !== undefined);
  const whole = `${counted(total, 'session')} in all`;
  if (!narrowed && cursor === undefined && shown.cursor === undefined) return `${whole}.`;
  const here = sessions.length === 0 ? 'None' : String(sessions.length);
  return `${here} on this page; ${whole}.`;
}

function nothing({ shown, page }: SessionsPage): Html {
  if (page.cursor !== undefined) {
    return html`<p class="empty">None of the sessions that were looked at fits. There are more to look at.</p>`;
  }
  const words =
    shown.cursor === undefined ? 'No session fits. Take a filter off, or search for less.' : 'No more sessions fit.';
  return html`<p class="empty">${words}</p>`;
}

function list(content: SessionsPage): Html {
  const { shown, page, now, mayAct } = content;
  const { sessions, cursor } = page;
  const first = shown.cursor === undefined ? undefined : listHref(shown, {});
  const next = cursor === undefined ? undefined : listHref(shown, { cursor });
  const short = cursor !== undefined && sessions.length > 0 && sessions.length < PAGE_SIZE;
  return html`${sessions.length === 0 ? nothing(content) : sessionTable({ sessions, now, mayAct })}
  ${short && html`<p class="small muted">This page is short because only so many sessions are looked at in one go. There may be more.</p>`}
  ${cursorPager(first, next, sessions.length === 0 ? 'Look on' : 'More')}`;
}

const BROAD = [
  ['username', 'A person, by username'],
  ['account', 'An account, as PROVIDER/SUBJECT'],
  ['session', 'One session, by id'],
  ['provider', 'Everybody of one identity provider'],
  ['all', 'Everybody'],
] as const;

const revokeCard = (): Html =>
  html`<section class="card" aria-labelledby="revoke">
    <h2 id="revoke">Revoke somebody who is not in the list, or many</h2>
    <form class="filters" method="get" action="/admin/revoke">
      ${selectField({ name: 'kind', label: 'What', options: BROAD, chosen: undefined })}
      <div class="field search">
        <label for="value">Which (nothing for everybody)</label>
        <input type="text" id="value" name="value" maxlength="512" autocomplete="off" spellcheck="false" />
      </div>
      <button class="button danger">Continue</button>
    </form>
  </section>`;

function sessionsBody(content: SessionsPage): Html {
  return html`<h1>Sessions</h1>
    <p class="lead">Who is signed in, on which device. What you look at and what you do is on the record.</p>
    <section class="card" aria-label="Sessions">
      ${filters(content)} ${chips(content.shown)}
      <p class="small muted">${countWords(content)}</p>
      ${list(content)}
    </section>
    ${content.mayAct && revokeCard()}`;
}

/** What was looked for, as the record keeps it. */
function asked({ cursor: _cursor, sort: _sort, ...filters }: Shown): AuditFacts {
  return Object.keys(filters).length === 0 ? {} : { filter: JSON.stringify(filters) };
}

/** @param list the very list that the admin API has */
export function showSessions(list: ListSessions): AdminHandler {
  return async (context) => {
    const { deps, req, mayAct } = context;
    const shown = shownBy(req);
    const query = queryFor(shown);
    const [page, total] = await Promise.all([list(query), deps.store.sessions.count()]);
    auditRead(context, 'sessions', asked(shown));
    const body = sessionsBody({
      shown,
      page,
      total,
      providers: [...deps.providers.keys(), ...deps.config.workload.map(({ name }) => name)],
      clusters: deps.config.clusters.map(({ name }) => name),
      now: nowSeconds(deps),
      mayAct,
    });
    sendAdminPage(context, { title: 'Sessions', section: 'sessions', body });
  };
}

/**
 * `/admin`: the list of sessions, with its search, filters, sort order and pages. Its whole state is in the URL, so
 * that it can be bookmarked, shared and gone back to.
 */
import type { Request } from 'express';
import { ADMIN } from '../../core/api/rejections.ts';
import { passed } from '../../http/problem.ts';
import { parameter } from '../page/response.ts';
import { type ListSessions, type SessionQuery, listQuery } from '../../services/admin/admin.ts';
import { accountHref, queryString, revokeHref } from './links.ts';
import { accountSchema } from '../../core/api/fields.ts';
import { tabsBeneath } from '../page/navigation.ts';
import type { SessionPage, SessionRecord } from '../../store/store.ts';
import { textField } from '../page/field.ts';
import { html, type Html } from '../page/html.ts';
import { cursorPager } from './pager.ts';
import { searchField, selectField } from './form-fields.ts';
import { sessionTable } from './session-table.ts';
import { countOf } from './format.ts';
import type { AuditFacts } from '../../core/audit/event.ts';
import { nowSeconds } from '../../contracts/clock.ts';
import { sendAdminPage, type AdminHandler } from './admin-frame.ts';

const FILTERS = ['search', 'provider', 'cluster', 'idle', 'delegated', 'actor', 'ancestor'] as const;
const NAMES = [...FILTERS, 'sort', 'cursor'] as const;

type Name = (typeof NAMES)[number];

/** The parameters of the URL, unchanged; empty and repeated ones are left out. */
type ListState = { readonly [N in Name]?: string };

/** Keeps a page small: a row is about a kilobyte. */
const PAGE_SIZE = 25;

function filtersOf(req: Request): ListState {
  const parameters = NAMES.map((name) => [name, parameter(req.query[name])?.trim() ?? ''] as const);
  return Object.fromEntries(parameters.filter(([, value]) => value !== ''));
}

/** Returns the query. @throws AppError `bad_request` for what the admin API rejects too */
const queryFor = (shown: ListState): SessionQuery => passed(ADMIN, listQuery({ ...shown, limit: PAGE_SIZE }));

/** Returns the URL of the same list with a change. A change of the filters leads to the first page. */
const listHref = (shown: ListState, change: { readonly [N in Name]?: string }): string =>
  `/admin${queryString({ ...shown, cursor: '', ...change })}`;

const IDLE = [
  ['', 'Any time'],
  ['15m', '15 minutes'],
  ['1h', '1 hour'],
  ['4h', '4 hours'],
  ['12h', '12 hours'],
] as const;

const DELEGATED = [
  ['', 'Any'],
  ['true', 'Yes'],
  ['false', 'No'],
] as const;

const SORTS = [
  ['', 'Newest first'],
  ['oldest', 'Oldest first'],
  ['last-used', 'Last used first'],
  ['least-used', 'Longest idle first'],
] as const;

interface SessionsPage {
  readonly shown: ListState;
  readonly page: SessionPage;
  /** The number of all sessions, whatever the filters are. */
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
  return html`<form
    class="filters"
    method="get"
    action="/admin"
    autocomplete="off"
    spellcheck="false"
    role="search"
    aria-label="Sessions"
  >
    ${searchField({ name: 'search', label: 'Search', value: shown.search, placeholder: 'Name, account, address …', most: 200, wide: true })}
    ${selectField({ name: 'provider', label: 'Provider', options: anyOr(providers), chosen: shown.provider })}
    ${selectField({ name: 'cluster', label: 'May use cluster', options: anyOr(clusters), chosen: shown.cluster })}
    ${selectField({ name: 'idle', label: 'Idle for', options: IDLE, chosen: shown.idle })}
    ${selectField({ name: 'delegated', label: 'Delegated', options: DELEGATED, chosen: shown.delegated })}
    ${searchField({ name: 'actor', label: 'Actor', value: shown.actor, size: 10 })}
    ${shown.ancestor !== undefined && html`<input type="hidden" name="ancestor" value="${shown.ancestor}" />`}
    ${selectField({ name: 'sort', label: 'Sort', options: SORTS, chosen: shown.sort })}
    <button class="button">Apply</button>
  </form>`;
}

const CHIPS = {
  search: 'Search',
  provider: 'Provider',
  cluster: 'May use',
  idle: 'Idle for',
  delegated: 'Delegated',
  actor: 'Actor',
  ancestor: 'Beneath session',
} as const;

const chipValue = (name: keyof typeof CHIPS, shown: ListState): string =>
  (name === 'delegated' && DELEGATED.find(([value]) => value === shown.delegated)?.[1]) || (shown[name] ?? '');

/** Returns the filters in use, each with a link that removes it. */
function chips(shown: ListState): Html {
  const names = FILTERS.filter((name) => shown[name] !== undefined);
  if (names.length === 0) return html``;
  const chip = (name: keyof typeof CHIPS): Html =>
    html`<li>
      <a class="chip" href="${listHref(shown, { [name]: '' })}"
        >${CHIPS[name]}: <strong>${chipValue(name, shown)}</strong
        ><span class="visually-hidden">, remove this filter</span><span aria-hidden="true">×</span></a
      >
    </li>`;
  return html`<ul class="list chips" aria-label="Filters in use">
    ${names.map(chip)}
    ${names.length > 1 && html`<li><a class="chip" href="${listHref({}, { sort: shown.sort ?? '' })}">Clear all</a></li>`}
  </ul>`;
}

function countText({ shown, page, total }: SessionsPage): string {
  const { sessions, cursor } = page;
  const narrowed = FILTERS.some((name) => shown[name] !== undefined);
  const whole = `${countOf(total, 'session')} in all`;
  if (!narrowed && cursor === undefined && shown.cursor === undefined) return `${whole}.`;
  const here = sessions.length === 0 ? 'None' : String(sessions.length);
  return `${here} on this page; ${whole}.`;
}

/** Someone whose sessions have ended is not in this list, and is looked for all the same. */
function elsewhere(search: string): Html {
  const link = (query: Readonly<Record<string, string>>, text: string): Html =>
    html`<li><a href="/admin/audit${queryString({ since: '7d', ...query })}">${text}</a></li>`;
  const account = accountSchema.safeParse(search);
  return html`<ul>
    ${account.success && html`<li><a href="${accountHref(account.data)}">The page of the account ${search}</a></li>`}
    ${link({ user: search }, `What a user ${search} did in the last seven days`)}
    ${/^[A-Za-z0-9_-]{16,64}$/.test(search) && link({ auditId: search }, `The events of the request ${search}`)}
  </ul>`;
}

function emptyText({ shown, page, total }: SessionsPage): Html {
  if (page.cursor !== undefined) {
    return html`<p class="empty">No match among the sessions that were searched so far. There are more.</p>`;
  }
  if (shown.cursor !== undefined) return html`<p class="empty">No more sessions match.</p>`;
  if (total === 0) return html`<p class="empty">No user is signed in: there is no live session.</p>`;
  return html`<p class="empty">
      None of the ${countOf(total, 'live session')} matches. Remove a filter, or change the search.
      <a href="${listHref({}, {})}">Show all sessions</a>
    </p>
    ${shown.search !== undefined && elsewhere(shown.search)}`;
}

function list(content: SessionsPage): Html {
  const { shown, page, now, mayAct } = content;
  const { sessions, cursor } = page;
  const first = shown.cursor === undefined ? undefined : listHref(shown, {});
  const next = cursor === undefined ? undefined : listHref(shown, { cursor });
  const short = cursor !== undefined && sessions.length > 0 && sessions.length < PAGE_SIZE;
  return html`${sessions.length === 0 ? emptyText(content) : sessionTable({ sessions: shown.sort === undefined ? byUser(sessions) : sessions, now, mayAct })}
  ${short && html`<p class="small muted">This page is short because each search reads a limited number of sessions. There may be more.</p>`}
  ${cursorPager(first, next, sessions.length === 0 ? 'Continue' : 'More')}`;
}

/** The sessions of a user beneath one another, where no order was chosen. */
const byUser = (sessions: readonly SessionRecord[]): readonly SessionRecord[] =>
  [...Map.groupBy(sessions, ({ account }) => account).values()].flat();

const TARGETS = [
  ['username', 'A user, by username'],
  ['account', 'An account, as PROVIDER/SUBJECT'],
  ['session', 'One session, by id'],
  ['provider', 'All users of one identity provider'],
] as const;

/** All users have a link without any field: an empty field never means all users. */
const revokeCard = (): Html =>
  html`<details class="card">
    <summary>Revoke a user who is not in the list, a whole provider, or all users</summary>
    <form class="filters" method="get" action="/admin/revoke">
      ${selectField({ name: 'kind', label: 'Target', options: TARGETS, chosen: undefined })}
      ${textField({ name: 'value', label: 'Name or id', required: true, wide: true })}
      <button class="button danger">Continue</button>
    </form>
    <p>
      <a class="button danger" href="${revokeHref({ kind: 'all' })}">Revoke all users…</a>
      <span class="muted">Your own sessions end too. You see how many they are before you confirm.</span>
    </p>
  </details>`;

function sessionsBody(content: SessionsPage): Html {
  return html`<div class="title">
      <h1>Users</h1>
      <p class="lead">Who is signed in, and on which devices. What you read and change here is audited.</p>
    </div>
    ${tabsBeneath('Users', '/admin')}
    <section class="card dense" aria-label="Sessions">
      ${filters(content)} ${chips(content.shown)}
      <p class="small muted ${content.page.sessions.length > 0 && 'count'}">${countText(content)}</p>
      ${list(content)}
    </section>
    ${content.mayAct && revokeCard()}`;
}

/** Returns the search and filters for the audit event. */
function filterDetails({ cursor: _cursor, sort: _sort, ...filters }: ListState): AuditFacts {
  return Object.keys(filters).length === 0 ? {} : { filter: JSON.stringify(filters) };
}

/**
 * Shows the list of sessions.
 * @param list the same as that of the admin API
 */
export function showSessions(list: ListSessions): AdminHandler {
  return async (context) => {
    const { deps, req, mayAct } = context;
    const shown = filtersOf(req);
    const query = queryFor(shown);
    const [listed, total] = await Promise.all([list(query), deps.store.sessions.count()]);
    const page = passed(ADMIN, listed);
    const body = sessionsBody({
      shown,
      page,
      total,
      providers: [...deps.providers.keys(), ...deps.config.workload.map(({ name }) => name)],
      clusters: deps.config.clusters.map(({ name }) => name),
      now: nowSeconds(deps),
      mayAct,
    });
    const read = { reason: 'sessions', details: filterDetails(shown) };
    sendAdminPage(context, { title: 'Users', read, body });
  };
}

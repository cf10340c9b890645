/**
 * `/admin/accounts/:account`: one user, with their identity, lock, sessions and latest requests.
 */
import { randomUUID } from 'node:crypto';
import { ACCESS, ADMIN } from '../../core/api/rejections.ts';
import { passed } from '../../http/problem.ts';
import {
  type ListSessions,
  freshSignInNeeded,
  listQuery,
  openStreams,
  type OpenStreams,
  pastQuery,
  searchHistory,
} from '../../services/admin/admin.ts';
import type { AccessRequest } from '../../core/access/request.ts';
import { waiterOf } from '../../http/request-context.ts';
import { recentOf } from '../../core/audit/recent-request.ts';
import { EXTRA_DOMAIN } from '../../core/core.ts';
import type { AuditEvent } from '../../core/audit/event.ts';
import type { History } from '../../audit/query/history.ts';
import { defined } from '../../core/defined.ts';
import { providerOf, subjectOf, type Account } from '../../core/identity/identity.ts';
import { lastUseOf, type Lock, type SessionRecord } from '../../store/store.ts';
import type { WebDeps } from '../dependencies.ts';
import { nowSeconds } from '../../contracts/clock.ts';
import { requestTable } from '../access/request-table.ts';
import { nestedPage, type NestedPage } from '../page/delegated-sessions.ts';
import { card, facts } from '../page/card.ts';
import { html, type Html } from '../page/html.ts';
import { csrfField, moment, momentAgo } from '../page/layout.ts';
import { accountHref, queryString, REVOKED, revokeHref } from './links.ts';
import { checkBox } from '../page/field.ts';
import { reasonField, reasonForm, unlockForm } from './form-fields.ts';
import { openCount, openNowCard } from './open-now.ts';
import { cursorPager } from './pager.ts';
import { identityFacts, lastIdentity, requestsCard, type SeenIdentity } from './shared-cards.ts';
import { isReadBackTo, searchedText } from './audit-lines.ts';
import { sessionTable } from './session-table.ts';
import { countOf } from './format.ts';
import { accountSchema } from '../../core/api/fields.ts';
import { AppError } from '../../core/errors.ts';
import { parameter } from '../page/response.ts';
import { latestRequests, type LatestRequest } from '../page/recent-requests.ts';
import { adminContextAt, sendAdminPage, type AdminHandler, type AdminPageContext } from './admin-frame.ts';

interface LatestRequests {
  /** Undefined where they could not be read. */
  readonly requests: readonly LatestRequest[] | undefined;
  /** False where the audit files could not be searched to the end of the range, or to that many without discovery. */
  readonly searched: boolean;
  /** Absent where the live sessions have enough, or no file could be searched. */
  readonly found?: History;
}

/** Who the user is in the clusters, or was when they were last seen: of a live session it is as of now. */
type KnownIdentity = Pick<SeenIdentity, 'identity'> & Partial<SeenIdentity>;

interface UserPage {
  readonly deps: Pick<WebDeps, 'clock' | 'config'>;
  readonly account: Account;
  readonly page: NestedPage;
  /** True where this is not the first page of their sessions. */
  readonly later: boolean;
  readonly lock: Lock | undefined;
  /** Since when the next sign-in must be a fresh one, epoch seconds. */
  readonly freshSince: number | undefined;
  /** Undefined on a later page of their sessions. */
  readonly latest: LatestRequests | undefined;
  readonly known: KnownIdentity | undefined;
  readonly open: OpenStreams;
  /** What waits of their access requests, and their grants. Undefined where there are no access requests. */
  readonly access: readonly AccessRequest[] | undefined;
  readonly mayAct: boolean;
  /** It is the account of the admin who looks at it. */
  readonly isOwn: boolean;
  readonly csrf: string;
}

function identityCard({ account, known }: UserPage): Html {
  const list = facts([
    ...(known === undefined ? [] : identityFacts(known.identity)),
    ['Provider', providerOf(account)],
    ['Subject', html`<code>${subjectOf(account)}</code>`],
  ]);
  const note =
    known === undefined
      ? 'They are not signed in, and no request of theirs of the last seven days was found, so nothing more is known here.'
      : known.seenAt !== undefined &&
        html`They are not signed in. This is as of their last request, ${moment(known.seenAt)}.`;
  return card('who', 'Identity', list, note && html`<p class="muted">${note}</p>`);
}

/** Returns the user's name and groups: of the newest live session, else as the audit log last had them. */
function knownIdentity(page: NestedPage, latest: LatestRequests | undefined): KnownIdentity | undefined {
  const session = page.rows[0]?.session;
  if (session !== undefined) return { identity: session.identity };
  return lastIdentity(latest?.found?.hits ?? []);
}

/**
 * Returns the notice that a fresh sign-in is needed, with the form that lifts it for a user whose provider can
 * prove none.
 */
function freshSignIn({ account, freshSince, mayAct, csrf }: UserPage): Html | false {
  if (freshSince === undefined) return false;
  const lift = {
    account,
    since: String(freshSince),
    csrf,
    button: 'Lift',
    label: 'Reason for lifting the fresh sign-in of',
  };
  return html`<p>
      <span class="state warn">Fresh sign-in needed</span> since ${moment(freshSince)}, when one of their sessions or
      the account was revoked: the next sign-in must prove that they authenticated after that.
    </p>
    ${
      mayAct &&
      html`<p class="muted">Lift it only if their provider cannot prove that, and the device is in their hands.</p>
        ${reasonForm('/admin/lift-fresh-sign-in', lift)}`
    }`;
}

/** Returns what keeps the user out, with the forms that let them in again; nothing where nothing does. */
function lockNotice(content: UserPage): Html | false {
  const { account, lock, mayAct, csrf, freshSince } = content;
  if (lock === undefined && freshSince === undefined) return false;
  const locked =
    lock !== undefined &&
    html`<p>
        <span class="state bad">Locked</span> since ${moment(lock.at)}, by <bdi>${lock.by}</bdi>:
        <bdi>${lock.reason}</bdi>
      </p>
      ${mayAct && unlockForm(account, csrf, 'person')}`;
  return html`<section class="card" aria-labelledby="lock">
    <h2 id="lock">${lock === undefined ? 'Next sign-in' : 'Locked out'}</h2>
    ${locked} ${freshSignIn(content)}
  </section>`;
}

/**
 * Returns the way to end everything: a form beneath its button, and the page that asks where two admins are needed, where
 * nothing is known of the account, or where it is one's own.
 */
function endEverything(content: UserPage): Html | false {
  const { deps, account, page, open, access, mayAct, csrf } = content;
  if (!mayAct) return false;
  const href = revokeHref({ kind: 'account', value: account, lock: true });
  if (deps.config.admin.dualControl === 'on' || content.isOwn || !isActive(content))
    return html`<a class="button danger" href="${href}">End everything and lock…</a>`;
  const sessions = `${countOf(page.rows.length, 'session')}${page.cursor === undefined && !page.moreDelegated ? '' : ' and more'}`;
  return html`<details class="panel">
    <summary class="button danger">End everything and lock…</summary>
    <form class="stack" method="post" action="/admin/revoke">
      ${csrfField(csrf)}
      <input type="hidden" name="requestId" value="${randomUUID()}" />
      <input type="hidden" name="kind" value="account" />
      <input type="hidden" name="value" value="${account}" />
      <p>
        It ends
        <strong>${sessions}</strong
        >${(access?.length ?? 0) > 0 && ` with ${countOf(access?.length ?? 0, 'grant or request', 'grants and requests')}`},
        and cuts <strong>${countOf(openCount(open), 'open stream')}</strong> and every request under way, at all
        replicas.
      </p>
      ${checkBox('lock', 'on', 'Lock the account: no one can sign in to it until an admin unlocks it', true)}
      ${reasonField('INC-4711')}
      <button class="button danger">End everything now</button>
    </form>
  </details>`;
}

/** Something is to be ended, so the name is spelled right. */
const isActive = ({ page, open }: UserPage): boolean => page.rows.length > 0 || openCount(open) > 0;

function headOf(content: UserPage): Html {
  const { deps, account, page, open, known } = content;
  const sessions = page.rows.map(({ session }) => session);
  const [last] = sessions.toSorted((left, right) => lastUseOf(right) - lastUseOf(left));
  const used =
    last === undefined
      ? 'not signed in'
      : html`${countOf(sessions.length, 'session')}${page.cursor !== undefined && ' and more'}, ${openCount(open)} open
        now, last used ${momentAgo(lastUseOf(last), nowSeconds(deps))}${last.address !== '' && ` from ${last.address}`}`;
  return html`<div class="row apart page-head stays">
    <div>
      <h1 class="clip"><bdi>${known?.identity.username ?? account}</bdi></h1>
      <p class="lead"><code>${account}</code>: ${used}</p>
    </div>
    ${endEverything(content)}
  </div>`;
}

function sessionsCard({ deps, account, page, later, mayAct }: UserPage): Html {
  const { rows, cursor, delegated, moreDelegated } = page;
  const sessions = rows.map(({ session }) => session);
  const at = accountHref(account);
  const next = cursor === undefined ? undefined : `${at}${queryString({ cursor })}`;
  const count = `${countOf(rows.length - delegated, 'session')}${delegated === 0 ? '' : `, ${delegated} delegated`}`;
  const label = cursor === undefined && !later ? count : `${count} on this page`;
  const further = `/admin${queryString({ search: account, delegated: 'true' })}`;
  return html`<section class="card" aria-labelledby="sessions">
    <div class="card-head">
      <h2 id="sessions">Sessions: ${label}</h2>
      <a class="button quiet compact" href="/admin/audit${queryString({ ...REVOKED, account })}">Revocations</a>
    </div>
    ${
      sessions.length === 0
        ? html`<p class="empty">This account has no live session.</p>`
        : sessionTable({ sessions, now: nowSeconds(deps), mayAct, singleUser: true })
    }
    ${
      moreDelegated &&
      html`<p class="small muted">
        Only the newest are shown. <a href="${further}">All delegated sessions of this user</a>
      </p>`
    }
    ${cursorPager(later ? at : undefined, next, 'Older')}
  </section>`;
}

function accessCard({ deps, account, access }: UserPage): Html | false {
  if (access === undefined) return false;
  const all = `/admin/access${queryString({ account })}`;
  const rows = { requests: access, nowMs: deps.clock.nowMs(), action: 'Open' };
  return html`<section class="card" aria-labelledby="access">
    <div class="card-head">
      <h2 id="access">Grants and waiting requests: ${access.length}</h2>
      <a class="button quiet compact" href="${all}">All requests</a>
    </div>
    ${requestTable({ ...rows, empty: 'No grant is active, and no request waits.' })}
  </section>`;
}

/** Returns what waits of the account's access requests, and their grants. */
async function accessOf(context: AdminPageContext, account: Account): Promise<readonly AccessRequest[] | undefined> {
  const { access } = context.deps;
  return access && passed(ACCESS, await access.current(adminContextAt(context), account));
}

function userBody(content: UserPage): Html {
  const { deps, account, page, latest, open, mayAct, csrf } = content;
  const note =
    latest?.found !== undefined &&
    html`<p class="small">
      ${searchedText(latest.found)} <span class="muted">Without discovery.</span>
      ${
        !latest.searched &&
        html`<span class="state warn">Not finished</span> The search of the audit files ended at its limit, discovery
          included, so requests may be missing. The audit log has a longer one.`
      }
    </p>`;
  const sessions = page.rows.map(({ session }) => session);
  const rows = { account, open, sessions, now: nowSeconds(deps), mayAct, csrf };
  return html`${headOf(content)} ${lockNotice(content)} ${openNowCard(rows)} ${sessionsCard(content)}
  ${accessCard(content)}
  ${latest !== undefined && requestsCard(deps, latest, `/admin/audit${queryString({ account })}`, note)}
  ${identityCard(content)}`;
}

const PAGE_SIZE = 15;
/** Of the newest delegated sessions, those beneath the sessions of the page are shown. */
const MAX_DELEGATED = 20;
/** The page of a session shows fifty. */
const MAX_REQUESTS = 25;
/** More than are shown: discovery is among them. */
const MOST_READ = 100;

/**
 * Returns the latest requests of an account: of its live sessions, and from the files of all replicas, because those
 * of a session that was revoked are deleted from the store with it, which is when an admin asks for them.
 */
async function requestsOf(
  { deps, req }: AdminPageContext,
  account: Account,
  sessions: readonly SessionRecord[],
): Promise<LatestRequests> {
  const live = (await latestRequests(deps, sessions))?.filter(isNoDiscovery);
  if (live !== undefined && live.length >= MAX_REQUESTS)
    return { requests: live.slice(0, MAX_REQUESTS), searched: true };
  const query = pastQuery({ account, since: PAST }, deps.clock.nowMs());
  // Sign-ins are not among them, and must not take their places.
  const bounds = { events: MOST_READ, ms: PAST_MS, requests: true };
  // The page is useful without them, and links to the search.
  const tried = await searchHistory(deps, waiterOf(req), query, bounds).catch(() => undefined);
  const found: History | undefined = tried?.ok === true ? tried.value : UNSEARCHED;
  const { hits, stopped }: Pick<History, 'hits' | 'stopped'> = found ?? { hits: [] };
  const past = hits.flatMap(({ event }) => pastRequest(event) ?? []).filter(isNoDiscovery);
  const isOver = found !== UNSEARCHED && stopped === undefined;
  if (live === undefined && past.length === 0) return { requests: undefined, searched: isOver };
  const byId = new Map([...past, ...(live ?? [])].map((request) => [request.auditId, request]));
  const requests = [...byId.values()].toSorted((left, right) => right.at - left.at).slice(0, MAX_REQUESTS);
  // An attacker deletes a Secret and sends discovery: it takes the places of what is shown, and then not all was looked at.
  // Or the file of the replica where they did it is so long that the search ended before, and others have enough to show.
  const isFull = requests.length >= MAX_REQUESTS;
  const searched = isOver || (isFull && found?.stopped !== undefined && isReadBackTo(found, requests.at(-1)?.at ?? 0));
  return { requests, searched, ...defined({ found }) };
}

/** Of a search that could not run. */
const UNSEARCHED: History = { hits: [], unreadable: 0 };

/** What kubectl asks an API server before each command says nothing of what a user did. */
const isNoDiscovery = ({ resource, verb, uri }: LatestRequest): boolean =>
  resource !== undefined || verb !== 'get' || !/^\/(?:api|apis|openapi|version)(?:[/?]|$)/.test(uri);

/** Returns the request of an event, and in a delegated session who acted in it. */
function pastRequest(event: AuditEvent): LatestRequest | undefined {
  const request = recentOf(event);
  const actor = event.annotations[`${EXTRA_DOMAIN}/actor`];
  return request === undefined || actor === undefined ? request : { ...request, actor };
}

const PAST = '7d';
/** The page waits for it. */
const PAST_MS = 1000;

/** Shows a user. An unknown account is shown as one that is not signed in: who has not signed in yet can be locked. */
export function showUser(list: ListSessions): AdminHandler {
  return async (context) => {
    const { deps, req, user, mayAct } = context;
    const account = accountSchema.safeParse(req.params['account']);
    if (!account.success) throw new AppError('not_found', 'There is no such account. An account is PROVIDER/SUBJECT.');
    const cursor = parameter(req.query['cursor']);
    const query = { account: account.data, delegated: 'false', limit: PAGE_SIZE, cursor };
    const listed = async (asked: object) => passed(ADMIN, await list(passed(ADMIN, listQuery(asked))));
    const [own, delegated, lock, freshSince, open, access] = await Promise.all([
      listed(query),
      listed({ account: account.data, delegated: 'true', limit: MAX_DELEGATED }),
      deps.store.locks.find(account.data),
      freshSignInNeeded(deps, account.data),
      openStreams(deps, account.data),
      accessOf(context, account.data),
    ]);
    const later = cursor !== undefined;
    const page = nestedPage(own, delegated);
    const live = [...own.sessions, ...delegated.sessions];
    const latest = later ? undefined : await requestsOf(context, account.data, live);
    const known = knownIdentity(page, latest);
    const state = { account: account.data, page, later, lock, freshSince, latest, known, open, access };
    const isOwn = account.data === user.account;
    const body = userBody({ deps, ...state, mayAct, isOwn, csrf: user.csrf });
    const read = { reason: 'account', details: { target: `account:${account.data}` } };
    sendAdminPage(context, { title: 'User', read, body, scripts: ['panel.js'] });
  };
}

/**
 * `/admin/accounts/:account`: one user, with their identity, lock, sessions and latest requests.
 */
import { ADMIN } from '../../core/api/rejections.ts';
import { passed } from '../../http/problem.ts';
import {
  type ListSessions,
  freshSignInNeeded,
  listQuery,
  pastQuery,
  searchHistory,
} from '../../services/admin/admin.ts';
import { waiterOf } from '../../http/request-context.ts';
import { recentOf } from '../../core/audit/recent-request.ts';
import { EXTRA_DOMAIN } from '../../core/core.ts';
import type { AuditEvent } from '../../core/audit/event.ts';
import type { History } from '../../audit/query/history.ts';
import { defined } from '../../core/defined.ts';
import { providerOf, subjectOf, type Account } from '../../core/identity/identity.ts';
import type { Lock, SessionRecord } from '../../store/store.ts';
import type { WebDeps } from '../dependencies.ts';
import { nowSeconds } from '../../contracts/clock.ts';
import { nestedPage, type NestedPage } from '../page/delegated-sessions.ts';
import { card, facts } from '../page/card.ts';
import { html, type Html } from '../page/html.ts';
import { moment } from '../page/layout.ts';
import { identityFacts } from './shared-cards.ts';
import { accountHref, queryString, revokeHref } from './links.ts';
import { reasonForm, unlockForm } from './form-fields.ts';
import { cursorPager } from './pager.ts';
import { requestsCard } from './shared-cards.ts';
import { searchedText } from './audit-lines.ts';
import { sessionTable } from './session-table.ts';
import { countOf } from './format.ts';
import { accountSchema } from '../../core/api/fields.ts';
import { AppError } from '../../core/errors.ts';
import { parameter } from '../page/response.ts';
import { latestRequests, type LatestRequest } from '../page/recent-requests.ts';
import { sendAdminPage, type AdminHandler, type AdminPageContext } from './admin-frame.ts';

interface LatestRequests {
  /** Undefined where they could not be read. */
  readonly requests: readonly LatestRequest[] | undefined;
  /** False where the audit files could not be searched to the end of the range, or to that many. */
  readonly searched: boolean;
  /** Absent where the live sessions have enough, or no file could be searched. */
  readonly found?: History;
}

interface UserPage {
  readonly deps: Pick<WebDeps, 'clock'>;
  readonly account: Account;
  readonly page: NestedPage;
  /** True where this is not the first page of their sessions. */
  readonly later: boolean;
  readonly lock: Lock | undefined;
  /** Since when the next sign-in must be a fresh one, epoch seconds. */
  readonly freshSince: number | undefined;
  /** Undefined on a later page of their sessions. */
  readonly latest: LatestRequests | undefined;
  readonly mayAct: boolean;
  readonly csrf: string;
}

function identityCard({ account, page }: UserPage): Html {
  const session = page.rows[0]?.session;
  const list = facts([
    ...(session === undefined ? [] : identityFacts(session.identity)),
    ['Provider', providerOf(account)],
    ['Subject', html`<code>${subjectOf(account)}</code>`],
  ]);
  const unknown = html`<p class="muted">They are not signed in, so nothing more is known here.</p>`;
  return card('who', 'Identity', list, session === undefined && unknown);
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

function lockCard(content: UserPage): Html {
  const { account, lock, mayAct, csrf } = content;
  const locked = ({ at, by, reason }: Lock): Html =>
    html`<p><span class="state bad">Locked</span> since ${moment(at)}, by ${by}: ${reason}</p>
      ${mayAct && unlockForm(account, csrf, 'person')}`;
  const unlocked = html`<p><span class="state ok">Not locked</span></p>
    ${
      mayAct &&
      html`<p class="muted">A lock ends every session and rejects every sign-in until an admin unlocks the account.</p>
        <p>
          <a class="button danger" href="${revokeHref({ kind: 'account', value: account, lock: true })}"
            >Lock this account</a
          >
        </p>`
    }`;
  return html`<section class="card" aria-labelledby="lock">
    <h2 id="lock">Lock</h2>
    ${lock === undefined ? unlocked : locked(lock)} ${freshSignIn(content)}
  </section>`;
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
      ${mayAct && sessions.length > 0 && html`<a class="button danger compact" href="${revokeHref({ kind: 'account', value: account })}">Revoke all</a>`}
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

function userBody(content: UserPage): Html {
  const { deps, account, page, latest } = content;
  const note =
    latest?.found !== undefined &&
    html`<p class="small">
      ${searchedText(latest.found)}
      ${
        !latest.searched &&
        html`<span class="state warn">Not finished</span> The search of the audit files took too long, so requests of
          sessions that have ended may be missing. The audit log has a longer one.`
      }
    </p>`;
  return html`<h1 class="clip"><bdi>${page.rows[0]?.session.identity.username ?? account}</bdi></h1>
    <p class="lead">Account <code>${account}</code></p>
    <div class="grid">${identityCard(content)} ${lockCard(content)}</div>
    ${sessionsCard(content)}
    ${latest !== undefined && requestsCard(deps, latest.requests, `/admin/audit${queryString({ account })}`, note)}`;
}

const PAGE_SIZE = 15;
/** Of the newest delegated sessions, those beneath the sessions of the page are shown. */
const MAX_DELEGATED = 20;
/** The page of a session shows fifty. */
const MAX_REQUESTS = 25;

/**
 * Returns the latest requests of an account: of its live sessions, and from the files of all replicas, because those
 * of a session that was revoked are deleted from the store with it, which is when an admin asks for them.
 */
async function requestsOf(
  { deps, req }: AdminPageContext,
  account: Account,
  sessions: readonly SessionRecord[],
): Promise<LatestRequests> {
  const live = await latestRequests(deps, sessions);
  if (live !== undefined && live.length >= MAX_REQUESTS)
    return { requests: live.slice(0, MAX_REQUESTS), searched: true };
  const query = pastQuery({ account, since: PAST }, deps.clock.nowMs());
  // Sign-ins are not among them, and must not take their places.
  const bounds = { events: MAX_REQUESTS, ms: PAST_MS, requests: true };
  // The page is useful without them, and links to the search.
  const tried = await searchHistory(deps, waiterOf(req), query, bounds).catch(() => undefined);
  const found: History | undefined = tried?.ok === true ? tried.value : { hits: [], stopped: 'time', unreadable: 0 };
  const { hits, stopped } = found ?? { hits: [] };
  const searched = stopped === undefined || stopped === 'events';
  const past = hits.flatMap(({ event }) => pastRequest(event) ?? []);
  if (live === undefined && past.length === 0) return { requests: undefined, searched };
  const byId = new Map([...past, ...(live ?? [])].map((request) => [request.auditId, request]));
  const requests = [...byId.values()].toSorted((left, right) => right.at - left.at).slice(0, MAX_REQUESTS);
  return { requests, searched, ...defined({ found }) };
}

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
    const [own, delegated, lock, freshSince] = await Promise.all([
      listed(query),
      listed({ account: account.data, delegated: 'true', limit: MAX_DELEGATED }),
      deps.store.locks.find(account.data),
      freshSignInNeeded(deps, account.data),
    ]);
    const later = cursor !== undefined;
    const page = nestedPage(own, delegated);
    const live = [...own.sessions, ...delegated.sessions];
    const latest = later ? undefined : await requestsOf(context, account.data, live);
    const known = { account: account.data, page, later, lock, freshSince, latest };
    const body = userBody({ deps, ...known, mayAct, csrf: user.csrf });
    const read = { reason: 'account', details: { target: `account:${account.data}` } };
    sendAdminPage(context, { title: 'User', read, body });
  };
}

/**
 * `/admin/accounts/:account`: one person, with all that is known of them here.
 */
import type { Account } from '../../core/identity/identity.ts';
import type { Lock, RecentRequest, SessionPage } from '../../store/store.ts';
import type { WebDeps } from '../dependencies.ts';
import { nowSeconds } from '../../contracts/clock.ts';
import { html, type Html } from '../page/html.ts';
import { moment } from '../page/layout.ts';
import { identityFacts } from './shared-cards.ts';
import { accountHref, queryString, revokeHref } from './links.ts';
import { reasonForm, unlockForm } from './form-fields.ts';
import { cursorPager } from './pager.ts';
import { requestsCard } from './shared-cards.ts';
import { sessionTable } from './session-table.ts';
import { counted } from './format.ts';
import { accountSchema } from '../../core/admin-api/fields.ts';
import { AppError } from '../../core/errors.ts';
import { parameter } from '../page/response.ts';
import { latestRequests } from '../page/recent-requests.ts';
import { freshSignInNeeded } from '../../admin/fresh-sign-ins.ts';
import { type ListSessions, listQuery } from '../../admin/session-query.ts';
import { auditRead, sendAdminPage, type AdminHandler } from './admin-frame.ts';

interface PersonPage {
  readonly deps: Pick<WebDeps, 'clock'>;
  readonly account: Account;
  readonly page: SessionPage;
  /** This is not the first page of their sessions. */
  readonly later: boolean;
  readonly lock: Lock | undefined;
  /** Since when the next sign-in has to be a fresh one, epoch seconds. */
  readonly freshSince: number | undefined;
  readonly requests: readonly RecentRequest[] | undefined;
  readonly mayAct: boolean;
  readonly csrf: string;
}

function identityCard({ account, page }: PersonPage): Html {
  const [session] = page.sessions;
  const slash = account.indexOf('/');
  return html`<section class="card" aria-labelledby="who">
    <h2 id="who">Who they are</h2>
    <dl class="facts">
      ${session !== undefined && identityFacts(session.identity)}
      <dt>Provider</dt>
      <dd>${account.slice(0, slash)}</dd>
      <dt>Subject</dt>
      <dd><code>${account.slice(slash + 1)}</code></dd>
    </dl>
    ${session === undefined && html`<p class="muted">They are not signed in, so nothing more is known of them here.</p>`}
  </section>`;
}

/** What a revocation leaves behind, and the way back for a user whose provider can give no proof. */
function freshSignIn({ account, freshSince, mayAct, csrf }: PersonPage): Html | false {
  if (freshSince === undefined) return false;
  const lift = {
    account,
    since: String(freshSince),
    csrf,
    button: 'Lift',
    label: 'Reason for lifting the fresh sign-in of',
  };
  return html`<p>
      <span class="state warn">Fresh sign-in needed</span> since ${moment(freshSince)}, when something of theirs was
      revoked: the next one must show that they authenticated after that.
    </p>
    ${
      mayAct &&
      html`<p class="muted">Lift it only where their provider cannot show that, and the device is theirs.</p>
        ${reasonForm('/admin/lift-fresh-sign-in', lift)}`
    }`;
}

function lockCard(content: PersonPage): Html {
  const { account, lock, mayAct, csrf } = content;
  const locked = (stands: Lock): Html =>
    html`<p><span class="state bad">Locked</span> since ${moment(stands.at)}, by ${stands.by}: ${stands.reason}</p>
      ${mayAct && unlockForm(account, csrf, 'person')}`;
  const open = html`<p><span class="state ok">Not locked</span></p>
    ${
      mayAct &&
      html`<p class="muted">
          A lock ends every session and refuses the next sign-in, until an admin unlocks the account.
        </p>
        <p>
          <a class="button danger" href="${revokeHref({ kind: 'account', value: account, lock: true })}"
            >Lock this account</a
          >
        </p>`
    }`;
  return html`<section class="card" aria-labelledby="lock">
    <h2 id="lock">Lock</h2>
    ${lock === undefined ? open : locked(lock)} ${freshSignIn(content)}
  </section>`;
}

function sessionsCard({ deps, account, page, later, mayAct }: PersonPage): Html {
  const { sessions, cursor } = page;
  const at = accountHref(account);
  const next = cursor === undefined ? undefined : `${at}${queryString({ cursor })}`;
  const words =
    cursor === undefined && !later
      ? counted(sessions.length, 'session')
      : `${counted(sessions.length, 'session')} on this page`;
  return html`<section class="card" aria-labelledby="sessions">
    <div class="card-head">
      <h2 id="sessions">Signed in: ${words}</h2>
      ${mayAct && sessions.length > 0 && html`<a class="button danger compact" href="${revokeHref({ kind: 'account', value: account })}">Revoke all</a>`}
    </div>
    ${
      sessions.length === 0
        ? html`<p class="empty">Nobody with this account is signed in.</p>`
        : sessionTable({ sessions, now: nowSeconds(deps), mayAct, ofOne: true })
    }
    ${cursorPager(later ? at : undefined, next, 'Older')}
  </section>`;
}

function personBody(content: PersonPage): Html {
  const { deps, account, page, requests } = content;
  return html`<h1 class="clip"><bdi>${page.sessions[0]?.identity.username ?? account}</bdi></h1>
    <p class="lead">Account <code>${account}</code></p>
    <div class="grid">${identityCard(content)} ${lockCard(content)}</div>
    ${sessionsCard(content)} ${requestsCard(deps, requests, `/admin/audit${queryString({ account })}`)}`;
}

const PAGE_SIZE = 15;
/** The page of each session has fifty. */
const MOST_REQUESTS = 25;

/** An account that is not known shows as one that is not signed in: it can be locked all the same. */
export function showPerson(list: ListSessions): AdminHandler {
  return async (context) => {
    const { deps, req, person, mayAct } = context;
    const account = accountSchema.safeParse(req.params['account']);
    if (!account.success) throw new AppError('not_found', 'There is no such account. An account is PROVIDER/SUBJECT.');
    const cursor = parameter(req.query['cursor']);
    const query = listQuery({ account: account.data, limit: PAGE_SIZE, ...(cursor === undefined ? {} : { cursor }) });
    const [page, lock, freshSince] = await Promise.all([
      list(query),
      deps.store.locks.find(account.data),
      freshSignInNeeded(deps, account.data),
    ]);
    const requests = (await latestRequests(deps, page.sessions))?.slice(0, MOST_REQUESTS);
    auditRead(context, 'account', { target: `account:${account.data}` });
    const later = cursor !== undefined;
    const known = { account: account.data, page, later, lock, freshSince, requests };
    const body = personBody({ deps, ...known, mayAct, csrf: person.csrf });
    sendAdminPage(context, { title: 'Person', section: 'sessions', body });
  };
}

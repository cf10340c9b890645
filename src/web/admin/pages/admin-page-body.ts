/**
 * The markup of the admin pages.
 */
import type { SessionRecord } from '../../../store/store.ts';
import { clientName, deviceOf } from '../../page/client-words.ts';
import { html, type Html } from '../../page/html.ts';
import { csrfField, moment, momentsCaption } from '../../page/layout.ts';
import type { LockView } from '../locks.ts';

interface AdminPageContent {
  readonly sessions: readonly SessionRecord[];
  readonly locks: readonly LockView[];
  readonly cursor?: string;
  /** The search, empty for none. */
  readonly account: string;
  /** Auditors look only. */
  readonly mayAct: boolean;
  readonly csrf: string;
}

function sessionRow(session: SessionRecord, mayAct: boolean): Html {
  const { username, groups } = session.identity;
  const search = `/admin?account=${encodeURIComponent(session.account)}`;
  const revokeLink = `/admin/revoke?kind=session&value=${encodeURIComponent(session.id)}`;
  return html`<tr>
    <td data-label="Person">
      <span
        ><strong title="${groups.join(', ')}">${username}</strong><br /><a class="small" href="${search}"
          >${session.account}</a
        ></span
      >
    </td>
    <td data-label="Client">
      <span title="${session.userAgent}"
        >${clientName(session.client)}, ${deviceOf(session.userAgent)}${session.device === true && ', by code'}</span
      >
    </td>
    <td data-label="From">${session.address === '' ? '–' : session.address}</td>
    <td data-label="Since">${moment(session.createdAt)}</td>
    <td data-label="Last used">${moment(session.lastUsedAt)}</td>
    <td data-label="" class="action">
      ${mayAct && html`<a class="button danger compact" href="${revokeLink}" aria-label="Revoke a session of ${username}">Revoke</a>`}
    </td>
  </tr>`;
}

function pageLinks(content: AdminPageContent): Html {
  const { cursor, account } = content;
  if (cursor === undefined) return html``;
  const next = new URLSearchParams({ ...(account === '' ? {} : { account }), cursor });
  return html`<p><a class="button quiet" href="/admin?${next.toString()}">Older sessions</a></p>`;
}

function searchForm(account: string): Html {
  return html`<form class="search" method="get" action="/admin" role="search">
    <label class="hidden-label" for="account">Account</label>
    <input type="search" id="account" name="account" value="${account}" placeholder="Account, as PROVIDER/SUBJECT" />
    <button class="button quiet">Search</button>
  </form>`;
}

function revokeForm(): Html {
  return html`<section class="card" aria-labelledby="revoke">
    <h2 id="revoke">Revoke somebody</h2>
    <form class="stack" method="get" action="/admin/revoke">
      <div>
        <label for="kind">What</label>
        <select id="kind" name="kind">
          <option value="username">A person, by username</option>
          <option value="account">An account, as PROVIDER/SUBJECT</option>
          <option value="session">One session, by id</option>
          <option value="provider">Everybody of one identity provider</option>
          <option value="all">Everybody</option>
        </select>
      </div>
      <div>
        <label for="value">Which <span class="muted">(nothing for everybody)</span></label>
        <input type="text" id="value" name="value" autocomplete="off" spellcheck="false" />
      </div>
      <div><button class="button danger">Continue</button></div>
    </form>
  </section>`;
}

function sessionsCard(content: AdminPageContent): Html {
  const { sessions, account, mayAct } = content;
  const table = html`<table>
    ${momentsCaption()}
    <thead>
      <tr>
        <th scope="col">Person</th>
        <th scope="col">Client</th>
        <th scope="col">From</th>
        <th scope="col">Since</th>
        <th scope="col">Last used</th>
        <th scope="col"><span class="hidden-label">Revoke</span></th>
      </tr>
    </thead>
    <tbody>
      ${sessions.map((session) => sessionRow(session, mayAct))}
    </tbody>
  </table>`;
  const search = `/admin/revoke?kind=account&value=${encodeURIComponent(account)}`;
  return html`<section class="card" aria-labelledby="sessions">
    <div class="row apart">
      <h2 id="sessions">Sessions</h2>
      ${searchForm(account)}
    </div>
    ${account !== '' && html`<p><a href="/admin">Show all</a></p>`}
    ${sessions.length === 0 ? html`<p class="muted">Nobody is signed in here.</p>` : table} ${pageLinks(content)}
    ${
      mayAct &&
      account !== '' &&
      html`<p><a class="button danger" href="${search}">Revoke all sessions of this account</a></p>`
    }
  </section>`;
}

function lockRow({ account, reason, by, at }: LockView, { mayAct, csrf }: AdminPageContent): Html {
  return html`<tr>
    <td data-label="Account"><code>${account}</code></td>
    <td data-label="Why">${reason}</td>
    <td data-label="By">${by}</td>
    <td data-label="Since"><time datetime="${at}">${at}</time></td>
    <td data-label="" class="action">
      ${
        mayAct &&
        html`<form class="search" method="post" action="/admin/unlock">
          ${csrfField(csrf)}
          <input type="hidden" name="account" value="${account}" />
          <input
            type="text"
            name="reason"
            required
            maxlength="500"
            autocomplete="off"
            placeholder="Reason"
            aria-label="Reason for unlocking ${account}"
          />
          <button class="button quiet compact" aria-label="Unlock ${account}">Unlock</button>
        </form>`
      }
    </td>
  </tr>`;
}

function locksCard(content: AdminPageContent): Html {
  if (content.locks.length === 0) return html``;
  return html`<section class="card" aria-labelledby="locks">
    <h2 id="locks">Locked accounts</h2>
    <table>
      <thead>
        <tr>
          <th scope="col">Account</th>
          <th scope="col">Why</th>
          <th scope="col">By</th>
          <th scope="col">Since</th>
          <th scope="col"><span class="hidden-label">Unlock</span></th>
        </tr>
      </thead>
      <tbody>
        ${content.locks.map((lock) => lockRow(lock, content))}
      </tbody>
    </table>
  </section>`;
}

export function adminPageBody(content: AdminPageContent): Html {
  return html`<h1>Admin</h1>
    <p class="lead">Newest sign-ins first. What you look at and what you do is on the record.</p>
    ${sessionsCard(content)} ${locksCard(content)} ${content.mayAct && revokeForm()}`;
}

const targetWords: Readonly<Record<string, string>> = {
  session: 'the session',
  account: 'every session of the account',
  username: 'every session of',
  provider: 'every session of everybody from',
  all: 'every session of everybody',
};

/** The targets that a lock goes with: those that are one account. */
const LOCKABLE: ReadonlySet<string> = new Set(['account', 'username']);

interface RevokePageContent {
  readonly kind: string;
  readonly value: string;
  readonly lock: boolean;
  /** What the first admin was given, empty for none; undefined where one admin is enough for everything. */
  readonly approval: string | undefined;
  readonly csrf: string;
}

function lockBox(lock: boolean): Html {
  const box = lock
    ? html`<input type="checkbox" id="lock" name="lock" value="on" checked />`
    : html`<input type="checkbox" id="lock" name="lock" value="on" />`;
  return html`<div>
    <label for="lock">${box} Lock the account: nobody signs in to it until an admin unlocks it</label>
  </div>`;
}

const approvalField = (approval: string): Html =>
  html`<div>
    <label for="approval"
      >Approval <span class="muted">(the id that the first admin was given, where it takes two)</span></label
    >
    <input type="text" id="approval" name="approval" value="${approval}" maxlength="64" autocomplete="off" />
  </div>`;

/** Asks for the reason; what is about to happen stands above the button. */
export function revokePageBody(ask: RevokePageContent): Html {
  return html`<h1>Revoke</h1>
    <div class="card">
      <p>
        You are about to end ${targetWords[ask.kind] ?? ''} ${ask.kind !== 'all' && html`<code>${ask.value}</code>`}.
        Whatever they have open is cut at once.
      </p>
      <form class="stack" method="post" action="/admin/revoke">
        ${csrfField(ask.csrf)}
        <input type="hidden" name="kind" value="${ask.kind}" />
        <input type="hidden" name="value" value="${ask.value}" />
        ${LOCKABLE.has(ask.kind) && lockBox(ask.lock)}
        <div>
          <label for="reason">Reason, for the record</label>
          <input
            type="text"
            id="reason"
            name="reason"
            required
            maxlength="500"
            autocomplete="off"
            placeholder="INC-4711"
          />
        </div>
        ${ask.approval !== undefined && approvalField(ask.approval)}
        <div class="row">
          <button class="button danger">Revoke now</button>
          <a class="button quiet" href="/admin">Cancel</a>
        </div>
      </form>
    </div>`;
}

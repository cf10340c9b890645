/**
 * Sessions as a table: on the list, on a person's page, and where a revocation says what it will cut.
 */
import type { SessionRecord } from '../../store/store.ts';
import { clientName, deviceOf } from '../page/client-label.ts';
import { html, type Html } from '../page/html.ts';
import { moment, momentAgo, momentsCaption } from '../page/layout.ts';
import { accountHref, revokeHref, sessionHref } from './links.ts';

interface SessionTable {
  readonly sessions: readonly SessionRecord[];
  /** Epoch seconds. */
  readonly now: number;
  /** With a link to revoke each. */
  readonly mayAct: boolean;
  /** Without the column of persons, on one person's page. */
  readonly ofOne?: boolean;
}

const personCell = ({ account, identity }: SessionRecord): Html =>
  html`<td class="main" data-label="Person">
    <span
      ><a class="strong clip" href="${accountHref(account)}" title="${identity.username}"
        ><bdi>${identity.username}</bdi></a
      ><span class="small muted clip">${account}</span></span
    >
  </td>`;

const actionCell = ({ id, identity }: SessionRecord): Html =>
  html`<td data-label="" class="action">
    <a
      class="button danger compact"
      href="${revokeHref({ kind: 'session', value: id })}"
      aria-label="Revoke a session of ${identity.username}"
      >Revoke</a
    >
  </td>`;

function row(session: SessionRecord, { mayAct, now, ofOne = false }: SessionTable): Html {
  return html`<tr>
    ${!ofOne && personCell(session)}
    <td data-label="Client">
      <span
        ><a href="${sessionHref(session.id)}">${clientName(session.client)}</a><br /><span class="small muted"
          >${deviceOf(session.userAgent)}${session.device === true && ', by code'}</span
        ></span
      >
    </td>
    <td data-label="From">${session.address === '' ? '–' : session.address}</td>
    <td data-label="Since">${moment(session.createdAt)}</td>
    <td data-label="Last used">${momentAgo(session.lastUsedAt, now)}</td>
    ${mayAct && actionCell(session)}
  </tr>`;
}

/** The table, whatever number of sessions it is given. */
export function sessionTable(table: SessionTable): Html {
  return html`<table class="sessions">
    ${momentsCaption()}
    <thead>
      <tr>
        ${table.ofOne !== true && html`<th scope="col" class="col-user">Person</th>`}
        <th scope="col">Client</th>
        <th scope="col">From</th>
        <th scope="col">Since</th>
        <th scope="col" class="col-used">Last used</th>
        ${table.mayAct && html`<th scope="col" class="col-action"><span class="visually-hidden">Revoke</span></th>`}
      </tr>
    </thead>
    <tbody>
      ${table.sessions.map((session) => row(session, table))}
    </tbody>
  </table>`;
}

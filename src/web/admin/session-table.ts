/**
 * The table of sessions: on the list, on a user's page, and on the page that shows the scope of a revocation.
 */
import { lastUseOf, type SessionRecord } from '../../store/store.ts';
import { clientName, deviceOf, quotedName } from '../page/client-label.ts';
import { html, type Html } from '../page/html.ts';
import { momentAgo, momentsCaption } from '../page/layout.ts';
import { accountHref, revokeHref, sessionHref } from './links.ts';

interface SessionTable {
  readonly sessions: readonly SessionRecord[];
  /** Epoch seconds. */
  readonly now: number;
  /** True: with a link to revoke each session. */
  readonly mayAct: boolean;
  /** True: without the column of users, on one user's page. */
  readonly singleUser?: boolean;
}

const userCell = ({ account, identity }: SessionRecord): Html =>
  html`<td class="main">
    <span title="${identity.username} (${account})"
      ><a class="strong" href="${accountHref(account)}"><bdi>${identity.username}</bdi></a>
      <span>${account}</span></span
    >
  </td>`;

const clientCell = ({ id, client, device, deviceName, userAgent }: SessionRecord): Html =>
  html`<td data-label="Client">
    <span title="${deviceName !== undefined && `${deviceName}, `}${userAgent}"
      ><a href="${sessionHref(id)}">${clientName(client)}</a>
      <span
        >${device === true && 'by code, '}${deviceName !== undefined && html`${quotedName(deviceName)}, `}${deviceOf(userAgent)}</span
      ></span
    >
  </td>`;

const actionCell = ({ id, identity }: SessionRecord): Html =>
  html`<td class="action">
    <a
      class="revoke"
      href="${revokeHref({ kind: 'session', value: id })}"
      aria-label="Revoke a session of ${identity.username}"
      >Revoke</a
    >
  </td>`;

function row(session: SessionRecord, { mayAct, now, singleUser = false }: SessionTable): Html {
  return html`<tr>
    ${!singleUser && userCell(session)} ${clientCell(session)}
    <td data-label="IP address" title="${session.address}">${session.address === '' ? '–' : session.address}</td>
    <td data-label="Signed in">${momentAgo(session.createdAt, now)}</td>
    <td data-label="Last used">${momentAgo(lastUseOf(session), now)}</td>
    ${mayAct && actionCell(session)}
  </tr>`;
}

/** Returns the table of all the sessions that it is given. */
export function sessionTable(table: SessionTable): Html {
  return html`<table class="sessions">
    ${momentsCaption()}
    <thead>
      <tr>
        ${table.singleUser !== true && html`<th scope="col" class="col-user">User</th>`}
        <th scope="col">Client</th>
        <th scope="col" class="col-address">IP address</th>
        <th scope="col" class="col-used">Signed in</th>
        <th scope="col" class="col-used">Last used</th>
        ${table.mayAct && html`<th scope="col" class="col-action"><span class="visually-hidden">Revoke</span></th>`}
      </tr>
    </thead>
    <tbody>
      ${table.sessions.map((session) => row(session, table))}
    </tbody>
  </table>`;
}

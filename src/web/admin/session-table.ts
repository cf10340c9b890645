/**
 * The table of sessions: on the list, on a user's page, and on the page that shows the scope of a revocation.
 */
import { actorText, type Delegation } from '../../core/delegation/delegation.ts';
import { lastUseOf, type SessionRecord } from '../../store/store.ts';
import { clientName, deviceOf, quotedName } from '../page/client-label.ts';
import { actorName, beneathClass, nested, rightsText, type NestedSession } from '../page/delegated-sessions.ts';
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

/** Of a delegated session with a link to the session that it is beneath, which may be on another page of the list. */
function userCell({ account, identity, delegation }: SessionRecord): Html {
  const parent = delegation?.ancestors.at(-1);
  return html`<td class="main">
    <span title="${identity.username} (${account})"
      ><a class="strong" href="${accountHref(account)}"><bdi>${identity.username}</bdi></a>
      <span>${parent === undefined ? account : html`<a href="${sessionHref(parent)}">delegated</a>`}</span></span
    >
  </td>`;
}

const actorCell = (id: string, delegation: Delegation, singleUser: boolean): Html =>
  html`<td data-label="Actor">
    <span title="${actorText(delegation)}: ${rightsText(delegation)}"
      ><a href="${sessionHref(id)}">${actorName(delegation)}</a>
      <span>${singleUser && 'delegated: '}${rightsText(delegation)}</span></span
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

const actionCell = ({ id, identity, delegation }: SessionRecord): Html =>
  html`<td class="action">
    <a
      class="revoke"
      href="${revokeHref({ kind: 'session', value: id })}"
      aria-label="Revoke a session of ${identity.username}${delegation !== undefined && `, delegated to ${actorText(delegation)}`}"
      >Revoke</a
    >
  </td>`;

function row({ session, level }: NestedSession, { mayAct, now, singleUser = false }: SessionTable): Html {
  const { id, delegation } = session;
  return html`<tr ${beneathClass(level)}>
    ${!singleUser && userCell(session)}
    ${delegation === undefined ? clientCell(session) : actorCell(id, delegation, singleUser)}
    <td data-label="IP address" title="${session.address}">${session.address === '' ? '–' : session.address}</td>
    <td data-label="Signed in">${momentAgo(session.createdAt, now)}</td>
    <td data-label="Last used">${momentAgo(lastUseOf(session), now)}</td>
    ${mayAct && actionCell(session)}
  </tr>`;
}

/** Returns the table of all the sessions that it is given, delegated ones beneath the session that they are from. */
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
      ${nested(table.sessions).map((session) => row(session, table))}
    </tbody>
  </table>`;
}

/**
 * The table of sessions: on the list, on a user's page, and on the page that shows the scope of a revocation.
 */
import { actorText, type Delegation } from '../../core/delegation/delegation.ts';
import { lastUseOf, type SessionRecord } from '../../store/store.ts';
import { clientName, deviceOf, quotedName } from '../page/client-label.ts';
import { actorName, beneathClass, nested, rightsText, type NestedSession } from '../page/delegated-sessions.ts';
import { html, type Html } from '../page/html.ts';
import { momentAgo, momentsCaption } from '../page/layout.ts';
import { table, type Column } from '../page/table.ts';
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
function userCell({ account, identity, delegation }: SessionRecord, isFirst: boolean): Html {
  const parent = delegation?.ancestors.at(-1);
  return html`<span ${isFirst && html`title="${identity.username} (${account})"`}
    ><a ${isFirst && html`class="strong"`} href="${accountHref(account)}"><bdi>${identity.username}</bdi></a>
    <span
      >${parent === undefined ? isFirst && account : html`<a href="${sessionHref(parent)}">delegated</a>`}</span
    ></span
  >`;
}

const actorCell = (id: string, delegation: Delegation, singleUser: boolean): Html =>
  html`<span title="${actorText(delegation)}: ${rightsText(delegation)}"
    ><a href="${sessionHref(id)}">${actorName(delegation)}</a>
    <span>${singleUser && 'delegated: '}${rightsText(delegation)}</span></span
  >`;

const clientCell = ({ id, client, device, deviceName, userAgent }: SessionRecord): Html =>
  html`<span title="${deviceName !== undefined && `${deviceName}, `}${userAgent}"
    ><a href="${sessionHref(id)}">${clientName(client)}</a>
    <span
      >${device === true && 'by code, '}${deviceName !== undefined && html`${quotedName(deviceName)}, `}${deviceOf(userAgent)}</span
    ></span
  >`;

const revokeLink = ({ id, identity, delegation }: SessionRecord): Html =>
  html`<a
    class="revoke"
    href="${revokeHref({ kind: 'session', value: id })}"
    aria-label="Revoke a session of ${identity.username}${delegation !== undefined && `, delegated to ${actorText(delegation)}`}"
    >Revoke</a
  >`;

/** Returns the table of all the sessions that it is given, delegated ones beneath the session that they are from. */
export function sessionTable({ sessions, now, mayAct, singleUser = false }: SessionTable): Html {
  const rows = nested(sessions);
  const firsts = new Map(
    rows
      .map(({ session }) => session)
      .toReversed()
      .map(({ account, id }) => [account, id]),
  );
  const isFirst = ({ account, id }: SessionRecord): boolean => firsts.get(account) === id;
  const columns: readonly (Column<NestedSession> | false)[] = [
    !singleUser && {
      heading: 'User',
      kind: 'main',
      width: 'col-user',
      cell: ({ session }) => userCell(session, isFirst(session)),
    },
    {
      heading: 'Client',
      label: ({ session }) => (session.delegation === undefined ? 'Client' : 'Actor'),
      cell: ({ session }) =>
        session.delegation === undefined ? clientCell(session) : actorCell(session.id, session.delegation, singleUser),
    },
    {
      heading: 'IP address',
      width: 'col-address',
      title: ({ session }) => session.address,
      cell: ({ session }) => (session.address === '' ? '–' : session.address),
    },
    { heading: 'Signed in', width: 'col-used', cell: ({ session }) => momentAgo(session.createdAt, now) },
    { heading: 'Last used', width: 'col-used', cell: ({ session }) => momentAgo(lastUseOf(session), now) },
    mayAct && { heading: 'Revoke', kind: 'action', width: 'col-action', cell: ({ session }) => revokeLink(session) },
  ];
  const rowClass = ({ level }: NestedSession): string | undefined => beneathClass(level);
  return table({ columns, rows, style: 'sessions', rowClass, caption: momentsCaption() });
}

/** The sessions of a user, one row for each: a delegated one beneath the session that it was delegated from. */
import type { Delegation } from '../../core/delegation/delegation.ts';
import { lastUseOf, type SessionRecord } from '../../store/store.ts';
import type { SignedIn } from '../browser/browser-session.ts';
import { clientName, deviceOf, quotedName } from '../page/client-label.ts';
import {
  actorName,
  beneathClass,
  clustersText,
  rightsText,
  type NestedPage,
  type NestedSession,
} from '../page/delegated-sessions.ts';
import { html, type Html } from '../page/html.ts';
import { csrfField, moment, momentAgo, momentsCaption } from '../page/layout.ts';
import { table, type Column } from '../page/table.ts';

interface TableContent {
  readonly user: SignedIn;
  readonly rows: readonly NestedSession[];
  /** There may be sessions beneath these that are not listed. */
  readonly moreDelegated?: boolean;
  readonly nowSeconds: number;
}

export interface SessionsContent extends Pick<TableContent, 'user' | 'nowSeconds'> {
  readonly page: NestedPage;
}

const QUOTED =
  'A name in quotation marks is what the program called its device; address and times are what Portcullis saw.';

/** As much of a thumbprint as a user compares. */
const KEY_SHOWN = 8;

/** The page of one session of the user's own. */
export const ownSessionHref = (id: string): string => `/me/sessions/${encodeURIComponent(id)}`;

/** The certificate that the session's tokens are bound to; sessions of these pages have none. */
const keyOf = ({ thumbprint }: SessionRecord): Html =>
  thumbprint === undefined
    ? html`<span class="muted">none</span>`
    : html`<code title="${thumbprint}">${thumbprint.slice(0, KEY_SHOWN)}</code>`;

/** Returns a session's name for buttons and titles: who acts in it, or its device. */
export const sessionName = ({ delegation, deviceName, userAgent }: SessionRecord): string =>
  delegation === undefined ? (deviceName ?? deviceOf(userAgent)) : delegation.actors.map(({ name }) => name).join('/');

function deviceCell(session: SessionRecord, user: SignedIn): Html {
  const { deviceName } = session;
  return html`<strong title="${session.userAgent}">${deviceOf(session.userAgent)}</strong>
    ${session.id === user.session && html`<span class="badge">this browser</span>`}
    ${session.device === true && html`<span class="badge quiet">by code</span>`}
    ${session.grants?.map(({ role }) => html`<span class="badge" title="granted for a while">${role}</span> `)}<span
      class="small muted own-line"
      >${clientName(session.client)}${deviceName !== undefined && html` on ${quotedName(deviceName)}`}</span
    >`;
}

function actorCell(session: SessionRecord, delegation: Delegation, above: string | undefined): Html {
  const isRegistered = delegation.actors.at(-1)?.registered === true;
  return html`<span class="visually-hidden">Delegated${above !== undefined && html` from ${above}`}: </span
    ><strong><a href="${ownSessionHref(session.id)}">${actorName(delegation)}</a></strong>
    <span class="badge quiet">${isRegistered ? 'registered client' : 'delegated'}</span
    ><span class="small muted own-line"
      >${rightsText(delegation)}, on ${clustersText(delegation)}; ends ${moment(session.expiresAt)}</span
    >`;
}

/** A session with others beneath it ends with them, so its button leads to the page that names them. */
function endButton(session: SessionRecord, user: SignedIn, hasBeneath: boolean): Html {
  const [label, name] = [session.delegation === undefined ? 'Sign out' : 'End', sessionName(session)];
  if (hasBeneath) {
    return html`<a
      class="button danger compact"
      href="${ownSessionHref(session.id)}"
      aria-label="${label} ${name}, and what is delegated from it"
      >${label}…</a
    >`;
  }
  return html`<form method="post" action="${ownSessionHref(session.id)}/end">
    ${csrfField(user.csrf)}
    <button class="button danger compact" aria-label="${label} ${name}">${label}</button>
  </form>`;
}

/** A session with what its neighbours in the list say of it. */
interface SessionRow extends NestedSession {
  /** The one that it is beneath. */
  readonly above?: SessionRecord | undefined;
  readonly hasBeneath: boolean;
}

function rowOf(
  { session, level }: NestedSession,
  index: number,
  { rows, moreDelegated = false }: TableContent,
): SessionRow {
  const above = rows.slice(0, index).findLast((one) => one.level < level)?.session;
  const hasBeneath = (rows[index + 1]?.level ?? 0) > level || (moreDelegated && session.delegation === undefined);
  return { session, level, above, hasBeneath };
}

const columnsOf = ({ user, nowSeconds }: TableContent): readonly Column<SessionRow>[] => [
  {
    heading: 'Device',
    kind: 'main',
    cell: ({ session, above }) =>
      html`<span
        >${
          session.delegation === undefined
            ? deviceCell(session, user)
            : actorCell(session, session.delegation, above && sessionName(above))
        }</span
      >`,
  },
  { heading: 'Address', cell: ({ session }) => (session.address === '' ? '–' : session.address) },
  {
    heading: 'Signed in',
    label: ({ session }) => (session.delegation === undefined ? 'Signed in' : 'Delegated'),
    cell: ({ session }) => momentAgo(session.createdAt, nowSeconds),
  },
  { heading: 'Last used', cell: ({ session }) => momentAgo(lastUseOf(session), nowSeconds) },
  { heading: 'Certificate', cell: ({ session }) => keyOf(session) },
  { heading: 'Sign out', kind: 'action', cell: ({ session, hasBeneath }) => endButton(session, user, hasBeneath) },
];

/** Returns the table of the sessions that it is given. */
export function ownSessionTable(content: TableContent): Html {
  const { rows } = content;
  const isQuoted = rows.some(({ session }) => session.delegation === undefined && session.deviceName !== undefined);
  return table({
    columns: columnsOf(content),
    rows: rows.map((row, index) => rowOf(row, index, content)),
    rowClass: ({ level }) => beneathClass(level),
    caption: momentsCaption(isQuoted ? QUOTED : ''),
  });
}

export function sessionsCard({ user, page, nowSeconds }: SessionsContent): Html {
  const { rows, cursor, moreDelegated, delegated } = page;
  return html`<section class="card" aria-labelledby="sessions">
    <div class="card-head">
      <h2 id="sessions">Where you are signed in</h2>
      ${rows.length > 1 && html`<a class="button danger compact" href="/me/end-others">Sign out everywhere else</a>`}
    </div>
    ${ownSessionTable({ user, rows, nowSeconds, moreDelegated })}
    ${cursor !== undefined && html`<p class="muted small">Only the newest ${rows.length - delegated} are shown.</p>`}
    ${
      moreDelegated &&
      html`<p class="muted small">There are more delegated sessions: open the session that they are beneath.</p>`
    }
  </section>`;
}

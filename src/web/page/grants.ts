/** What was granted to sessions for a while, on the pages about sessions. */
import type { SessionGrant } from '../../core/access/request.ts';
import type { SessionRecord } from '../../store/store.ts';
import { accessHref, clusterList, nameList, timeLeft } from './access-text.ts';
import { clientName, deviceOf, quotedName } from './client-label.ts';
import type { Fact } from './card.ts';
import { html, type Html } from './html.ts';
import { csrfField } from './layout.ts';
import { table, type Column } from './table.ts';

/** By the time that it had left when the store replied: the store's clock may be another one than this server's. */
const leftOf = ({ leftMs }: SessionGrant, nowMs: number): Html => timeLeft(nowMs + leftMs, nowMs);

const grantItem = (grant: SessionGrant, nowMs: number): Html =>
  html`<li>
    <a href="${accessHref(grant.id)}">${grant.role}</a> <span class="small muted">${leftOf(grant, nowMs)}</span>
  </li>`;

/** Returns what a session has for a while. */
export const grantFacts = ({ grants = [] }: SessionRecord, nowMs: number): Fact =>
  grants.length > 0 && [
    'Granted for a while',
    html`<ul class="list">
      ${grants.map((grant) => grantItem(grant, nowMs))}
    </ul>`,
  ];

interface GrantRow {
  readonly session: SessionRecord;
  readonly grant: SessionGrant;
}

interface OwnGrants {
  /** The user's own sessions. */
  readonly sessions: readonly SessionRecord[];
  readonly csrf: string;
  readonly nowMs: number;
}

const columnsOf = ({ csrf, nowMs }: OwnGrants): readonly Column<GrantRow>[] => [
  {
    heading: 'Role',
    kind: 'main',
    cell: ({ grant }) => html`<a href="${accessHref(grant.id)}"><strong>${grant.role}</strong></a>`,
  },
  { heading: 'Groups', cell: ({ grant }) => html`<div>${nameList(grant.groups, 'none')}</div>` },
  { heading: 'Clusters', cell: ({ grant }) => html`<div>${clusterList(grant)}</div>` },
  {
    heading: 'Session',
    cell: ({ session }) =>
      html`<span
        >${clientName(session.client)}${session.deviceName !== undefined && html` on ${quotedName(session.deviceName)}`}<span
          class="small muted own-line"
          >${deviceOf(session.userAgent)}</span
        ></span
      >`,
  },
  { heading: 'Left', cell: ({ grant }) => leftOf(grant, nowMs) },
  {
    heading: 'End',
    kind: 'action',
    cell: ({ grant }) =>
      html`<form method="post" action="${accessHref(grant.id)}/end">
        ${csrfField(csrf)}
        <button class="button danger compact" aria-label="End ${grant.role}">End</button>
      </form>`,
  },
];

/** Returns the card of what the user's own sessions have for a while; nothing where none has anything. */
export function ownGrantsCard(content: OwnGrants): Html | false {
  const rows = content.sessions.flatMap((session) => (session.grants ?? []).map((grant) => ({ session, grant })));
  if (rows.length === 0) return false;
  return html`<section class="card" aria-labelledby="grants">
    <div class="card-head">
      <h2 id="grants">Granted to you for a while</h2>
      <a class="button quiet compact" href="/access">Access requests</a>
    </div>
    ${table({ columns: columnsOf(content), rows })}
  </section>`;
}

/** What was granted to sessions for a while, on the pages about sessions. */
import type { SessionGrant } from '../../core/access/request.ts';
import type { SessionRecord } from '../../store/store.ts';
import { accessHref, clusterList, nameList, timeLeft } from './access-text.ts';
import { clientName, deviceOf, quotedName } from './client-label.ts';
import { html, type Html } from './html.ts';
import { csrfField } from './layout.ts';

/** By the time that it had left when the store replied: the store's clock may be another one than this server's. */
const leftOf = ({ leftMs }: SessionGrant, nowMs: number): Html => timeLeft(nowMs + leftMs, nowMs);

const grantItem = (grant: SessionGrant, nowMs: number): Html =>
  html`<li>
    <a href="${accessHref(grant.id)}">${grant.role}</a> <span class="small muted">${leftOf(grant, nowMs)}</span>
  </li>`;

/** Returns what a session has for a while, for a `dl`; nothing where it has nothing. */
export function grantFacts({ grants = [] }: SessionRecord, nowMs: number): Html | false {
  if (grants.length === 0) return false;
  return html`<dt>Granted for a while</dt>
    <dd>
      <ul class="list">
        ${grants.map((grant) => grantItem(grant, nowMs))}
      </ul>
    </dd>`;
}

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

const grantRow = ({ session, grant }: GrantRow, { csrf, nowMs }: OwnGrants): Html =>
  html`<tr>
    <td class="main" data-label="Role">
      <a href="${accessHref(grant.id)}"><strong>${grant.role}</strong></a>
    </td>
    <td data-label="Groups"><div>${nameList(grant.groups, 'none')}</div></td>
    <td data-label="Clusters"><div>${clusterList(grant)}</div></td>
    <td data-label="Session">
      <span
        >${clientName(session.client)}${session.deviceName !== undefined && html` on ${quotedName(session.deviceName)}`}<span
          class="small muted own-line"
          >${deviceOf(session.userAgent)}</span
        ></span
      >
    </td>
    <td data-label="Left">${leftOf(grant, nowMs)}</td>
    <td data-label="" class="action">
      <form method="post" action="${accessHref(grant.id)}/end">
        ${csrfField(csrf)}
        <button class="button danger compact" aria-label="End ${grant.role}">End</button>
      </form>
    </td>
  </tr>`;

/** Returns the card of what the user's own sessions have for a while; nothing where none has anything. */
export function ownGrantsCard(content: OwnGrants): Html | false {
  const rows = content.sessions.flatMap((session) => (session.grants ?? []).map((grant) => ({ session, grant })));
  if (rows.length === 0) return false;
  return html`<section class="card" aria-labelledby="grants">
    <div class="card-head">
      <h2 id="grants">Granted to you for a while</h2>
      <a class="button quiet compact" href="/access">Access requests</a>
    </div>
    <table>
      <thead>
        <tr>
          <th scope="col">Role</th>
          <th scope="col">Groups</th>
          <th scope="col">Clusters</th>
          <th scope="col">Session</th>
          <th scope="col">Left</th>
          <th scope="col"><span class="visually-hidden">End</span></th>
        </tr>
      </thead>
      <tbody>
        ${rows.map((row) => grantRow(row, content))}
      </tbody>
    </table>
  </section>`;
}

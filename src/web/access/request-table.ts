/** Access requests as a table: one's own, those that wait for an approver, and the history. */
import type { AccessRequest } from '../../core/access/request.ts';
import { accessHref, quotedReason, stateOf } from '../page/access-text.ts';
import { minutesText } from '../../core/time.ts';
import { html, type Html } from '../page/html.ts';
import { momentAgo, momentsCaption } from '../page/layout.ts';

interface RequestTable {
  readonly requests: readonly AccessRequest[];
  readonly nowMs: number;
  /** Returns how to name the user; absent: all are of one user, so there is no such column. */
  readonly userCell?: (request: AccessRequest) => Html;
  /** The label of the link to each request. */
  readonly action: string;
}

/** Returns a name without a link. */
export const plainUser = ({ username, account }: AccessRequest): Html =>
  html`<strong><bdi>${username}</bdi></strong> <span class="small muted own-line">${account}</span>`;

/** Characters. */
const MOST_REASON_SHOWN = 80;

const receiptLink = ({ id, grant }: AccessRequest): Html | false =>
  grant?.revocation !== undefined && html`<a class="small" href="${accessHref(id)}#receipt">receipt</a>`;

function row(request: AccessRequest, { nowMs, userCell, action }: RequestTable): Html {
  const { id, terms, seconds, reason, requestedAt, username } = request;
  return html`<tr>
    ${userCell !== undefined && html`<td class="main" data-label="User"><span>${userCell(request)}</span></td>`}
    <td data-label="Role" ${userCell === undefined && html`class="main"`}>
      <span
        ><a href="${accessHref(id)}"><strong>${terms.name}</strong></a>
        <span class="small muted own-line">for ${minutesText(seconds)}</span></span
      >
    </td>
    <td data-label="Reason">
      <span class="own-line"
        >${reason === '' ? html`<span class="muted">none</span>` : quotedReason(reason, MOST_REASON_SHOWN)}</span
      >
    </td>
    <td data-label="Requested">${momentAgo(requestedAt, Math.floor(nowMs / 1000))}</td>
    <td data-label="State"><span>${stateOf(request, nowMs)} ${receiptLink(request)}</span></td>
    <td data-label="" class="action">
      <a
        class="button quiet compact"
        href="${accessHref(id)}"
        aria-label="${action} the request ${userCell !== undefined && `of ${username} `}for ${terms.name}"
        >${action}</a
      >
    </td>
  </tr>`;
}

export function requestTable(table: RequestTable): Html {
  return html`<table>
    ${momentsCaption()}
    <thead>
      <tr>
        ${table.userCell !== undefined && html`<th scope="col">User</th>`}
        <th scope="col">Role</th>
        <th scope="col">Reason</th>
        <th scope="col">Requested</th>
        <th scope="col">State</th>
        <th scope="col"><span class="visually-hidden">${table.action}</span></th>
      </tr>
    </thead>
    <tbody>
      ${table.requests.map((request) => row(request, table))}
    </tbody>
  </table>`;
}

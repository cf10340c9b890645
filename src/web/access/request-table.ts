/** Access requests as a table: one's own, those that wait for an approver, and the history. */
import type { AccessRequest } from '../../core/access/request.ts';
import { accessHref, quotedReason, stateOf } from '../page/access-text.ts';
import { minutesText } from '../../core/time.ts';
import { html, type Html } from '../page/html.ts';
import { momentAgo, momentsCaption } from '../page/layout.ts';
import { table, type Column } from '../page/table.ts';

interface RequestTable {
  readonly requests: readonly AccessRequest[];
  readonly nowMs: number;
  /** Returns how to name the user; absent: all are of one user, so there is no such column. */
  readonly userCell?: (request: AccessRequest) => Html;
  /** The label of the link to each request. */
  readonly action: string;
  /** What is shown where there is no request. */
  readonly empty?: string;
}

/** Returns a name without a link. */
export const plainUser = ({ username, account }: AccessRequest): Html =>
  html`<strong><bdi>${username}</bdi></strong> <span class="small muted own-line">${account}</span>`;

/** Characters. */
const MOST_REASON_SHOWN = 80;

const receiptLink = ({ id, grant }: AccessRequest): Html | false =>
  grant?.revocation !== undefined && html`<a class="small" href="${accessHref(id)}#receipt">receipt</a>`;

const columnsOf = ({ nowMs, userCell, action }: RequestTable): readonly (Column<AccessRequest> | false)[] => [
  userCell !== undefined && {
    heading: 'User',
    kind: 'main',
    cell: (request) => html`<span>${userCell(request)}</span>`,
  },
  {
    heading: 'Role',
    ...(userCell === undefined ? { kind: 'main' } : {}),
    cell: ({ id, terms, seconds }) =>
      html`<span
        ><a href="${accessHref(id)}"><strong>${terms.name}</strong></a>
        <span class="small muted own-line">for ${minutesText(seconds)}</span></span
      >`,
  },
  {
    heading: 'Reason',
    cell: ({ reason }) =>
      html`<span class="own-line"
        >${reason === '' ? html`<span class="muted">none</span>` : quotedReason(reason, MOST_REASON_SHOWN)}</span
      >`,
  },
  { heading: 'Requested', cell: ({ requestedAt }) => momentAgo(requestedAt, Math.floor(nowMs / 1000)) },
  { heading: 'State', cell: (request) => html`<span>${stateOf(request, nowMs)} ${receiptLink(request)}</span>` },
  {
    heading: action,
    kind: 'action',
    cell: ({ id, terms, username }) =>
      html`<a
        class="button quiet compact"
        href="${accessHref(id)}"
        aria-label="${action} the request ${userCell !== undefined && `of ${username} `}for ${terms.name}"
        >${action}</a
      >`,
  },
];

export const requestTable = (content: RequestTable): Html =>
  table({ columns: columnsOf(content), rows: content.requests, empty: content.empty, caption: momentsCaption() });

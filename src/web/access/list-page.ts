/**
 * `/access`: what waits for the user as an approver, their own requests, and the roles that they may ask for, with the form for
 * one of them.
 */
import type { OfferedRole } from '../../services/access/access.ts';
import { isActive, type AccessRequest } from '../../core/access/request.ts';
import { ACCESS } from '../../core/api/rejections.ts';
import { AppError } from '../../core/errors.ts';
import { passed } from '../../http/problem.ts';
import { accessHref, approvalText, clusterList, nameList } from '../page/access-text.ts';
import { minutesText } from '../../core/time.ts';
import { html, type Html } from '../page/html.ts';
import { parameter, seeOther } from '../page/response.ts';
import { tabsBeneath } from '../page/navigation.ts';
import { table, type Column } from '../page/table.ts';
import { roleOf } from '../../services/admin/admin.ts';
import { auditShown } from './actions.ts';
import { callerAt, rejectedNotice, rejectedOf, sendAccessPage, type AccessContext, type Rejected } from './context.ts';
import {
  eligibleSessions,
  givenBy,
  requestCard,
  roleHref,
  secondsOf,
  type GivenRequest,
  type RequestForm,
} from './request-form.ts';
import { plainUser, requestTable } from './request-table.ts';
import { defined } from '../../core/defined.ts';

const MOST_MINE = 15;
/** Of what waits for the user and what they may end, about so many. */
const QUEUE = 50;

interface ListPage {
  /** True for admins and auditors, who have a list of all requests. */
  readonly seesAll: boolean;
  readonly roles: readonly OfferedRole[];
  readonly mine: readonly AccessRequest[];
  /** Where the older ones of one's own begin. */
  readonly cursor?: string;
  /** True where these are not the newest. */
  readonly later: boolean;
  readonly queue: readonly AccessRequest[];
  /** Where the rest of what waits begins. */
  readonly queueCursor?: string;
  /** True where this is not the beginning of it. */
  readonly queueLater: boolean;
  /** Absent where no role was chosen. */
  readonly form?: RequestForm;
  readonly rejected?: Rejected;
  readonly nowMs: number;
}

function queueCards({ queue, queueCursor, queueLater, nowMs }: ListPage): Html {
  const card = (id: string, title: string, requests: readonly AccessRequest[], action: string): Html | false =>
    requests.length > 0 &&
    html`<section class="card" aria-labelledby="${id}">
      <h2 id="${id}">${title}</h2>
      ${requestTable({ requests, nowMs, userCell: plainUser, action })}
    </section>`;
  const [waiting, granted] = [
    queue.filter(({ state }) => state === 'open'),
    queue.filter((one) => isActive(one, nowMs)),
  ];
  return html`${card('queue', 'For you to decide', waiting, 'Review')}
  ${card('granted', 'Granted to others', granted, 'Open')}
  ${
    (queueCursor !== undefined || queueLater) &&
    html`<nav class="pager" aria-label="Pages of what you decide about">
      <span>${queueLater && html`<a class="button quiet compact" href="/access">Beginning</a>`}</span>
      <span class="small muted">${queue.length === 0 && 'None of these is for you.'}</span>
      <span
        >${queueCursor !== undefined && html`<a class="button quiet compact" href="/access?${new URLSearchParams({ queue: queueCursor }).toString()}">More for you to decide</a>`}</span
      >
    </nav>`
  }`;
}

const pager = ({ cursor, later }: ListPage): Html | false =>
  (cursor !== undefined || later) &&
  html`<nav class="pager" aria-label="Pages">
    <span>${later && html`<a class="button quiet compact" href="/access">Newest</a>`}</span>
    <span
      >${cursor !== undefined && html`<a class="button quiet compact" href="/access?${new URLSearchParams({ cursor }).toString()}">Older</a>`}</span
    >
  </nav>`;

function mineCard(content: ListPage): Html {
  const { mine, nowMs } = content;
  return html`<section class="card" aria-labelledby="mine">
    <h2 id="mine">My requests</h2>
    ${requestTable({ requests: mine, nowMs, action: 'Open', empty: 'You have asked for nothing yet.' })}
    ${pager(content)}
  </section>`;
}

const ROLES: readonly Column<OfferedRole>[] = [
  {
    heading: 'Role',
    kind: 'main',
    cell: ({ role }) =>
      html`<span><strong>${role.name}</strong><span class="small muted own-line">${role.description}</span></span>`,
  },
  { heading: 'Groups', cell: ({ role }) => html`<div>${nameList(role.groups, 'none')}</div>` },
  { heading: 'Clusters', cell: ({ role }) => html`<div>${clusterList(role)}</div>` },
  { heading: 'At most', cell: ({ role }) => minutesText(role.longest) },
  { heading: 'Approval', cell: ({ role }) => html`<span>${approvalText(role)}</span>` },
  {
    heading: 'Request',
    kind: 'action',
    cell: ({ role: { name } }) =>
      html`<a class="button compact" href="${roleHref(name)}" aria-label="Request ${name}">Request</a>`,
  },
];

const rolesCard = ({ roles }: ListPage): Html =>
  html`<section class="card" aria-labelledby="roles">
    <h2 id="roles">What you may ask for</h2>
    ${table({ columns: ROLES, rows: roles, empty: 'There is no role that you may ask for.' })}
  </section>`;

function listBody(content: ListPage): Html {
  const { form, rejected } = content;
  const back = form === undefined ? '/access' : roleHref(form.offered.role.name);
  return html`<div class="page-head">
      <h1>Access</h1>
      <p class="lead">A right for a while: it ends by itself, on every replica, with everything opened by it.</p>
    </div>
    ${content.seesAll && tabsBeneath('Access', '/access')} ${rejected !== undefined && rejectedNotice(rejected, back)}
    ${form !== undefined && requestCard(form)} ${queueCards(content)} ${mineCard(content)} ${rolesCard(content)}`;
}

async function show(
  context: AccessContext,
  chosen: string | undefined,
  again: { readonly given?: GivenRequest; readonly rejected?: Rejected } = {},
): Promise<void> {
  const { deps, access, req, user } = context;
  const caller = callerAt(context);
  const cursor = parameter(req.query['cursor']);
  const queueFrom = parameter(req.query['queue']);
  const roles = access.roles(caller);
  const mine = await access.mine(caller, { limit: MOST_MINE, ...defined({ cursor }) });
  const queue = await access.queue(caller, { limit: QUEUE, ...defined({ cursor: queueFrom }) });
  const offered = roles.find(({ role }) => role.name === chosen);
  const { given, rejected } = again;
  const form = offered && {
    offered,
    sessions: await eligibleSessions(context),
    user,
    ...defined({ given, errors: rejected?.errors }),
  };
  const body = listBody({
    seesAll: roleOf(user, deps.config) !== undefined,
    roles,
    mine: mine.requests,
    ...defined({ cursor: mine.cursor }),
    later: cursor !== undefined,
    queue: queue.requests,
    ...defined({ queueCursor: queue.cursor }),
    queueLater: queueFrom !== undefined,
    ...defined({ form, rejected }),
    nowMs: deps.clock.nowMs(),
  });
  sendAccessPage(context, { title: 'Access', body, status: rejected?.status ?? 200 });
}

/** Shows the list. A role that the user may not ask for is not chosen, whatever the URL says. */
export async function showList(context: AccessContext): Promise<void> {
  await show(context, parameter(context.req.query['role']));
}

/** Handles the form, and leads to the page of the request. What is rejected is shown on the form, as it was filled in. */
export async function handleRequest(context: AccessContext): Promise<void> {
  const { access, res } = context;
  const given = givenBy(context);
  const { role, reason, session } = given;
  try {
    if (session === '') {
      throw new AppError('bad_request', 'Choose which of your sessions gets it.', { reason: 'request_malformed' });
    }
    const order = { role, seconds: secondsOf(given), reason, session };
    const { id } = passed(ACCESS, await access.request(callerAt(context), order));
    seeOther(res, accessHref(id));
  } catch (thrown) {
    const rejected = rejectedOf(thrown);
    auditShown(context, thrown, rejected);
    await show(context, role, { given, rejected });
  }
}

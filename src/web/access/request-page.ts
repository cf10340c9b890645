/**
 * `/access/ID`: one request with all that the approver who decides needs: what it gives, who asks and why, from which session, and what
 * that user has asked for and done before. The buttons are what the caller may do.
 */
import type { AccessAction, RequesterBackground } from '../../services/access/access.ts';
import { type RevocationReceipt, roleOf } from '../../services/admin/admin.ts';
import {
  approvalsOf,
  isOpen,
  LAPSE_TEXTS,
  versionOf,
  type AccessDecision,
  type AccessRequest,
} from '../../core/access/request.ts';
import { ACCESS } from '../../core/api/rejections.ts';
import { approvalsNeeded } from '../../core/access/role.ts';
import { record } from '../../http/audit-events.ts';
import { passed } from '../../http/problem.ts';
import { contextOf } from '../../http/request-context.ts';
import {
  accessHref,
  approvalText,
  clusterList,
  nameList,
  periodText,
  quotedReason,
  stateOf,
} from '../page/access-text.ts';
import { quotedName } from '../page/client-label.ts';
import { minutesText } from '../../core/time.ts';
import { card, facts } from '../page/card.ts';
import { html, type Html } from '../page/html.ts';
import { moment } from '../page/layout.ts';
import { receipt } from '../page/receipt.ts';
import { requestsTable } from '../page/recent-requests.ts';
import {
  callerAt,
  freshnessOf,
  rejectedNotice,
  requestId,
  sendAccessPage,
  type AccessContext,
  type Freshness,
  type Rejected,
} from './context.ts';
import { actionCard } from './actions.ts';
import { requestTable } from './request-table.ts';
import { defined } from '../../core/defined.ts';

interface RequestPage {
  readonly context: AccessContext;
  readonly request: AccessRequest;
  readonly may: readonly AccessAction[];
  readonly freshness: Freshness;
  readonly isOwn: boolean;
  /** Of the user who asks; absent on one's own request. */
  readonly background: RequesterBackground | undefined;
  /** Of the revocation that ended the grant, for thirty days. */
  readonly ended: RevocationReceipt | undefined;
  readonly rejected?: Rejected;
  readonly nowMs: number;
}

function termsCard({ request: { terms, seconds, grant } }: RequestPage): Html {
  const list = facts([
    ['Role', html`<strong>${terms.name}</strong><span class="own-line">${terms.description}</span>`],
    ['Groups', nameList(terms.groups, 'none')],
    ['Clusters', clusterList(terms)],
    [
      'For how long',
      [
        minutesText(seconds),
        grant !== undefined && html`<span class="small muted own-line">${periodText(grant)}</span>`,
      ],
    ],
    ['Approval', approvalText(terms)],
  ]);
  return card('terms', 'What it gives', list);
}

function requesterCard({ request, isOwn }: RequestPage): Html {
  const { username, account, reason, requestedAt, deviceName, address, session, terms } = request;
  const from = `from ${address === '' ? '–' : address}`;
  const list = facts([
    [
      'User',
      html`<strong><bdi>${username}</bdi></strong
        ><code class="small own-line">${account}</code>`,
    ],
    [
      isOwn ? 'Your reason' : 'Reason, as they gave it',
      reason === '' ? html`<span class="muted">none given</span>` : quotedReason(reason),
    ],
    ['Requested', moment(requestedAt)],
    [
      'For the session',
      [
        deviceName !== undefined && [quotedName(deviceName), ', '],
        from,
        html`<code class="small own-line">${session}</code>`,
      ],
    ],
    ['May ask for it', `members of ${terms.requesters.join(' or ')}`],
  ]);
  return card('who', isOwn ? 'You ask' : 'Who asks', list);
}

const decisionRow = ({ username, account, at, approved, reason, lapsed }: AccessDecision): Html =>
  html`<li>
    <span class="state ${approved ? 'ok' : 'bad'}">${approved ? 'Approved' : 'Denied'}</span> by
    <strong><bdi>${username}</bdi></strong> <span class="small muted">${account}</span>,
    ${moment(at)}${reason !== undefined && reason !== '' && html`: ${quotedReason(reason)}`}
    ${lapsed !== undefined && html`<strong>Counts no longer</strong>: ${LAPSE_TEXTS[lapsed]}.`}
  </li>`;

function decisionsCard({ request, nowMs }: RequestPage): Html | false {
  const { terms, decisions, openUntil } = request;
  const needed = approvalsNeeded(terms);
  if (needed === 0) return false;
  const approvals = approvalsOf(request).length;
  const missing = needed - approvals;
  return html`<section class="card" aria-labelledby="decisions">
    <h2 id="decisions">Decisions</h2>
    ${
      isOpen(request, nowMs / 1000) &&
      html`<p>
        ${approvals} of ${needed} approvals; ${missing} more ${missing === 1 ? 'is' : 'are'} needed before
        ${moment(openUntil)}.
      </p>`
    }
    ${
      decisions.length === 0
        ? !isOpen(request, nowMs / 1000) && html`<p>No one decided.</p>`
        : html`<ul class="list stack">
            ${decisions.map(decisionRow)}
          </ul>`
    }
  </section>`;
}

function backgroundCards({ context: { deps }, background, nowMs }: RequestPage): Html | false {
  if (background === undefined) return false;
  const { recent, former } = background;
  return html`<section class="card" aria-labelledby="former">
      <h2 id="former">What else they asked for</h2>
      ${
        former.length === 0
          ? html`<p class="empty">Nothing else in the last thirty days.</p>`
          : requestTable({ requests: former, nowMs, action: 'Open' })
      }
    </section>
    <section class="card" aria-labelledby="recent">
      <h2 id="recent">Their latest requests</h2>
      ${requestsTable(deps, recent)}
    </section>`;
}

function receiptSection({ request: { grant }, ended }: RequestPage): Html | false {
  if (grant?.endedAt === undefined) return false;
  return html`<h2 id="receipt">Receipt of its end</h2>
    ${
      ended === undefined
        ? html`<div class="card">
            <p class="empty">There is none, or it is older than thirty days. The audit log has how it ended.</p>
          </div>`
        : receipt(ended, 'grant')
    }`;
}

function pageBody(content: RequestPage): Html {
  const { context, request, isOwn, nowMs, rejected, may, freshness } = content;
  const { terms, username, id } = request;
  return html`<div class="page-head">
      <h1>${isOwn ? html`Your request for ${terms.name}` : html`${terms.name} for <bdi>${username}</bdi>`}</h1>
      <p class="lead" role="status" data-version="${versionOf(request)}">${stateOf(request, nowMs)}</p>
    </div>
    ${rejected !== undefined && rejectedNotice(rejected, accessHref(id))}
    <div class="grid">${requesterCard(content)} ${termsCard(content)}</div>
    ${actionCard({ request, may, freshness, isOwn, csrf: context.user.csrf })} ${decisionsCard(content)}
    ${receiptSection(content)} ${backgroundCards(content)}
    <p><a class="button quiet" href="/access">All requests</a></p>`;
}

/** An admin or auditor who reads about another user is audited, as on the admin pages. */
function auditRead({ deps, req, user }: AccessContext, { id, account }: AccessRequest, status: number): void {
  if (account === user.account || roleOf(user, deps.config) === undefined) return;
  const details = { target: `grant:${id}` };
  record(deps, contextOf(req), {
    event: 'admin-read',
    path: req.path,
    code: status,
    reason: 'access_request',
    details,
  });
}

/**
 * Shows a request as it is now.
 * @param rejected why the form that was sent changed nothing
 */
export async function showRequest(context: AccessContext, rejected?: Rejected): Promise<void> {
  const { deps, access, results, user } = context;
  const caller = callerAt(context);
  const request = passed(ACCESS, await access.find(caller, requestId(context)));
  const isOwn = request.account === user.account;
  const revocation = request.grant?.revocation;
  const [background, ended] = await Promise.all([
    isOwn ? undefined : access.background(caller, request).then((found) => passed(ACCESS, found)),
    // The page is useful without it.
    revocation === undefined ? undefined : results.find(revocation).catch(() => undefined),
  ]);
  const nowMs = deps.clock.nowMs();
  const may = access.may(caller, request);
  const content = { context, request, may, freshness: freshnessOf(context), isOwn, background, ended, nowMs };
  const body = pageBody({ ...content, ...defined({ rejected }) });
  const status = rejected?.status ?? 200;
  auditRead(context, request, status);
  const waits = isOwn && rejected === undefined && isOpen(request, nowMs / 1000);
  sendAccessPage(context, {
    title: isOwn ? 'Your request' : 'Access request',
    status,
    body,
    scripts: waits ? ['refresh.js'] : [],
  });
}

/** What the caller may do with a request: the forms, and their handlers. A GET changes nothing. */
import { ACCESS } from '../../core/api/rejections.ts';
import type { AccessAction } from '../../services/access/access.ts';
import { MOST_REASON, type AccessRequest } from '../../core/access/request.ts';
import { record } from '../../http/audit-events.ts';
import { appErrorOf } from '../../http/error-status.ts';
import { passed, ProblemError } from '../../http/problem.ts';
import { contextOf } from '../../http/request-context.ts';
import { field } from '../browser/guards.ts';
import { accessHref } from '../page/access-text.ts';
import { html, type Html } from '../page/html.ts';
import { csrfField } from '../page/layout.ts';
import { receipt } from '../page/receipt.ts';
import { seeOther } from '../page/response.ts';
import {
  callerAt,
  freshHref,
  rejectedOf,
  requestId,
  sendAccessPage,
  type AccessContext,
  type Freshness,
  type Rejected,
} from './context.ts';
import { defined } from '../../core/defined.ts';

interface Actions {
  readonly request: AccessRequest;
  readonly may: readonly AccessAction[];
  readonly freshness: Freshness;
  readonly isOwn: boolean;
  readonly csrf: string;
}

interface ActionForm {
  readonly path: 'approve' | 'deny' | 'end';
  readonly label: string;
  readonly danger?: true;
  /** The label of the field for the reason; absent: there is none. */
  readonly reason?: { readonly label: string; readonly required: boolean };
}

/** Forms of their own, so that Enter in a field sends what stands beside it. */
function form({ path, label, danger, reason }: ActionForm, { request, csrf }: Actions): Html {
  const id = `${path}-reason`;
  return html`<form class="filters" method="post" action="${accessHref(request.id)}/${path}">
    ${csrfField(csrf)}
    ${
      reason !== undefined &&
      html`<div class="field search">
        <label for="${id}">${reason.label}</label>
        <input
          type="text"
          id="${id}"
          name="reason"
          ${reason.required && html`required`}
          maxlength="${MOST_REASON}"
          autocomplete="off"
        />
      </div>`
    }
    <button class="button ${danger === true && 'danger'}">${label}</button>
  </form>`;
}

function decisionForms(actions: Actions): Html {
  const { request, may, freshness } = actions;
  if (freshness === 'unprovable') {
    return html`<p>
      Your identity provider does not say when you signed in there, so you cannot decide with this sign-in. Sign in with
      another provider, or ask another approver.
    </p>`;
  }
  if (freshness === 'stale') {
    return html`<p>To decide you must have signed in just now. After the sign-in you return to this page.</p>
      <p><a class="button" href="${freshHref(accessHref(request.id))}">Sign in again to decide</a></p>`;
  }
  return html`${
    may.includes('approve') &&
    form({ path: 'approve', label: 'Approve', reason: { label: 'Note (optional)', required: false } }, actions)
  }
  ${
    may.includes('deny') &&
    form({ path: 'deny', label: 'Deny', danger: true, reason: { label: 'Why not', required: true } }, actions)
  }`;
}

/** Returns the card with the forms; nothing where the caller may do nothing. */
export function actionCard(actions: Actions): Html | false {
  const { may, isOwn } = actions;
  if (may.length === 0) return false;
  const decides = may.includes('approve') || may.includes('deny');
  const why = isOwn ? undefined : ({ label: 'Why', required: true } as const);
  const withReason = defined({ reason: why });
  return html`<section class="card" aria-labelledby="actions">
    <h2 id="actions">${decides ? 'Decide' : may.includes('end') ? 'End it' : 'Withdraw it'}</h2>
    ${decides && decisionForms(actions)}
    ${
      may.includes('end') &&
      html`<p>The groups go at once, on every replica, and everything that was opened with them is cut.</p>
        ${form({ path: 'end', label: 'End it now', danger: true, ...withReason }, actions)}`
    }
    ${may.includes('withdraw') && form({ path: 'end', label: 'Withdraw the request' }, actions)}
  </section>`;
}

/** Audits what is shown on the page instead of being thrown. */
export function auditShown({ deps, req }: AccessContext, thrown: unknown, { status }: Rejected): void {
  if (thrown instanceof ProblemError && thrown.audited) return;
  const { error } = appErrorOf(thrown);
  record(deps, contextOf(req), { event: 'access-refused', path: req.path, code: status, reason: error.reason });
}

type Show = (context: AccessContext, rejected: Rejected) => Promise<void>;

/** Runs a change, and shows the page as it is now where the change was rejected: someone else may have been faster. */
async function changed(context: AccessContext, show: Show, change: () => Promise<void>): Promise<void> {
  try {
    await change();
  } catch (thrown) {
    const rejected = rejectedOf(thrown);
    auditShown(context, thrown, rejected);
    await show(context, rejected);
  }
}

/** Returns the handler of `approve` and `deny`. It leads back to the page, so that a reload sends nothing again. */
export function handleDecision(decision: 'approve' | 'deny', show: Show): (context: AccessContext) => Promise<void> {
  return (context) =>
    changed(context, show, async () => {
      const { access, req, res } = context;
      const reason = field(req, 'reason');
      const id = requestId(context);
      passed(ACCESS, await access[decision](callerAt(context), id, reason));
      seeOther(res, accessHref(id));
    });
}

/** Returns the handler that ends a grant, and shows its receipt, or withdraws a request. */
export function handleEnd(show: Show): (context: AccessContext) => Promise<void> {
  return (context) =>
    changed(context, show, async () => {
      const { access, req, res } = context;
      const reason = field(req, 'reason');
      const id = requestId(context);
      const { request, result } = passed(ACCESS, await access.end(callerAt(context), id, reason));
      if (result === undefined) return seeOther(res, accessHref(id));
      const body = html`<h1>Access ended</h1>
        <p class="lead">${request.terms.name} for <bdi>${request.username}</bdi></p>
        ${receipt(result, 'grant')}
        <p><a class="button" href="/access">Back to access requests</a></p>`;
      sendAccessPage(context, { title: 'Access ended', body });
    });
}

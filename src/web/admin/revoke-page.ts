/**
 * `/admin/revoke`: asks once more, then does it and leads to the receipt.
 */
import { randomUUID } from 'node:crypto';
import type { RevocationResult } from '../../revocation/revocation.ts';
import { field } from '../browser/guards.ts';
import { nowSeconds } from '../../contracts/clock.ts';
import { seeOther, sendPage } from '../page/response.ts';
import { appErrorOf } from '../../http/error-status.ts';
import { html } from '../page/html.ts';
import { freshOrRedirect } from './fresh-page.ts';
import { AdminError } from '../../admin/problem.ts';
import { planOf, targetName } from '../../admin/revocation-request.ts';
import { revocationStatus } from '../../admin/revoke.ts';
import { adminContextAt, auditRead, sendAdminPage, type AdminHandler, type AdminPageContext } from './admin-frame.ts';
import type { Begun, BeginRevocation } from './begin-revocation.ts';
import { ifFresh } from './fresh-page.ts';
import { receiptHref, revokeHref } from './links.ts';
import { secondsOf } from './locks-body.ts';
import { receiptBody } from './receipt-body.ts';
import { formFields, linkFields, requestIdOf, requestOf, type RevocationFields } from './revocation-fields.ts';
import { scopeOf } from './revocation-scope.ts';
import { confirmBody, secondAdminBody, sendAgainBody } from './revoke-body.ts';

/** Asks once more, with the reason; a link leads here from each session's row. */
export async function confirm(context: AdminPageContext): Promise<void> {
  const { deps, req, res, person } = context;
  const fields = linkFields(req);
  const request = requestOf(fields, { reason: 'not given yet' });
  if (!freshOrRedirect(deps, req, res, person)) return;
  const plan = await planOf(deps, request);
  const scope = await scopeOf(deps, plan.target);
  auditRead(context, 'sessions', { target: targetName(plan.target) });
  const body = confirmBody({
    fields,
    scope,
    now: nowSeconds(deps),
    canSignInAgain: plan.canSignInAgain,
    dualControl: deps.config.admin.dualControl === 'on',
    requestId: randomUUID(),
    csrf: person.csrf,
  });
  sendAdminPage(context, { title: 'Revoke', section: 'sessions', body });
}

/** Does it. */
export function revokeNow(begin: BeginRevocation): AdminHandler {
  return async (context) => {
    const { req } = context;
    const fields = formFields(req);
    const requestId = requestIdOf(req);
    const reason = field(req, 'reason');
    const request = { ...requestOf(fields, { reason, requestId }), requestId };
    await ifFresh(context, revokeHref(fields), async () => {
      try {
        await leadToReceipt(context, await begin(adminContextAt(context), request));
      } catch (thrown) {
        if (!(thrown instanceof AdminError)) throw thrown;
        if (thrown.problem === 'second_admin_needed') return askSecond(context, fields, reason, thrown);
        // This replica refuses the target all the same: who has ended their own session has no page any more.
        if (thrown.problem !== 'revocation_not_written' || !isGood(context)) throw thrown;
        offerAgain(context, fields, { reason, requestId }, thrown);
      }
    });
  };
}

function isGood({ person }: AdminPageContext): boolean {
  try {
    person.assertGood();
    return true;
  } catch {
    return false;
  }
}

/** Whoever has ended their own session, by what they revoked, could not open the receipt any more. */
async function leadToReceipt(context: AdminPageContext, { answer, proven }: Begun): Promise<void> {
  if (isGood(context)) seeOther(context.res, receiptHref(answer.id));
  else sendLastReceipt(context, await proven);
}

function sendLastReceipt({ res }: AdminPageContext, answer: RevocationResult): void {
  const body = html`<p class="notice">
      You have ended your own session with it. <a href="/login?to=admin">Sign in again</a> to go on.
    </p>
    ${receiptBody(answer, undefined, false)}`;
  sendPage(res, revocationStatus(answer), { title: 'Revocation', body, styles: ['admin.css'] });
}

function askSecond(
  { deps, ...context }: AdminPageContext,
  fields: RevocationFields,
  reason: string,
  error: AdminError,
): void {
  const { approval = '', expiresAt = '' } = error.members;
  const link = new URL(revokeHref({ ...fields, approval }), deps.config.publicUrl).href;
  const body = secondAdminBody({ fields, reason, approval, expiresAt: secondsOf(expiresAt), link });
  const { status } = appErrorOf(error);
  sendAdminPage({ deps, ...context }, { title: 'A second admin is needed', section: 'sessions', status, body });
}

function offerAgain(
  context: AdminPageContext,
  fields: RevocationFields,
  said: { readonly reason: string; readonly requestId: string },
  error: AdminError,
): void {
  const { status } = appErrorOf(error);
  const body = sendAgainBody({ fields, ...said, csrf: context.person.csrf, words: error.message });
  sendAdminPage(context, { title: 'Not written', section: 'sessions', status, body });
}

/**
 * What an admin sees whose sign-in is too old for a change: nothing was done, and the way to prove who they are and come back.
 */
import { faultOf } from '../../http/error-status.ts';
import { html } from '../page/html.ts';
import { record } from '../../http/audit-events.ts';
import { contextOf } from '../../http/request-context.ts';
import { assertFresh } from '../../admin/freshness.ts';
import { AdminError } from '../../admin/problem.ts';
import { sendAdminPage, type AdminPageContext } from './admin-frame.ts';
import { freshHref } from './links.ts';

/**
 * Changes something where the sign-in is fresh enough for that; where it is not says so.
 * @param back the page of ours from which it can be tried again
 * @throws what `assertFresh` throws otherwise, and what the change throws
 */
export async function ifFresh(context: AdminPageContext, back: string, change: () => Promise<void>): Promise<void> {
  try {
    assertFresh(context.deps, context.person);
  } catch (thrown) {
    if (!(thrown instanceof AdminError && thrown.problem === 'fresh_sign_in_needed')) throw thrown;
    const { error, status } = faultOf(thrown);
    const { deps, req } = context;
    if (!thrown.recorded) {
      record(deps, contextOf(req), { event: 'admin-refused', path: req.path, code: status, reason: error.reason });
    }
    return sendAdminPage(context, {
      title: 'Sign in once more',
      section: 'sessions',
      status,
      body: html`<h1>Sign in once more</h1>
        <div class="card">
          <p role="alert">${error.message}</p>
          <p class="muted">Nothing was changed. You come back to the page that you were at.</p>
          <a class="button" href="${freshHref(back)}">Sign in again</a>
        </div>`,
    });
  }
  await change();
}

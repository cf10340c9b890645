/**
 * The page for an admin whose sign-in is too old for a change: nothing was changed, and a link leads to a fresh
 * sign-in and back.
 */
import type { Request, Response } from 'express';
import { appErrorOf } from '../../http/error-status.ts';
import { html } from '../page/html.ts';
import { record } from '../../http/audit-events.ts';
import { contextOf } from '../../http/request-context.ts';
import { AdminError, assertFresh, isFresh } from '../../services/admin/admin.ts';
import type { SignedIn } from '../browser/browser-session.ts';
import type { WebDeps } from '../dependencies.ts';
import { seeOther } from '../page/response.ts';
import { adminReturnPath } from '../sign-in/admin-path.ts';
import { sendAdminPage, type AdminPageContext } from './admin-frame.ts';
import { freshHref } from './links.ts';

/**
 * Runs a change where the sign-in is fresh enough; otherwise sends the page that asks for a fresh sign-in.
 * @param back the page from which the admin can try again
 * @throws the other errors of `assertFresh`, and the errors of the change
 */
export async function whenFresh(context: AdminPageContext, back: string, change: () => Promise<void>): Promise<void> {
  try {
    assertFresh(context.deps, context.user);
  } catch (thrown) {
    if (!(thrown instanceof AdminError && thrown.problem === 'fresh_sign_in_needed')) throw thrown;
    const { error, status } = appErrorOf(thrown);
    const { deps, req } = context;
    if (!thrown.audited) {
      record(deps, contextOf(req), { event: 'admin-refused', path: req.path, code: status, reason: error.reason });
    }
    const body = html`<h1>Sign in again</h1>
      <div class="card">
        <p role="alert">${error.message}</p>
        <p class="muted">Nothing was changed. After the sign-in you return to the page that you came from.</p>
        <a class="button" href="${freshHref(back)}">Sign in again</a>
      </div>`;
    return sendAdminPage({ ...context, tab: '/admin' }, { title: 'Sign in again', status, body });
  }
  await change();
}

/**
 * Redirects an admin whose sign-in is too old to a fresh sign-in, on a page that leads to a change: the change
 * would be rejected afterwards. The sign-in leads back to this page.
 * @returns false where the browser was redirected
 * @throws AdminError `freshness_unprovable`
 */
export function freshOrRedirect(deps: WebDeps, req: Request, res: Response, { record }: SignedIn): boolean {
  const { freshness: withinSeconds } = deps.config.admin;
  if (withinSeconds === 'off' || isFresh(deps, record, withinSeconds)) return true;
  seeOther(res, freshHref(adminReturnPath(req.originalUrl) ?? '/admin'));
  return false;
}

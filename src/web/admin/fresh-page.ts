/**
 * The page for an admin whose sign-in is too old for a change: nothing was changed, and a link leads to a fresh
 * sign-in and back.
 */
import type { Request, Response } from 'express';
import { ADMIN } from '../../core/api/rejections.ts';
import { ok } from '../../core/result.ts';
import { problemFor } from '../../http/problem.ts';
import { html } from '../page/html.ts';
import { keptCard } from '../page/kept-form.ts';
import { record } from '../../http/audit-events.ts';
import { contextOf } from '../../http/request-context.ts';
import { judgeAdminFreshness, judgeFreshness } from '../../services/admin/admin.ts';
import type { SignedIn } from '../browser/browser-session.ts';
import type { WebDeps } from '../dependencies.ts';
import { seeOther } from '../page/response.ts';
import { adminReturnPath } from '../sign-in/admin-path.ts';
import { sendAdminPage, type AdminPageContext } from './admin-frame.ts';
import { freshHref } from './links.ts';

/**
 * Runs a change where the sign-in is fresh enough; otherwise sends the page that asks for a fresh sign-in.
 * @param back the page from which the admin can try again
 * @throws the other errors of a judgement, and the errors of the change
 */
export async function whenFresh(context: AdminPageContext, back: string, change: () => Promise<void>): Promise<void> {
  const judged = judgeAdminFreshness(context.deps, context.user);
  if (!judged.ok) {
    const error = problemFor(ADMIN, judged.reason);
    const { problem, status, message } = error;
    if (problem !== 'fresh_sign_in_needed') throw error;
    const { deps, req } = context;
    record(deps, contextOf(req), { event: 'admin-refused', path: req.path, code: status, reason: problem });
    const body = html`<h1>Sign in again</h1>
      <div class="notice bad"><p role="alert">${message}</p></div>
      ${keptCard(req, { error, status, signIn: freshHref(back) })}`;
    return sendAdminPage(context, { title: 'Sign in again', status, body });
  }
  await change();
}

/**
 * Redirects an admin whose sign-in is too old to a fresh sign-in, on a page that leads to a change: the change
 * would be rejected afterwards. The sign-in leads back to this page.
 * @returns false where the browser was redirected
 * @throws ProblemError `freshness_unprovable`
 */
export function freshOrRedirect(deps: WebDeps, req: Request, res: Response, { record }: SignedIn): boolean {
  const { freshness: withinSeconds } = deps.config.admin;
  const judged = withinSeconds === 'off' ? ok(undefined) : judgeFreshness(deps, record, withinSeconds);
  if (judged.ok) return true;
  if (judged.reason.reason === 'freshness_unprovable') throw problemFor(ADMIN, judged.reason);
  seeOther(res, freshHref(adminReturnPath(req.originalUrl) ?? '/admin'));
  return false;
}

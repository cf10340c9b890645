/**
 * What an admin sees whose sign-in is too old for a change: nothing was done, and the way to prove who they are and come back.
 */
import type { Request, Response } from 'express';
import { appErrorOf } from '../../http/error-status.ts';
import { html } from '../page/html.ts';
import { record } from '../../http/audit-events.ts';
import { contextOf } from '../../http/request-context.ts';
import { assertFresh, isFresh } from '../../admin/freshness.ts';
import type { SignedIn } from '../browser/browser-session.ts';
import type { WebDeps } from '../dependencies.ts';
import { seeOther } from '../page/response.ts';
import { ownAdminPath } from '../sign-in/admin-path.ts';
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
    const { error, status } = appErrorOf(thrown);
    const { deps, req } = context;
    if (!thrown.audited) {
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

/** The page that has somebody prove anew who they are, and leads back to `path`. */
const freshSignIn = (path: string): string => `/login/fresh?${new URLSearchParams({ to: path }).toString()}`;

/**
 * For pages on which somebody is about to change something: who would be refused afterwards is sent to sign in first, and comes back here.
 * @returns false where the browser has been sent away
 * @throws AdminError `freshness_unprovable`
 */
export function freshOrRedirect(deps: WebDeps, req: Request, res: Response, { record }: SignedIn): boolean {
  const { freshness: withinSeconds } = deps.config.admin;
  if (withinSeconds === 'off' || isFresh(deps, record, withinSeconds)) return true;
  seeOther(res, freshSignIn(ownAdminPath(req.originalUrl) ?? '/admin'));
  return false;
}

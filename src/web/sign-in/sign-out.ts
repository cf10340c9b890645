/**
 * The sign-out: ends our session and redirects the browser to the provider, to sign out there as well (OpenID
 * Connect RP-Initiated Logout 1.0). Otherwise the next click on "Sign in" would admit any user of the browser by
 * then.
 */
import type { Request, Response } from 'express';
import { seeOther, sendPage } from '../page/response.ts';
import type { BrowserSessions, SignedIn } from '../browser/browser-session.ts';
import type { WebDeps } from '../dependencies.ts';
import { html } from '../page/html.ts';
import { mark } from '../page/layout.ts';
import { record, requestFacts, type AuditedAct } from '../../http/audit-events.ts';
import { contextOf, type RequestContext } from '../../http/request-context.ts';
import { revokeAudited } from '../../revocation/revocation.ts';

/** The state that the provider returns to our front page, at `/?state=…`. */
export const SIGNED_OUT = 'signed-out';

/** Ends a session of a browser's user; what comes of it is for the caller to audit. */
export async function endSession(
  deps: WebDeps,
  context: RequestContext,
  happening: Pick<AuditedAct, 'path' | 'reason'> & { readonly about: SignedIn },
): Promise<void> {
  const target = { kind: 'session', session: happening.about.session } as const;
  await revokeAudited(deps, { target, ended: true }, requestFacts(context, happening));
}

/** Ends the session, deletes the browser's cookie, and redirects to the provider where it supports that. */
export async function signOut(
  { deps, browsers }: { readonly deps: WebDeps; readonly browsers: BrowserSessions },
  req: Request,
  res: Response,
  user: SignedIn,
): Promise<void> {
  // Both at the same time: even when the store is unavailable, no user is signed in at this browser any more.
  const [forgotten, ended] = await Promise.allSettled([
    browsers.forget(req, res),
    endSession(deps, contextOf(req), { path: req.path, reason: 'signed_out', about: user }),
  ]);
  const failed = [forgotten, ended].find((outcome) => outcome.status === 'rejected');
  record(deps, contextOf(req), {
    event: 'logout',
    path: req.path,
    code: failed === undefined ? 303 : 503,
    reason: failed === undefined ? 'signed_out' : 'not_written',
  });
  if (failed !== undefined) throw failed.reason;
  const url = await providerSignOutUrl(deps, user);
  if (url === undefined) return seeOther(res, '/?signed-out');
  sendProviderSignOut(res, user.record.provider, url);
}

/** A provider that is unavailable prevents no sign-out here. */
async function providerSignOutUrl(deps: WebDeps, { record: session, idToken }: SignedIn): Promise<URL | undefined> {
  const logout = deps.providers.get(session.provider)?.logout;
  try {
    return await logout?.endSession({ idToken, returnTo: `${deps.config.publicUrl}/`, state: SIGNED_OUT });
  } catch (error) {
    deps.logger.warn(
      { err: error, provider: session.provider },
      'no sign-out URL from the provider; the user stays signed in there',
    );
    return undefined;
  }
}

/**
 * Sends a page instead of a redirect: this is the response to a form, and Chromium applies `form-action` to all
 * redirects after one. Providers redirect to further hosts that we cannot list. A `Refresh` header begins a new
 * navigation.
 */
function sendProviderSignOut(res: Response, provider: string, url: URL): void {
  res.setHeader('Refresh', `0; url=${url.href}`);
  const body = html`<div class="card">
    ${mark()}
    <h1>Signed out here</h1>
    <p role="status">You are signed out of Portcullis. You are being taken to ${provider}, to sign out there too.</p>
    <p><a class="button wide" href="${url.href}">Go on to ${provider}</a></p>
    <p><a href="/">Stay signed in at ${provider}</a></p>
  </div>`;
  sendPage(res, 200, { title: 'Signed out', narrow: true, body });
}

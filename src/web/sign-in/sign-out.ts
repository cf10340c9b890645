/**
 * Signing out at these pages: our session ends, and the browser is led to the provider, to sign out there as well (OpenID Connect RP-Initiated
 * Logout 1.0). Else the next click on "Sign in" would let in whoever sits at the screen by then.
 */
import type { Request, Response } from 'express';
import { seeOther, sendPage } from '../page/response.ts';
import type { BrowserSessions, SignedIn } from '../browser/browser-session.ts';
import type { WebDeps } from '../dependencies.ts';
import { html } from '../page/html.ts';
import { mark } from '../page/layout.ts';
import { record } from '../../http/audit-events.ts';
import { contextOf } from '../../http/request-context.ts';

/** What the provider gives back to our front page, at `/?state=…`. */
export const SIGNED_OUT = 'signed-out';

/** Ends the session and forgets the browser, and goes on to the provider where it has a place for that. */
export async function signOut(
  { deps, browsers }: { readonly deps: WebDeps; readonly browsers: BrowserSessions },
  req: Request,
  res: Response,
  user: SignedIn,
): Promise<void> {
  // The browser forgets first: even when the store is away nobody is signed in at this screen any more.
  const [forgotten, ended] = await Promise.allSettled([
    browsers.forget(req, res),
    deps.guard.revoke({ target: { kind: 'session', session: user.session }, ended: true }),
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

/** A provider that is away keeps nobody from signing out here. */
async function providerSignOutUrl(deps: WebDeps, { record: session, idToken }: SignedIn): Promise<URL | undefined> {
  const logout = deps.providers.get(session.provider)?.logout;
  try {
    return await logout?.endSession({ idToken, returnTo: `${deps.config.publicUrl}/`, state: SIGNED_OUT });
  } catch (error) {
    deps.logger.warn(
      { err: error, provider: session.provider },
      'nobody could be led to the provider to sign out there',
    );
    return undefined;
  }
}

/**
 * Not a redirect: this answers a form, and Chromium holds the whole chain of redirects after one to `form-action`, which providers extend by
 * hosts that nobody can list. A refresh begins a navigation of its own.
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

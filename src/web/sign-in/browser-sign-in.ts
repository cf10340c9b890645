/**
 * The sign-in at the pages themselves. In a login CSRF, an attacker makes a user's browser finish the attacker's
 * sign-in, and the user works in the attacker's account; so the browser that finishes must hold the cookie of the
 * browser that began.
 */
import { createHash } from 'node:crypto';
import { Router, type Request, type RequestHandler, type Response } from 'express';
import { BROWSER_CLIENT } from '../../core/core.ts';
import { AppError } from '../../core/errors.ts';
import { parameter, queryOf, seeOther, sendPage } from '../page/response.ts';
import type { BrowserSessions, SignedIn } from '../browser/browser-session.ts';
import { freshReturnPath } from './admin-path.ts';
import { choosePage } from './choose-page.ts';
import { browserCookie, newCookieValue, type BrowserCookie } from '../browser/cookies.ts';
import { onlyProvider, providerChoices, rememberProvider } from '../browser/provider-choices.ts';
import type { WebDeps } from '../dependencies.ts';
import { html } from '../page/html.ts';
import {
  beginLogin,
  LOGIN_SECONDS,
  returnTargetOf,
  returnPath,
  consumeLogin,
  type LoginPurpose,
  type PurposeFor,
  type ReturnTarget,
} from './login-transaction.ts';
import type { RateLimiter } from '../../core/rate-limit.ts';
import { finishStep, handOver, openSession, signInStep, type OpenedSession } from './sign-in.ts';
import { limitSignIns } from './sign-in-limit.ts';
import { endSession, SIGNED_OUT } from './sign-out.ts';
import { record } from '../../http/audit-events.ts';
import { contextOf, noteActor, type RequestContext } from '../../http/request-context.ts';
import { defined } from '../../core/defined.ts';

const hashOf = (value: string): string => createHash('sha256').update(value).digest('base64url');

/** A provider where the user has signed out, too, redirects back with the state that it was given. */
const isSignedOut = (req: Request): boolean =>
  req.query['signed-out'] !== undefined || req.query['state'] === SIGNED_OUT;

/** The page for `/` without a session, and for `/login`. */
function loginPage(deps: WebDeps, browsers: BrowserSessions): RequestHandler {
  return async (req, res) => {
    const notice = isSignedOut(req) ? 'You are signed out here.' : await browsers.whyEnded(req);
    const body = choosePage({
      heading: 'Portcullis',
      lead: html`Secure access to your Kubernetes clusters. Sign in to see your sessions and to download a kubeconfig.`,
      providers: providerChoices(deps, req),
      start: `/login/start?to=${returnTargetOf(req.query['to'])}&`,
      notice,
      devices: deps.devices !== undefined && deps.config.sessions.deviceCode !== 'off',
    });
    sendPage(res, 200, { title: 'Sign in', narrow: true, body });
  };
}

/**
 * Redirects to the provider directly where there is only one. Not from the front page, and not right after signing
 * out, because that would undo the sign-out. Nor where the provider or a rule has rejected this user, who would
 * never read the reason.
 */
function redirectIfOnlyProvider(deps: WebDeps, browsers: BrowserSessions, choose: RequestHandler): RequestHandler {
  return async (req, res, next) => {
    const provider = onlyProvider(deps);
    const stays = provider === undefined || isSignedOut(req) || (await browsers.whyEnded(req)) !== undefined;
    if (stays) return choose(req, res, next);
    const start = new URLSearchParams({ provider, to: returnTargetOf(req.query['to']) });
    seeOther(res, `/login/start?${start.toString()}`);
  };
}

function frontPage(browsers: BrowserSessions, signedOut: RequestHandler): RequestHandler {
  return async (req, res, next) => {
    const user = await browsers.current(req);
    if (user !== undefined) return seeOther(res, '/me');
    await signedOut(req, res, next);
  };
}

interface LoginStart {
  readonly req: Request;
  readonly res: Response;
  readonly provider: string | undefined;
  readonly to: ReturnTarget;
  /** The page of ours that asks for a fresh sign-in, where one does. */
  readonly back?: string;
}

async function redirectToProvider(deps: WebDeps, cookie: BrowserCookie, start: LoginStart): Promise<void> {
  const { req, res, provider, to, back } = start;
  // An existing value is kept, so that a second tab does not break the sign-in of the first.
  const value = cookie.read(req) ?? newCookieValue();
  const purpose: LoginPurpose = { for: 'browser', browser: hashOf(value), to, ...defined({ back }) };
  const url = await beginLogin(deps, contextOf(req), { provider, purpose, fresh: back !== undefined });
  cookie.set(res, value, LOGIN_SECONDS);
  seeOther(res, url.href);
}

function start(deps: WebDeps, cookie: BrowserCookie): RequestHandler {
  return async (req, res) => {
    const provider = parameter(req.query['provider']);
    await signInStep(deps, contextOf(req), { path: '/login/start', provider }, () =>
      redirectToProvider(deps, cookie, { req, res, provider, to: returnTargetOf(req.query['to']) }),
    );
  };
}

/** Returns the target of the same page, for a sign-in that need not be a fresh one. */
const targetOf = (back: string): ReturnTarget =>
  back.startsWith('/access')
    ? returnTargetOf(back.replace('/access/', 'access:').replace(/^\/access.*/, 'access'))
    : 'admin';

/**
 * For a user whose sign-in is too old for a change (`admin.freshness`, `access.freshness`): redirects to their own provider, and
 * back to their page afterwards.
 */
function startFresh(deps: WebDeps, cookie: BrowserCookie, browsers: BrowserSessions): RequestHandler {
  return async (req, res) => {
    const context = contextOf(req);
    const user = await browsers.current(req);
    if (user !== undefined) noteActor(req, user);
    const provider = user?.record.provider;
    await signInStep(deps, context, { path: '/login/fresh', provider }, async () => {
      const back = freshReturnPath(req.query['to']);
      if (back === undefined) {
        const message = 'This sign-in has no page to return to. Open /admin or /access, and start there.';
        throw new AppError('bad_request', message, { reason: 'return_path_refused' });
      }
      if (user === undefined) return seeOther(res, `/login?to=${targetOf(back)}`);
      await redirectToProvider(deps, cookie, { req, res, provider, to: targetOf(back), back });
    });
  };
}

/**
 * Ends the session that this browser had before, so that one browser has one session. The session of another user
 * stays, because that user may return.
 *
 * @param sessions.previous the user who was signed in at this browser
 */
async function endPreviousSession(
  deps: WebDeps,
  context: RequestContext,
  { previous, session }: { readonly previous: SignedIn | undefined; readonly session: OpenedSession },
): Promise<void> {
  if (previous?.account !== session.account) return;
  const happening = { path: '/login/finish', reason: 'signed_in_anew', about: previous };
  await endSession(deps, context, happening);
  record(deps, context, { ...happening, event: 'logout', code: 303 });
}

function finish(deps: WebDeps, cookie: BrowserCookie, browsers: BrowserSessions): RequestHandler {
  return async (req, res) => {
    const context = contextOf(req);
    const value = cookie.read(req);
    const isOwn = (purpose: LoginPurpose): purpose is PurposeFor<'browser'> =>
      purpose.for === 'browser' && value !== undefined && purpose.browser === hashOf(value);
    await signInStep(deps, context, await finishStep(deps, req, '/login/finish'), async () => {
      const login = await consumeLogin(deps, parameter(req.query['state']), isOwn);
      const { back, to } = login.purpose;
      const previous = back === undefined ? undefined : await browsers.current(req);
      const returned = { login, query: queryOf(req.originalUrl), client: BROWSER_CLIENT };
      const outcome = await openSession(deps, context, returned);
      if ('again' in outcome) {
        if (value !== undefined) cookie.set(res, value, LOGIN_SECONDS);
        return seeOther(res, outcome.again.href);
      }
      const { session } = outcome;
      await handOver(deps, context, { session, returned }, async () => {
        await endPreviousSession(deps, context, { previous, session });
        await browsers.begin(res, session);
      });
      rememberProvider(deps, res, session.provider);
      seeOther(res, back ?? returnPath(to));
    });
  };
}

/**
 * Routes: `/`, `/login`, `/login/start`, `/login/fresh`, `/login/finish`. Mount it before `/login/:uid` of the
 * OAuth clients.
 */
export function browserSignIn(deps: WebDeps, browsers: BrowserSessions, limit: RateLimiter): Router {
  const cookie = browserCookie(deps.config.publicUrl, 'portcullis-sign-in');
  const router = Router({ caseSensitive: true, strict: true });
  const page = loginPage(deps, browsers);
  router.get('/', frontPage(browsers, page));
  router.get('/login', redirectIfOnlyProvider(deps, browsers, page));
  router.get('/login/start', limitSignIns(deps, limit), start(deps, cookie));
  router.get('/login/fresh', limitSignIns(deps, limit), startFresh(deps, cookie, browsers));
  router.get('/login/finish', finish(deps, cookie, browsers));
  return router;
}

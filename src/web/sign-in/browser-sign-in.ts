/**
 * Signing in at these pages themselves. Threat: login CSRF, that is, somebody makes your browser finish their sign-in and you work
 * as them; so the browser that finishes must hold the cookie of the browser that began.
 */
import { createHash } from 'node:crypto';
import { Router, type Request, type RequestHandler, type Response } from 'express';
import { BROWSER_CLIENT } from '../../core/core.ts';
import { AppError } from '../../core/errors.ts';
import { parameter, seeOther, sendPage } from '../page/response.ts';
import type { BrowserSessions, SignedIn } from '../browser/browser-session.ts';
import { ownAdminPath } from './admin-path.ts';
import { choosePage } from './choose-page.ts';
import { browserCookie, newCookieValue, type BrowserCookie } from '../browser/cookies.ts';
import { onlyProvider, providerChoices } from '../browser/provider-choices.ts';
import type { WebDeps } from '../dependencies.ts';
import { html } from '../page/html.ts';
import {
  beginLogin,
  LOGIN_SECONDS,
  returnTargetOf,
  returnPath,
  consumeLogin,
  type ReturnTarget,
  type LoginPurpose,
} from './login-transaction.ts';
import type { RateLimiter } from '../../core/rate-limit.ts';
import { finishSignIn, signInStep, type OpenedSession } from './sign-in.ts';
import { limitSignIns } from './sign-in-limit.ts';
import { SIGNED_OUT } from './sign-out.ts';
import { record } from '../../http/audit-events.ts';
import { contextOf, type RequestContext } from '../../http/request-context.ts';

const hashOf = (value: string): string => createHash('sha256').update(value).digest('base64url');

/** A provider that somebody has signed out of as well leads back with the state that it was given. */
const isSignedOut = (req: Request): boolean =>
  req.query['signed-out'] !== undefined || req.query['state'] === SIGNED_OUT;

/** `/` for somebody who is signed out, and `/login`. */
function loginPage(deps: WebDeps, browsers: BrowserSessions): RequestHandler {
  return async (req, res) => {
    const notice = isSignedOut(req) ? 'You are signed out here.' : await browsers.whyEnded(req);
    const body = choosePage({
      heading: 'Portcullis',
      lead: html`The gate in front of your Kubernetes clusters. Sign in to see your sessions and to get a kubeconfig.`,
      providers: providerChoices(deps, req),
      start: `/login/start?to=${returnTargetOf(req.query['to'])}&`,
      notice,
      devices: deps.devices !== undefined && deps.config.sessions.deviceCode !== 'off',
    });
    sendPage(res, 200, { title: 'Sign in', narrow: true, body });
  };
}

/**
 * Where there is no choice, none is asked for: the page that somebody wanted to see is one trip to the provider away. Never
 * from the front page, and never right after signing out: that click would undo itself. Nor where the provider or a rule has
 * refused this user: they would never read it.
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
  /** For who has to prove anew who they are: the page of ours that asks for it. */
  readonly back?: string;
}

async function redirectToProvider(deps: WebDeps, cookie: BrowserCookie, start: LoginStart): Promise<void> {
  const { req, res, provider, to, back } = start;
  // Kept where there is one, so that a second tab does not spoil the first one's sign-in.
  const value = cookie.read(req) ?? newCookieValue();
  const purpose: LoginPurpose = { for: 'browser', browser: hashOf(value), to, ...(back === undefined ? {} : { back }) };
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

/** For an admin whose sign-in is too old for a change (`admin.freshness`): straight to their own provider, and back to where they were. */
function startFresh(deps: WebDeps, cookie: BrowserCookie, browsers: BrowserSessions): RequestHandler {
  return async (req, res) => {
    const context = contextOf(req);
    const user = await browsers.current(req);
    if (user !== undefined) context.actor = user;
    const provider = user?.record.provider;
    await signInStep(deps, context, { path: '/login/fresh', provider }, async () => {
      const back = ownAdminPath(req.query['to']);
      if (back === undefined) {
        const message =
          'After this sign-in there would be no admin page to come back to. Go to /admin, and start there.';
        throw new AppError('bad_request', message, { reason: 'return_path_refused' });
      }
      if (user === undefined) return seeOther(res, '/login?to=admin');
      await redirectToProvider(deps, cookie, { req, res, provider, to: 'admin', back });
    });
  };
}

/**
 * Ends the session that this browser had before, in good order: one screen is one session. Not somebody else's, who may want it back.
 * @param sessions.before who was signed in here
 */
async function endPreviousSession(
  deps: WebDeps,
  context: RequestContext,
  { previous, session }: { readonly previous: SignedIn | undefined; readonly session: OpenedSession },
): Promise<void> {
  if (previous?.account !== session.account) return;
  await deps.guard.revoke({ target: { kind: 'session', session: previous.session }, ended: true });
  record(deps, context, {
    event: 'logout',
    path: '/login/finish',
    code: 303,
    reason: 'signed_in_anew',
    about: previous,
  });
}

function finish(deps: WebDeps, cookie: BrowserCookie, browsers: BrowserSessions): RequestHandler {
  return async (req, res) => {
    const context = contextOf(req);
    const value = cookie.read(req);
    const isOwn = (purpose: LoginPurpose): boolean =>
      purpose.for === 'browser' && value !== undefined && purpose.browser === hashOf(value);
    await finishSignIn(deps, req, res, {
      path: '/login/finish',
      consume: async (state) => {
        const login = await consumeLogin(deps, state, isOwn);
        const { back, to } = login.purpose.for === 'browser' ? login.purpose : { to: 'me' as const };
        const previous = back === undefined ? undefined : await browsers.current(req);
        return {
          login,
          client: BROWSER_CLIENT,
          onAgain: () => value !== undefined && cookie.set(res, value, LOGIN_SECONDS),
          handOver: async (session) => {
            await endPreviousSession(deps, context, { previous, session });
            await browsers.begin(res, session);
          },
          next: back ?? returnPath(to),
        };
      },
    });
  };
}

/** `/`, `/login`, `/login/start`, `/login/fresh`, `/login/finish`. Mount before the OAuth clients' `/login/:uid`. */
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

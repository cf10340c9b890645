/**
 * Signing in at these pages themselves. Threat: login CSRF, that is, somebody makes your browser finish their sign-in and you work
 * as them; so the browser that finishes must hold the cookie of the browser that began.
 */
import { createHash } from 'node:crypto';
import { Router, type RequestHandler } from 'express';
import { BROWSER_CLIENT } from '../../core/core.ts';
import { parameter, queryOf, seeOther, sendPage } from '../page/answer.ts';
import type { BrowserSessions } from '../browser/browser-session.ts';
import { choosePage } from './choose-page.ts';
import { browserCookie, newCookieValue, type BrowserCookie } from '../browser/cookies.ts';
import type { WebDeps } from '../deps.ts';
import { html } from '../page/html.ts';
import {
  beginJourney,
  findJourney,
  JOURNEY_SECONDS,
  landingOf,
  landingPath,
  takeJourney,
  type Way,
} from './journey.ts';
import type { RateLimit } from './rate-limit.ts';
import { openSession, orEnd, recordSignIn, signInStep } from './sign-in.ts';
import { limitSignIns } from './sign-in-limit.ts';
import { SIGNED_OUT } from './sign-out.ts';
import { visitOf } from '../visit.ts';

const hashOf = (value: string): string => createHash('sha256').update(value).digest('base64url');

/** `/` for somebody who is signed out, and `/login`. */
function welcome(deps: WebDeps): RequestHandler {
  return (req, res) => {
    // A provider that somebody has signed out of as well leads back with the state that it was given.
    const signedOut = req.query['signed-out'] !== undefined || req.query['state'] === SIGNED_OUT;
    const body = choosePage({
      heading: 'Portcullis',
      lead: html`The gate in front of your Kubernetes clusters. Sign in to see your sessions and to get a kubeconfig.`,
      providers: [...deps.providers.keys()],
      start: `/login/start?to=${landingOf(req.query['to'])}&`,
      notice: signedOut ? 'You are signed out here.' : undefined,
      devices: deps.devices !== undefined && deps.config.sessions.deviceCode !== 'off',
    });
    sendPage(res, 200, { title: 'Sign in', narrow: true, body });
  };
}

function front(browsers: BrowserSessions, signedOut: RequestHandler): RequestHandler {
  return async (req, res, next) => {
    const person = await browsers.current(req);
    if (person !== undefined) return seeOther(res, '/me');
    await signedOut(req, res, next);
  };
}

function start(deps: WebDeps, cookie: BrowserCookie): RequestHandler {
  return async (req, res) => {
    const visit = visitOf(req);
    const provider = parameter(req.query['provider']);
    await signInStep(deps, visit, { path: '/login/start', provider }, async () => {
      // Kept where there is one, so that a second tab does not spoil the first one's sign-in.
      const value = cookie.read(req) ?? newCookieValue();
      const way: Way = { for: 'browser', browser: hashOf(value), to: landingOf(req.query['to']) };
      const url = await beginJourney(deps, visit, { provider, way });
      cookie.set(res, value, JOURNEY_SECONDS);
      seeOther(res, url.href);
    });
  };
}

function finish(deps: WebDeps, cookie: BrowserCookie, browsers: BrowserSessions): RequestHandler {
  return async (req, res) => {
    const visit = visitOf(req);
    const state = parameter(req.query['state']);
    const provider = (await findJourney(deps, state).catch(() => undefined))?.provider;
    await signInStep(deps, visit, { path: '/login/finish', provider }, async () => {
      const value = cookie.read(req);
      const isOwn = (way: Way): boolean =>
        way.for === 'browser' && value !== undefined && way.browser === hashOf(value);
      const journey = await takeJourney(deps, state, isOwn);
      const arrival = { journey, query: queryOf(req.originalUrl), client: BROWSER_CLIENT };
      const opening = await openSession(deps, visit, arrival);
      if ('again' in opening) {
        if (value !== undefined) cookie.set(res, value, JOURNEY_SECONDS);
        return seeOther(res, opening.again.href);
      }
      const { session } = opening;
      await orEnd(deps, session, () => browsers.begin(res, session));
      recordSignIn(deps, visit, session, arrival);
      seeOther(res, landingPath(journey.way.for === 'browser' ? journey.way.to : 'me'));
    });
  };
}

/** `/`, `/login`, `/login/start`, `/login/finish`. Mount before the OAuth clients' `/login/:uid`. */
export function browserSignIn(deps: WebDeps, browsers: BrowserSessions, limit: RateLimit): Router {
  const cookie = browserCookie(deps.config.publicUrl, 'portcullis-sign-in');
  const router = Router({ caseSensitive: true, strict: true });
  const page = welcome(deps);
  router.get('/', front(browsers, page));
  router.get('/login', page);
  router.get('/login/start', limitSignIns(deps, limit), start(deps, cookie));
  router.get('/login/finish', finish(deps, cookie, browsers));
  return router;
}

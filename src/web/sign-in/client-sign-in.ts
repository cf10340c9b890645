/**
 * The sign-in for an OAuth client (the kubectl plugin): from its pending authorization to the identity provider
 * and back. Every step except the callback needs the cookie of the browser that began; `Authorizations.pending`
 * checks it.
 */
import { Router, type Request, type RequestHandler, type Response } from 'express';
import { AppError } from '../../core/errors.ts';
import { parameter, queryOf, seeOther, sendPage } from '../page/response.ts';
import { createBrowserSessions, type BrowserSessions } from '../browser/browser-session.ts';
import { onlyProvider, providerChoices, rememberProvider } from '../browser/provider-choices.ts';
import { isLoopback } from '../../core/http/address.ts';
import { choosePage, donePage, type Choice } from './choose-page.ts';
import type { WebDeps } from '../dependencies.ts';
import type { PendingAuthorization } from '../../contracts/authorization.ts';
import { html } from '../page/html.ts';
import { beginLogin, consumeLogin, type LoginPurpose, type PurposeFor } from './login-transaction.ts';
import { reportMisconfiguration, reportRejection } from './rejection.ts';
import type { RateLimiter } from '../../core/rate-limit.ts';
import { finishStep, handOver, openSession, signInStep, type ReturnedLogin } from './sign-in.ts';
import { limitSignIns } from './sign-in-limit.ts';
import { contextOf } from '../../http/request-context.ts';

/** What the program is told where the user gave up at an error page: who ended it, and not only that it ended. */
const GIVEN_UP: ReadonlyMap<string, string> = new Map([
  ['access_denied', 'You cancelled the sign-in in the browser, after it had been rejected.'],
  ['temporarily_unavailable', 'You cancelled the sign-in in the browser, because it could not be completed.'],
]);
const NOT_ALLOWED = 'You did not allow this program in the browser.';

/** Returns the pending authorization, after a check that its uid is the one in the path. */
async function pendingOf(deps: WebDeps, req: Request, res: Response): Promise<PendingAuthorization> {
  const pending = await deps.authorizations.pending(req, res);
  if (pending.uid !== req.params['uid']) {
    throw new AppError('sign_in_expired', 'This sign-in belongs to another request.', { reason: 'uid_mismatch' });
  }
  contextOf(req).authorization = encodeURIComponent(pending.uid);
  return pending;
}

const leadOf = (clientName: string): Pick<Choice, 'heading' | 'lead'> => ({
  heading: 'Sign in',
  lead: html`<strong>${clientName}</strong> wants to act as you on your clusters.`,
});

/** The page is the only place where a user can tell a program of their own from that of an attacker. */
const confirmation = ({
  host,
  redirectHost,
  resource,
}: NonNullable<PendingAuthorization['unregistered']>): Pick<Choice, 'heading' | 'lead'> => ({
  heading: 'Allow this program?',
  lead: html`A program of <strong>${host}</strong>, which your platform team has not registered, wants to use
    <strong>${resource}</strong> as you. The answer goes to
    ${isLoopback(redirectHost) ? html`a program <strong>on this machine</strong>` : html`<strong>${redirectHost}</strong>`}.
    Go on only if you have just started it.`,
});

function sendChoice(deps: WebDeps, req: Request, res: Response, pending: PendingAuthorization): void {
  const hint = pending.providerHint;
  const unknown = hint !== undefined && !deps.providers.has(hint);
  const body = choosePage({
    ...(pending.unregistered === undefined ? leadOf(pending.clientName) : confirmation(pending.unregistered)),
    providers: providerChoices(deps, req),
    start: `/login/${encodeURIComponent(pending.uid)}/start?`,
    ...(pending.unregistered === undefined ? {} : { refuse: `/login/${encodeURIComponent(pending.uid)}/refuse` }),
    notice: unknown ? `There is no provider “${hint}” here. Choose one of these.` : undefined,
  });
  sendPage(res, 200, { title: 'Sign in', narrow: true, body });
}

function entry(deps: WebDeps): RequestHandler {
  return async (req, res) => {
    const pending = await pendingOf(deps, req, res);
    const hint = pending.providerHint !== undefined && deps.providers.has(pending.providerHint) && pending.providerHint;
    const chosen = pending.providerHint === undefined ? onlyProvider(deps) : hint || undefined;
    // An attacker's page leads the browser here. Without this page a silent sign-in would give the attacker a code.
    if (chosen === undefined || pending.unregistered !== undefined) return sendChoice(deps, req, res, pending);
    seeOther(res, `/login/${encodeURIComponent(pending.uid)}/start?provider=${encodeURIComponent(chosen)}`);
  };
}

function choose(deps: WebDeps): RequestHandler {
  return async (req, res) => sendChoice(deps, req, res, await pendingOf(deps, req, res));
}

function start(deps: WebDeps): RequestHandler {
  return async (req, res) => {
    const context = contextOf(req);
    const provider = parameter(req.query['provider']);
    try {
      await signInStep(deps, context, { path: '/login/start', provider }, async () => {
        const { uid, fresh = false } = await pendingOf(deps, req, res);
        const url = await beginLogin(deps, context, { provider, purpose: { for: 'client', uid }, fresh });
        seeOther(res, url.href);
      });
    } catch (thrown) {
      const report = refusing(deps, req, res);
      if (!(await reportMisconfiguration(deps, res, context, { thrown, report }))) throw thrown;
    }
  };
}

/**
 * Client and redirect_uri were checked when the authorization began, so the authorization server knows where to send
 * the browser.
 */
const refusing =
  (deps: WebDeps, req: Request, res: Response) =>
  (description: string): Promise<void> =>
    deps.authorizations.refuse(req, res, { error: 'access_denied', description });

async function parseReturn(
  deps: WebDeps,
  browsers: BrowserSessions,
  req: Request,
  res: Response,
): Promise<ReturnedLogin> {
  const { uid, clientId, deviceName } = await pendingOf(deps, req, res);
  const isOwn = (purpose: LoginPurpose): purpose is PurposeFor<'client'> =>
    purpose.for === 'client' && purpose.uid === uid;
  const login = await consumeLogin(deps, parameter(req.query['state']), isOwn);
  const browser = await browsers.current(req);
  return { login, query: queryOf(req.originalUrl), client: clientId, deviceName, browser };
}

function finish(deps: WebDeps, browsers: BrowserSessions): RequestHandler {
  return async (req, res) => {
    const context = contextOf(req);
    const step = await finishStep(deps, req, '/login/finish');
    const returned = await signInStep(deps, context, step, () => parseReturn(deps, browsers, req, res));
    try {
      await signInStep(deps, context, step, async () => {
        const outcome = await openSession(deps, context, returned);
        if ('again' in outcome) return seeOther(res, outcome.again.href);
        const { session } = outcome;
        // The authorization server sends the response, and a cookie could not be set after it.
        rememberProvider(deps, res, session.provider);
        await handOver(deps, context, { session, returned }, () => deps.authorizations.grant(req, res, session));
      });
    } catch (thrown) {
      const report = refusing(deps, req, res);
      if (!(await reportRejection(deps, res, context, { thrown, report }))) throw thrown;
    }
  };
}

/**
 * The links *Cancel the sign-in* of an error page and *Do not allow it* of the page where a program is confirmed, so
 * that the program that waits learns that no user will sign in.
 */
function refuse(deps: WebDeps): RequestHandler {
  return async (req, res) => {
    await pendingOf(deps, req, res);
    const error = parameter(req.query['error']) ?? '';
    const description = GIVEN_UP.get(error);
    await deps.authorizations.refuse(req, res, {
      error: description === undefined ? 'access_denied' : error,
      description: description ?? NOT_ALLOWED,
    });
  };
}

/**
 * Routes: `/login/done`, and `/login/:uid…` for OAuth clients. Mount it after the `/login/…` routes of the
 * browser's own sign-in.
 */
export function clientSignIn(deps: WebDeps, limit: RateLimiter): Router {
  const router = Router({ caseSensitive: true, strict: true });
  const browsers = createBrowserSessions(deps);
  router.get('/login/done', (_req, res) => {
    sendPage(res, 200, { title: 'Signed in', narrow: true, body: donePage() });
  });
  router.get('/login/:uid', entry(deps));
  router.get('/login/:uid/choose', choose(deps));
  router.get('/login/:uid/start', limitSignIns(deps, limit), start(deps));
  router.get('/login/:uid/finish', finish(deps, browsers));
  router.get('/login/:uid/refuse', refuse(deps));
  return router;
}

/**
 * The admin pages. Admins read and change, auditors only read, and every read and change is audited. This is their table: routes
 * and audit events are made from its rows. The handler and the markup of a page are in one file; the scripts are in
 * src/web/assets.
 */
import { Router, type RequestHandler, type Request, type Response } from 'express';
import type { Guards } from '../browser/guards.ts';
import type { PortcullisEventName } from '../../core/audit/event.ts';
import type { WebDeps } from '../dependencies.ts';
import { createClusters } from '../../core/identity/cluster-access.ts';
import { type Need, createSessionList, roleOf } from '../../services/admin/admin.ts';
import { showAccess } from './access-page.ts';
import { withRole, auditRejections, type AdminHandler, type AdminPageService, sendAdminPage } from './admin-frame.ts';
import { showAudit } from './audit-page.ts';
import { createRevocationStarter } from './begin-revocation.ts';
import { handleDrill, showDrill } from './drill-page.ts';
import { REVOCATIONS_HREF } from './links.ts';
import { seeOther } from '../page/response.ts';
import { showLocks, handleLiftFreshSignIn, handleUnlock } from './locks-page.ts';
import { handleCutStream } from './open-now.ts';
import { showNow } from './now-page.ts';
import { showUser } from './user-page.ts';
import { showReceipt } from './receipt-page.ts';
import { showConfirmation, handleRevoke } from './revoke-page.ts';
import { showSession } from './session-page.ts';
import { showSessions } from './sessions-page.ts';
import type { AppError, ErrorCode } from '../../core/errors.ts';
import { appErrorOf, retryAfterSeconds } from '../../http/error-status.ts';
import { contextOf, isValid, type Actor } from '../../http/request-context.ts';
import type { SignedIn } from '../browser/browser-session.ts';
import { errorMessageOf } from '../page/error-page.ts';
import { facts } from '../page/card.ts';
import { KEPT, keptCard } from '../page/kept-form.ts';
import { html } from '../page/html.ts';
import type { Tab } from '../page/layout.ts';
import { logServerError } from '../page/server-error-log.ts';

interface AdminRoute {
  readonly path: string;
  /** The tab that it is under. Default: users. */
  readonly tab?: Tab;
  readonly show?: AdminHandler;
  /** What is needed to see it. Default: to read. */
  readonly need?: Need;
  /** In place of other pages: where it waits for a disk, a provider or a cluster, and in an incident none may wait for it. */
  readonly behind?: 'searches' | 'nothing';
  /** What its form does. */
  readonly change?: { readonly event: PortcullisEventName; readonly handle: AdminHandler };
}

/** Leads from the address that a page once had. */
const moved =
  (to: string): AdminHandler =>
  ({ res }) =>
    seeOther(res, to);

function routesOf(service: Omit<AdminPageService, 'clusters'>): readonly AdminRoute[] {
  const list = createSessionList(service.deps);
  const begin = handleRevoke(createRevocationStarter(service));
  return [
    { path: '/admin/overview', tab: 'now', show: showNow, behind: 'nothing' },
    { path: '/admin/replicas', tab: 'now', show: moved('/admin/overview#replicas') },
    { path: '/admin/health', tab: 'now', show: moved('/admin/overview#clusters') },
    { path: '/admin/drill', tab: 'now', show: showDrill, change: { event: 'drill', handle: handleDrill } },
    { path: '/admin', show: showSessions(list) },
    { path: '/admin/accounts/:account', show: showUser(list), behind: 'searches' },
    { path: '/admin/sessions/:id', show: showSession, behind: 'searches' },
    { path: '/admin/revoke', show: showConfirmation, need: 'act', change: { event: 'revocation', handle: begin } },
    { path: '/admin/revocations', show: moved(REVOCATIONS_HREF) },
    { path: '/admin/revocations/:id', show: showReceipt, behind: 'searches' },
    { path: '/admin/locks', show: showLocks },
    { path: '/admin/unlock', change: { event: 'unlock', handle: handleUnlock } },
    { path: '/admin/cut-stream', change: { event: 'stream-cut', handle: handleCutStream } },
    { path: '/admin/lift-fresh-sign-in', change: { event: 'fresh-sign-in-lifted', handle: handleLiftFreshSignIn } },
    { path: '/admin/access', tab: 'access', show: showAccess },
    { path: '/admin/audit', tab: 'audit', show: showAudit, behind: 'nothing' },
  ];
}

/**
 * Returns the router of `/admin` and everything below it except the API.
 * @throws Error when a cluster's `allow` does not compile; the configuration has checked that before
 */
export function adminPages(service: Omit<AdminPageService, 'clusters'>, guards: Guards): Router {
  const { deps } = service;
  const pages = { ...service, clusters: createClusters(deps.config) };
  const router = Router({ caseSensitive: true, strict: true });
  for (const { path, tab = 'users', show, need = 'read', behind = 'pages', change } of routesOf(service)) {
    const served = (event: PortcullisEventName, handler: RequestHandler): RequestHandler =>
      errorsInFrame({ tab, deps }, auditRejections(deps, event, handler));
    if (show !== undefined) {
      const page = withRole(pages, { tab, need }, show);
      router.get(path, served('admin-read', guards.page('admin', page, { behind })));
    }
    if (change !== undefined) {
      const action = withRole(pages, { tab, need: 'act' }, change.handle);
      router.post(path, served(change.event, guards.action(action)));
    }
  }
  return router;
}

interface AdminPlace {
  readonly deps: WebDeps;
  readonly tab: Tab;
}

/** Shows an admin an error in the frame of these pages, so that they can go on. */
function errorsInFrame(at: AdminPlace, handler: RequestHandler): RequestHandler {
  return async (req, res, next) => {
    try {
      await handler(req, res, next);
    } catch (thrown) {
      if (!sendAdminError(at, req, res, thrown)) throw thrown;
    }
  };
}

/**
 * The page for an error on an admin page: in the frame of the admin pages, so that the admin can go on, and without
 * the advice to ask the platform team, which they are.
 */

/** What to do next, where users are told to ask the platform team. */
const NEXT: Readonly<Partial<Record<ErrorCode, string>>> = {
  forbidden: 'Nothing was changed.',
  audit_unavailable: 'Nothing is done until it can be written. The server’s log says why.',
  provider_unavailable: 'Try again in a minute. The page Now shows which provider does not respond.',
  internal: 'Try again. The server’s log has the error under the request id.',
};

const NEEDS_OPERATOR =
  'Trying again does not help. The server’s log and the audit log have the cause under the request id.';

/** The message of an unexpected error is for users, and names the platform team. */
const messageOf = ({ code, message }: AppError): string =>
  code === 'internal' ? 'Something went wrong on our side.' : message;

const isSignedIn = (actor: Actor | undefined): actor is SignedIn => actor !== undefined && 'csrf' in actor;

/**
 * Sends the page for an error of an admin or auditor on an admin page.
 * @returns false for any other user, and where a response has begun; nothing was sent then
 */
function sendAdminError({ deps, tab }: AdminPlace, req: Request, res: Response, thrown: unknown): boolean {
  const { actor: user, requestId } = contextOf(req);
  if (res.headersSent || !isSignedIn(user)) return false;
  const role = roleOf(user, deps.config);
  if (role === undefined || !isValid(user)) return false;
  logServerError(deps, requestId, thrown);
  const { error, status } = appErrorOf(thrown);
  const { title, next } = errorMessageOf(error);
  const wait = retryAfterSeconds(error.code);
  if (wait !== undefined) res.setHeader('Retry-After', String(wait));
  const kept = keptCard(req, { error, status });
  const usual = error.needsOperator ? NEEDS_OPERATOR : (NEXT[error.code] ?? next);
  const nextText = kept === undefined ? usual : KEPT;
  const body = html`<h1>${title}</h1>
    <div class="notice bad"><p role="alert">${messageOf(error)}</p></div>
    <div class="card">
      <p>${nextText}</p>
      ${facts([['Request id', html`<code>${requestId}</code>`]], ' small')}
      <a class="button ${kept !== undefined && 'quiet'}" href="/admin">Back to all sessions</a>
    </div>
    ${kept}`;
  sendAdminPage({ tab, deps, req, res, user, mayAct: role === 'admin' }, { title, status, body });
  return true;
}

/**
 * What all admin pages have in common: the check of the role, the navigation, and the audit events of reads and
 * rejections.
 */
import type { Request, RequestHandler, Response } from 'express';
import { ADMIN } from '../../core/api/rejections.ts';
import { passed, ProblemError } from '../../http/problem.ts';
import type { AuditFacts, PortcullisEventName } from '../../core/audit/event.ts';
import type { SignedIn } from '../browser/browser-session.ts';
import type { PageHandler } from '../browser/guards.ts';
import type { WebDeps } from '../dependencies.ts';
import type { Clusters } from '../../core/identity/cluster-access.ts';
import { sendPage } from '../page/response.ts';
import { appErrorOf } from '../../http/error-status.ts';
import { html, type Html } from '../page/html.ts';
import type { Tab } from '../page/layout.ts';
import { navigationFor } from '../page/navigation.ts';
import { proofNotice } from '../page/proof-notice.ts';
import { record } from '../../http/audit-events.ts';
import { contextOf } from '../../http/request-context.ts';
import {
  type AdminContext,
  type AdminService,
  type Need,
  type RunDrill,
  judgeRole,
} from '../../services/admin/admin.ts';
import { defined } from '../../core/defined.ts';

/** The dependencies that the admin pages share with the admin API, and those that only they need. */
export interface AdminPageService extends AdminService {
  readonly deps: WebDeps;
  readonly runDrill: RunDrill;
  readonly clusters: Clusters;
}

/** One request of an admin or auditor for one page. */
export interface AdminPageContext {
  readonly service: AdminPageService;
  readonly deps: WebDeps;
  readonly req: Request;
  readonly res: Response;
  readonly user: SignedIn;
  /** False for an auditor, who may only read. */
  readonly mayAct: boolean;
  readonly tab: Tab;
}

export type AdminHandler = (context: AdminPageContext) => Promise<void> | void;

/**
 * Returns a handler that runs only for users whose role allows it.
 * @throws AppError `forbidden`
 */
export function withRole(
  service: AdminPageService,
  { tab, need }: { readonly tab: Tab; readonly need: Need },
  handler: AdminHandler,
): PageHandler {
  const { deps } = service;
  return async (req, res, user) => {
    const mayAct = passed(ADMIN, judgeRole(user, deps.config, need)) === 'admin';
    await handler({ service, deps, tab, req, res, user, mayAct });
  };
}

export const adminContextAt = ({ req, user }: AdminPageContext): AdminContext => ({
  context: contextOf(req),
  actor: user,
  path: req.path,
});

/**
 * Audits every rejection by an admin page (no role, no session, a foreign Origin, a wrong CSRF token, the admin's own
 * approval), and every read and change that fails.
 * @param attempted the event of one that fails
 */
export function auditRejections(
  deps: WebDeps,
  attempted: PortcullisEventName,
  handler: RequestHandler,
): RequestHandler {
  return async (req, res, next) => {
    try {
      await handler(req, res, next);
    } catch (thrown) {
      const { error, status } = appErrorOf(thrown);
      const context = contextOf(req);
      const isRejection = status === 401 || status === 403;
      const isChange = req.method === 'POST';
      // What fails has its own audit event, unless one was written already. A client without a session causes none by
      // reading while this replica is fenced, because an attacker would fill the audit log with them.
      const isFailure =
        (isChange || context.actor !== undefined) && !(thrown instanceof ProblemError && thrown.audited);
      // While the store is unavailable it is not known who asks, and a revocation of no one is none.
      const event = isRejection || context.actor === undefined ? 'admin-refused' : attempted;
      if (isRejection || isFailure)
        record(deps, context, { event, path: req.path, code: status, reason: error.reason });
      throw thrown;
    }
  };
}

const auditorNote = (): Html =>
  html`<p class="notice">You are signed in as an auditor: you can read everything, but change nothing.</p>`;

/** What was read, for the audit event. */
export interface AdminRead {
  /** The kind of resource, as in the admin API; where nothing was read, the reason. */
  readonly reason: string;
  readonly details?: AuditFacts;
}

export interface AdminPage {
  readonly title: string;
  readonly body: Html;
  readonly status?: number;
  /** Absent where the page shows nothing that has to be audited, or the change that it shows has an event of its own. */
  readonly read?: AdminRead;
  /** Names of modules below `/assets/`. */
  readonly scripts?: readonly string[];
  /** Where scripts are off, the page is loaded again after so many seconds. */
  readonly refreshSeconds?: number;
}

/**
 * Sends an admin page, and audits what was read with the status of the response, as the admin API does. The credential
 * is checked again after everything was read, before a byte is sent.
 */
export function sendAdminPage(context: Omit<AdminPageContext, 'service'>, page: AdminPage): void {
  const { deps, req, res, user, mayAct, tab } = context;
  const { title, body, status = 200, read, scripts, refreshSeconds } = page;
  user.assertValid();
  if (read !== undefined) record(deps, contextOf(req), { event: 'admin-read', path: req.path, code: status, ...read });
  sendPage(res, status, {
    title,
    body: html`${!mayAct && auditorNote()} ${proofNotice(deps, user)} ${body}`,
    navigation: navigationFor(deps, user, tab),
    styles: ['admin.css'],
    scripts: scripts ?? [],
    ...defined({ refreshSeconds }),
  });
}

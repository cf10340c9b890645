/**
 * What all admin pages have in common: who may open them, the navigation among them, and the line in the record for what was read.
 */
import type { Request, RequestHandler, Response } from 'express';
import type { AuditFacts, PortcullisEventName } from '../../core/audit/event.ts';
import type { SignedIn } from '../browser/browser-session.ts';
import type { PageHandler } from '../browser/guards.ts';
import type { WebDeps } from '../dependencies.ts';
import type { Clusters } from '../../core/identity/cluster-access.ts';
import { sendPage } from '../page/response.ts';
import { appErrorOf } from '../../http/error-status.ts';
import { html, type Html } from '../page/html.ts';
import { navigationFor } from '../page/navigation.ts';
import { record } from '../../http/audit-events.ts';
import { contextOf } from '../../http/request-context.ts';
import type { RunDrill } from '../../admin/drills.ts';
import { AdminError } from '../../admin/problem.ts';
import type { AdminService } from '../../admin/revoke.ts';
import type { AdminContext } from '../../admin/dependencies.ts';
import { assertRole, type Need } from '../../admin/roles.ts';

/** What the admin pages share with the admin API, and what only they need. */
export interface AdminPages extends AdminService {
  readonly deps: WebDeps;
  readonly runDrill: RunDrill;
  readonly clusters: Clusters;
}

/** One admin or auditor at one page. */
export interface AdminPageContext {
  readonly service: AdminPages;
  readonly deps: WebDeps;
  readonly req: Request;
  readonly res: Response;
  readonly person: SignedIn;
  /** False for an auditor, who looks only. */
  readonly mayAct: boolean;
}

export type AdminHandler = (context: AdminPageContext) => Promise<void> | void;

/** Runs the handler for whom the role allows it. @throws AppError `forbidden` */
export function forRole(service: AdminPages, need: Need, handler: AdminHandler): PageHandler {
  return async (req, res, person) => {
    const mayAct = assertRole(person, service.deps.config, need) === 'admin';
    await handler({ service, deps: service.deps, req, res, person, mayAct });
  };
}

export const adminContextAt = ({ req, person }: AdminPageContext): AdminContext => ({
  context: contextOf(req),
  actor: person,
  path: req.path,
});

function attemptedEvent(path: string): PortcullisEventName {
  if (path === '/admin/unlock') return 'unlock';
  if (path === '/admin/lift-fresh-sign-in') return 'fresh-sign-in-lifted';
  return path === '/admin/drill' ? 'drill' : 'revocation';
}

/** Every refusal of an admin page is an audit event: no role, no session, a foreign Origin, a wrong token, an approval of one's own. */
export function auditRejections(deps: WebDeps, handler: RequestHandler): RequestHandler {
  return async (req, res, next) => {
    try {
      await handler(req, res, next);
    } catch (thrown) {
      const { error, status } = appErrorOf(thrown);
      const refused = status === 401 || status === 403;
      // What was tried and came to nothing has a line of its own, unless it stands there already.
      const failed = req.method === 'POST' && !(thrown instanceof AdminError && thrown.audited);
      const event = refused ? 'admin-refused' : attemptedEvent(req.path);
      if (refused || failed)
        record(deps, contextOf(req), { event, path: req.path, code: status, reason: error.reason });
      throw thrown;
    }
  };
}

const SECTIONS = {
  sessions: { href: '/admin', words: 'Sessions' },
  locks: { href: '/admin/locks', words: 'Locks' },
  replicas: { href: '/admin/replicas', words: 'Replicas' },
  audit: { href: '/admin/audit', words: 'Live record' },
  health: { href: '/admin/health', words: 'Health' },
  drill: { href: '/admin/drill', words: 'Drill' },
} as const;

export type Section = keyof typeof SECTIONS;

function sectionLinks(section: Section): Html {
  const link = ([name, { href, words }]: readonly [string, (typeof SECTIONS)[Section]]): Html =>
    name === section ? html`<a href="${href}" aria-current="page">${words}</a>` : html`<a href="${href}">${words}</a>`;
  return html`<nav class="tabs" aria-label="Admin">${Object.entries(SECTIONS).map(link)}</nav>`;
}

const auditorNote = (): Html =>
  html`<p class="notice">You are here as an auditor: you see everything and change nothing.</p>`;

export interface AdminPage {
  readonly title: string;
  readonly section: Section;
  readonly body: Html;
  readonly status?: number;
  /** Names of modules below `/assets/`. */
  readonly scripts?: readonly string[];
  /** For whom has no script: the page is loaded again after so many seconds. */
  readonly refreshSeconds?: number;
}

/** Sends a page of this area. The credential is judged once more after everything was fetched, before a byte goes out. */
export function sendAdminPage(context: AdminPageContext, page: AdminPage): void {
  const { deps, res, person, mayAct } = context;
  const { title, section, body, status = 200, scripts, refreshSeconds } = page;
  person.assertValid();
  sendPage(res, status, {
    title,
    body: html`${sectionLinks(section)} ${!mayAct && auditorNote()} ${body}`,
    navigation: navigationFor(deps, person, 'admin'),
    styles: ['admin.css'],
    scripts: scripts ?? [],
    ...(refreshSeconds === undefined ? {} : { refreshSeconds }),
  });
}

/** What was read goes on the record, as with the admin API. */
export function auditRead({ deps, req }: AdminPageContext, reason: string, details: AuditFacts = {}): void {
  record(deps, contextOf(req), { event: 'admin-read', path: req.path, code: 200, reason, details });
}

/**
 * The admin pages. Admins read and change, auditors only read, and every read and change is audited.
 *
 * The files of this folder:
 * - admin-pages.ts: the routes; admin-frame.ts: what all pages have in common
 * - overview-page.ts: what an admin looks at first
 * - sessions-page.ts, user-page.ts, session-page.ts: the list of sessions, one user, one session
 * - revoke-page.ts: confirms and runs a revocation, with revocation-fields.ts (its form) and begin-revocation.ts
 *   (starts it); receipt-page.ts: its result
 * - access-page.ts, locks-page.ts, replicas-page.ts, audit-page.ts, health-page.ts, drill-page.ts: one tab each; audit-lines.ts,
 *   recent-search.ts: the events of the audit page
 * - admin-error-page.ts: an error in the frame of these pages
 * - fresh-page.ts: asks an admin whose sign-in is too old to sign in again
 * - form-fields.ts, shared-cards.ts, session-table.ts, pager.ts, links.ts, format.ts: parts of several pages
 *
 * The handler and the markup of a page are in one file. The scripts are in src/web/assets.
 */
import { Router } from 'express';
import type { Guards } from '../browser/guards.ts';
import { createClusters } from '../../core/identity/cluster-access.ts';
import { type Need, createSessionList } from '../../services/admin/admin.ts';
import { showAccess } from './access-page.ts';
import { withRole, auditRejections, type AdminHandler, type AdminPageService } from './admin-frame.ts';
import { showAudit } from './audit-page.ts';
import { createRevocationStarter } from './begin-revocation.ts';
import { handleDrill, showDrill } from './drill-page.ts';
import { showHealth } from './health-page.ts';
import { showLocks, handleLiftFreshSignIn, handleUnlock } from './locks-page.ts';
import { showOverview } from './overview-page.ts';
import { showUser } from './user-page.ts';
import { showReceipt } from './receipt-page.ts';
import { showReplicas } from './replicas-page.ts';
import { showConfirmation, handleRevoke } from './revoke-page.ts';
import { showSession } from './session-page.ts';
import { showSessions } from './sessions-page.ts';

/** Pages that wait for a disk, a provider or a cluster: in an incident no other page may wait behind them. */
const WAITING: readonly string[] = ['/admin/overview', '/admin/audit', '/admin/health'];

/**
 * Returns the router of `/admin` and everything below it except the API.
 * @throws Error when a cluster's `allow` does not compile; the configuration has checked that before
 */
export function adminPages(service: Omit<AdminPageService, 'clusters'>, guards: Guards): Router {
  const { deps } = service;
  const pages = { ...service, clusters: createClusters(deps.config) };
  const list = createSessionList(deps);
  const router = Router({ caseSensitive: true, strict: true });
  const get = (path: string, handler: AdminHandler, need: Need = 'read'): void => {
    const options = { inTurn: !WAITING.includes(path) };
    router.get(path, auditRejections(deps, guards.page('admin', withRole(pages, need, handler), options)));
  };
  const post = (path: string, handler: AdminHandler): void => {
    router.post(path, auditRejections(deps, guards.action(withRole(pages, 'act', handler))));
  };
  get('/admin/overview', showOverview);
  get('/admin', showSessions(list));
  get('/admin/accounts/:account', showUser(list));
  get('/admin/sessions/:id', showSession);
  get('/admin/revoke', showConfirmation, 'act');
  post('/admin/revoke', handleRevoke(createRevocationStarter(service)));
  get('/admin/revocations/:id', showReceipt);
  get('/admin/access', showAccess);
  get('/admin/locks', showLocks);
  post('/admin/unlock', handleUnlock);
  post('/admin/lift-fresh-sign-in', handleLiftFreshSignIn);
  get('/admin/replicas', showReplicas);
  get('/admin/audit', showAudit);
  get('/admin/health', showHealth);
  get('/admin/drill', showDrill);
  post('/admin/drill', handleDrill);
  return router;
}

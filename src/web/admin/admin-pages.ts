/**
 * The admin pages: who is signed in, and revoking; locks, replicas, the live record, health and drills. Everything seen and done here is on
 * the record. Admins act, auditors look.
 */
import { Router } from 'express';
import type { Guards } from '../browser/guards.ts';
import { createClusters } from '../../core/identity/cluster-access.ts';
import type { Need } from '../../admin/roles.ts';
import { createSessionList } from '../../admin/session-query.ts';
import { forRole, auditRejections, type AdminHandler, type AdminPages } from './admin-frame.ts';
import { showAudit } from './audit-page.ts';
import { createBeginnings } from './begin-revocation.ts';
import { runDrillHere, showDrill } from './drill-page.ts';
import { showHealth } from './health-page.ts';
import { showLocks, takeFreshSignInOff, takeLockOff } from './locks-page.ts';
import { showPerson } from './user-page.ts';
import { showReceipt } from './receipt-page.ts';
import { showReplicas } from './replicas-page.ts';
import { confirm, revokeNow } from './revoke-page.ts';
import { showSession } from './session-page.ts';
import { showSessions } from './sessions-page.ts';

/**
 * `/admin` and everything below it but the API.
 * @throws Error when a cluster's `allow` does not compile; the configuration has checked that before
 */
export function adminPage(service: Omit<AdminPages, 'clusters'>, guards: Guards): Router {
  const { deps } = service;
  const pages = { ...service, clusters: createClusters(deps.config) };
  const list = createSessionList(deps);
  const router = Router({ caseSensitive: true, strict: true });
  const look = (path: string, handler: AdminHandler, need: Need = 'read'): void => {
    router.get(path, auditRejections(deps, guards.page('admin', forRole(pages, need, handler))));
  };
  const act = (path: string, handler: AdminHandler): void => {
    router.post(path, auditRejections(deps, guards.action(forRole(pages, 'act', handler))));
  };
  look('/admin', showSessions(list));
  look('/admin/accounts/:account', showPerson(list));
  look('/admin/sessions/:id', showSession);
  look('/admin/revoke', confirm, 'act');
  act('/admin/revoke', revokeNow(createBeginnings(service)));
  look('/admin/revocations/:id', showReceipt);
  look('/admin/locks', showLocks);
  act('/admin/unlock', takeLockOff);
  act('/admin/lift-fresh-sign-in', takeFreshSignInOff);
  look('/admin/replicas', showReplicas);
  look('/admin/audit', showAudit);
  look('/admin/health', showHealth);
  look('/admin/drill', showDrill);
  act('/admin/drill', runDrillHere);
  return router;
}

/**
 * The pages of access requests: rights for a while.
 *
 * The files of this folder:
 * - access-pages.ts: the routes; context.ts: what all pages have in common, fresh sign-ins and rejections
 * - list-page.ts: `/access`, with request-form.ts (the form for one role) and request-table.ts
 * - request-page.ts: `/access/ID`, with actions.ts (its forms and their handlers)
 *
 * Who may ask, see and decide is up to `AccessRequests`, for these pages as for the APIs for programs.
 */
import { Router, type Request } from 'express';
import type { RevocationResults } from '../../services/admin/admin.ts';
import { auditFailures } from '../../http/audit-events.ts';
import type { Guards, PageHandler } from '../browser/guards.ts';
import type { WebDeps } from '../dependencies.ts';
import { html, type Html } from '../page/html.ts';
import { returnTargetOf, type ReturnTarget } from '../sign-in/login-transaction.ts';
import { handleDecision, handleEnd } from './actions.ts';
import { sendAccessPage, type AccessContext } from './context.ts';
import { handleRequest, showList } from './list-page.ts';
import { showRequest } from './request-page.ts';

const returnTo = (req: Request): ReturnTarget => returnTargetOf(`access:${String(req.params['id'])}`);

const noRoles = (): Html =>
  html`<h1>Access</h1>
    <div class="card">
      <p>There are no roles to ask for here: <code>access.roles</code> is not configured.</p>
    </div>`;

/** `/access`, `/access/:id`, `/access/:id/approve`, `/access/:id/deny`, `/access/:id/end`. */
export function accessPages(deps: WebDeps, guards: Guards, results: Pick<RevocationResults, 'find'>): Router {
  const { access } = deps;
  const router = Router({ caseSensitive: true, strict: true });
  const hasRoles = deps.config.access.roles.length > 0;
  const handler =
    (handle: (context: AccessContext) => Promise<void>): PageHandler =>
    async (req, res, user) => {
      // What was asked for while there were roles is still at its address, and its grant can be ended.
      const nothing = access === undefined || (!hasRoles && req.path === '/access');
      if (nothing) return sendAccessPage({ deps, res, user }, { title: 'Access', body: noRoles() });
      await handle({ deps, access, results, req, res, user });
    };
  router.get('/access', guards.page('access', handler(showList)));
  if (access === undefined) return router;
  router.get('/access/:id', guards.page(returnTo, handler(showRequest)));
  const post = (path: string, handle: (context: AccessContext) => Promise<void>): void => {
    router.post(path, auditFailures(deps, 'access-refused', guards.action(handler(handle))));
  };
  post('/access', handleRequest);
  post('/access/:id/approve', handleDecision('approve', showRequest));
  post('/access/:id/deny', handleDecision('deny', showRequest));
  post('/access/:id/end', handleEnd(showRequest));
  return router;
}

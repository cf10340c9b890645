/**
 * `/admin/sessions/:id`: one session.
 */
import { sessionIdSchema } from '../../core/admin-api/fields.ts';
import { latestRequests } from '../page/recent-requests.ts';
import { sessionGone } from '../../admin/revocation-request.ts';
import { workloadRule } from '../../admin/roles.ts';
import { auditRead, sendAdminPage, type AdminPageContext } from './admin-frame.ts';
import { sessionBody } from './session-body.ts';

/** @throws AdminError `session_not_found` */
export async function showSession(context: AdminPageContext): Promise<void> {
  const { service, deps, req, mayAct } = context;
  const id = sessionIdSchema.safeParse(req.params['id']);
  const session = id.success ? await deps.store.sessions.read(id.data) : undefined;
  if (session === undefined) throw sessionGone();
  const requests = await latestRequests(deps, [session]);
  const rule = workloadRule(session.account, deps.config);
  const clusters = service.clusters
    .usableBy(session.identity)
    .map(({ name }) => name)
    .filter((name) => rule?.clusters.includes(name) ?? true);
  auditRead(context, 'session', { target: `session:${session.id}` });
  sendAdminPage(context, {
    title: 'Session',
    section: 'sessions',
    body: sessionBody({ deps, session, clusters, requests, mayAct }),
  });
}

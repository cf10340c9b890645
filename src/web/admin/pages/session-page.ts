/**
 * `/admin/sessions/:id`: one session.
 */
import { sessionIdSchema } from '../../../core/admin-api/fields.ts';
import { latestRequests } from '../../page/recent-requests.ts';
import { sessionGone } from '../revocation-request.ts';
import { workloadRule } from '../roles.ts';
import { recordRead, sendAdminPage, type AdminVisit } from './admin-frame.ts';
import { sessionBody } from './session-body.ts';

/** @throws AdminError `session_not_found` */
export async function showSession(visit: AdminVisit): Promise<void> {
  const { room, deps, req, mayAct } = visit;
  const id = sessionIdSchema.safeParse(req.params['id']);
  const session = id.success ? await deps.store.sessions.read(id.data) : undefined;
  if (session === undefined) throw sessionGone();
  const requests = await latestRequests(deps, [session]);
  const rule = workloadRule(session.account, deps.config);
  const clusters = room.clusters
    .usableBy(session.identity)
    .map(({ name }) => name)
    .filter((name) => rule?.clusters.includes(name) ?? true);
  recordRead(visit, 'session', { target: `session:${session.id}` });
  sendAdminPage(visit, {
    title: 'Session',
    section: 'sessions',
    body: sessionBody({ deps, session, clusters, requests, mayAct }),
  });
}

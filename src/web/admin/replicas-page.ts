/**
 * `/admin/replicas`.
 */
import { auditRead, sendAdminPage, type AdminPageContext } from './admin-frame.ts';
import { replicasBody } from './replicas-body.ts';

export function showReplicas(context: AdminPageContext): void {
  auditRead(context, 'replicas');
  sendAdminPage(context, {
    title: 'Replicas',
    section: 'replicas',
    body: replicasBody(context.deps.guard.replicas, '/admin/api/v1/replicas'),
    scripts: ['replicas.js'],
  });
}

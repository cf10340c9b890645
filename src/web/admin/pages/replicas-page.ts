/**
 * `/admin/replicas`.
 */
import { recordRead, sendAdminPage, type AdminVisit } from './admin-frame.ts';
import { replicasBody } from './replicas-body.ts';

export function showReplicas(visit: AdminVisit): void {
  recordRead(visit, 'replicas');
  sendAdminPage(visit, {
    title: 'Replicas',
    section: 'replicas',
    body: replicasBody(visit.deps.gate.replicas, '/admin/api/v1/replicas'),
    scripts: ['replicas.js'],
  });
}

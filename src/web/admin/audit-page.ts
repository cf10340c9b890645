/**
 * `/admin/audit`: the frame in which the live record is watched. The stream itself is the admin API's, which judges and records each opening.
 */
import { parameter } from '../page/response.ts';
import { sendAdminPage, type AdminPageContext } from './admin-frame.ts';
import { AUDIT_FIELDS, auditBody, type AuditShown } from './audit-body.ts';

function shownBy(query: Readonly<Record<string, unknown>>): AuditShown {
  const said = AUDIT_FIELDS.map((name) => [name, parameter(query[name])?.trim() ?? ''] as const);
  return Object.fromEntries(said.filter(([, value]) => value !== ''));
}

export function showAudit(context: AdminPageContext): void {
  const { deps, req } = context;
  const live = deps.tails !== undefined;
  sendAdminPage(context, {
    title: 'Live record',
    section: 'audit',
    body: auditBody({ shown: shownBy(req.query), clusters: deps.config.clusters.map(({ name }) => name), live }),
    scripts: live ? ['audit.js'] : [],
  });
}

/**
 * Who may do what at the admin pages and the admin API: admins act, auditors read.
 */
import { AppError } from '../core/errors.ts';
import type { Identity } from '../core/identity.ts';
import type { WebConfig } from './deps.ts';

export type Role = 'admin' | 'auditor';
export type Need = 'read' | 'act';

/** Undefined for everybody else. No group configured means nobody. */
export function roleOf(identity: Identity, admin: WebConfig['admin']): Role | undefined {
  const isIn = (groups: readonly string[]): boolean => groups.some((group) => identity.groups.includes(group));
  if (isIn(admin.groups)) return 'admin';
  return isIn(admin.auditors) ? 'auditor' : undefined;
}

/** @throws AppError `forbidden` */
export function assertRole(identity: Identity, admin: WebConfig['admin'], need: Need): Role {
  const role = roleOf(identity, admin);
  if (role === undefined) {
    const words = 'Only members of the admin and auditor groups may see this. Ask your platform team to add you.';
    throw new AppError('forbidden', words, { reason: 'no_role' });
  }
  if (need === 'act' && role !== 'admin') {
    throw new AppError('forbidden', 'Auditors may look, but not change anything. Ask an admin to do it.', {
      reason: 'auditor_may_not_act',
    });
  }
  return role;
}

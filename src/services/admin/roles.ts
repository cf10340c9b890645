/**
 * The roles of the admin pages and the admin API: admins change and read, auditors read. A workload has the role of its
 * rule: `auditor` reads, `revoker` revokes and locks, `drill` starts drills.
 */
import type { AdminResult } from '../../core/api/rejections.ts';
import type { Account } from '../../core/identity/identity.ts';
import { no, ok } from '../../core/result.ts';
import type { AdminConfig } from './dependencies.ts';
import type { Actor } from '../../http/request-context.ts';

export type Role = 'admin' | 'auditor' | 'revoker' | 'drill';
/** `revoke`: to end access; `act`: any other change, such as to give it back; `follow`: to read one revocation. */
export type Need = 'read' | 'follow' | 'revoke' | 'act' | 'drill';

const ALLOWED: Readonly<Record<Exclude<Role, 'admin'>, readonly Need[]>> = {
  auditor: ['read', 'follow'],
  revoker: ['revoke', 'follow'],
  drill: ['drill'],
};

type Subject = Pick<Actor, 'identity' | 'account'>;
type RoleConfig = Pick<AdminConfig, 'admin' | 'workload'>;

type WorkloadRule = RoleConfig['workload'][number];

/**
 * Returns the rule whose workloads have this account; undefined for a user's. Rules and providers share one name
 * space.
 */
export const workloadRule = (account: Account, { workload }: RoleConfig): WorkloadRule | undefined =>
  workload.find(({ name }) => account.startsWith(`${name}/`));

/**
 * Returns the role of a user or workload; undefined where they have none. Without configured groups no user has a
 * role.
 *
 * An attacker who can change a pipeline chooses the claims of its token, so a workload has the role of its
 * rule and never one by its groups.
 */
export function roleOf({ identity, account }: Subject, config: RoleConfig): Role | undefined {
  const { admin } = config;
  const rule = workloadRule(account, config);
  if (rule !== undefined) return rule.role === 'none' ? undefined : rule.role;
  const isIn = (groups: readonly string[]): boolean => groups.some((group) => identity.groups.includes(group));
  if (isIn(admin.groups)) return 'admin';
  return isIn(admin.auditors) ? 'auditor' : undefined;
}

/** Why a role may not do what it is not allowed. */
const REASONS = { auditor: 'auditor_may_not_act', revoker: 'revoker_only', drill: 'drill_only' } as const;

/** Whether a caller may do what they ask for, and in which role. */
export function judgeRole(subject: Subject, config: RoleConfig, need: Need): AdminResult<Role> {
  const role = roleOf(subject, config);
  if (role === 'admin') return ok(role);
  if (role === undefined) return no({ reason: 'no_role' });
  return ALLOWED[role].includes(need) ? ok(role) : no({ reason: REASONS[role] });
}

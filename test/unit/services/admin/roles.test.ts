import { describe, expect, it } from 'vitest';
import { judgeRole, roleOf, workloadRule, type Need, type Role } from '../../../../src/services/admin/roles.ts';
import type { Account } from '../../../../src/core/identity/identity.ts';

const CONFIG = {
  admin: { groups: ['admins'], auditors: ['auditors'], freshness: 900, dualControl: 'off' },
  workload: (['auditor', 'revoker', 'drill', 'none', 'none'] as const).map((role, index) => ({
    name: ['siem', 'soar', 'monitor', 'ci', 'gh'][index] ?? '',
    role,
    clusters: [],
  })),
} as const;

const subject = (account: Account, ...groups: readonly string[]) => ({
  account,
  identity: { username: account, uid: '', groups, extra: {} },
});

const NEEDS: readonly Need[] = ['read', 'follow', 'revoke', 'act', 'drill'];
type Row = readonly [role: Role | undefined, who: ReturnType<typeof subject>, allowed: readonly Need[]];
const ROWS: readonly Row[] = [
  ['admin', subject('corp/root', 'admins'), NEEDS],
  ['admin', subject('corp/both', 'auditors', 'admins'), NEEDS],
  ['auditor', subject('corp/audrey', 'auditors'), ['read', 'follow']],
  ['auditor', subject('siem/job'), ['read', 'follow']],
  ['revoker', subject('soar/job'), ['follow', 'revoke']],
  ['drill', subject('monitor/job'), ['drill']],
  [undefined, subject('corp/alice', 'developers'), []],
  [undefined, subject('ci/job'), []],
  // Anyone who can change a pipeline chooses the claims of its token.
  [undefined, subject('ci/job', 'admins', 'auditors'), []],
  ['revoker', subject('soar/job', 'admins'), ['follow', 'revoke']],
];

describe('a role', () => {
  it.each(ROWS)('%s of %j allows %j and nothing else', (role, who, allowed) => {
    expect(roleOf(who, CONFIG)).toBe(role);
    const judged = NEEDS.map((need) => judgeRole(who, CONFIG, need));
    expect(NEEDS.filter((_need, index) => judged[index]?.ok)).toEqual(allowed);
    expect(new Set(judged.flatMap((one) => (one.ok ? [one.value] : [])))).toEqual(
      new Set(allowed.length > 0 ? [role] : []),
    );
  });

  it('is that of a rule for its own accounts alone, and not for a provider whose name begins with its name', () => {
    expect(workloadRule('gh/job', CONFIG)?.name).toBe('gh');
    expect(workloadRule('gh2/root', CONFIG)).toBeUndefined();
    expect(roleOf(subject('gh2/root', 'admins'), CONFIG)).toBe('admin');
    expect(roleOf(subject('soar2/job'), CONFIG)).toBeUndefined();
  });
});

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AuditEvent } from '../../src/core/audit/event.ts';
import type { RunningDemo } from '../../demo/launch.ts';
import { auditedBy } from '../support/audit-log.ts';
import { startTestInstance } from '../support/instance.ts';
import { CliContext } from '../support/kubectl.ts';

/** The one user that developers of the embedded cluster may act as, who may read config maps and nothing else. */
const LIMITED = ['--as', 'demo:limited'];

describe('kubectl --as through Portcullis', () => {
  let instance: RunningDemo;
  let alice: CliContext;
  let bob: CliContext;
  let root: CliContext;

  beforeAll(async () => {
    instance = await startTestInstance();
    alice = new CliContext(instance, 'alice');
    bob = new CliContext(instance, 'bob');
    root = new CliContext(instance, 'root');
  });
  afterAll(async () => {
    for (const machine of [alice, bob, root]) machine.close();
    await instance.stop();
  });

  const delegated = async (): Promise<readonly AuditEvent[]> =>
    (await auditedBy(instance)).filter((event) => event.impersonatedUser !== undefined);

  it('runs with the rights of the impersonated user, and not with those of the real user', async () => {
    const got = await alice.kubectl('get', 'configmaps', '--output', 'name', ...LIMITED);
    expect(got.stdout, got.all).toContain('configmap/web-settings');
    const refused = await alice.kubectl('get', 'pods', ...LIMITED);
    expect(refused.stderr, refused.all).toContain('pods is forbidden: User "demo:limited" cannot list resource "pods"');
    expect((await alice.kubectl('get', 'pods')).code).toBe(0);
  });

  it('is the impersonated user to the cluster, with the session and the real user in extra', async () => {
    const who = await alice.kubectl('auth', 'whoami', '--output', 'json', ...LIMITED);
    expect(who.code, who.all).toBe(0);
    const { status } = JSON.parse(who.stdout) as { status: { userInfo: Record<string, unknown> } };
    expect(status.userInfo).toEqual({
      username: 'demo:limited',
      groups: ['system:authenticated'],
      extra: { 'portcullis.dev/session': [expect.any(String)], 'portcullis.dev/original-user': ['demo:alice'] },
    });
  });

  it.each([
    ['another user', ['--as', 'demo:root'], 'users "demo:root"'],
    ['a group', [...LIMITED, '--as-group', 'system:masters'], 'groups "system:masters"'],
    ['a uid', [...LIMITED, '--as-uid', '1'], 'uids.authentication.k8s.io "1"'],
    ['a service account', ['--as', 'system:serviceaccount:default:default'], 'serviceaccounts "default"'],
  ])('is rejected with the message of Kubernetes for %s that she may not impersonate', async (_what, flags, what) => {
    const refused = await alice.kubectl('get', 'configmaps', ...flags);
    expect(refused.code, refused.all).toBe(1);
    expect(refused.stderr).toContain(`Error from server (Forbidden): ${what} is forbidden: User "demo:alice" cannot`);
    expect(refused.stderr).toMatch(/\(audit id [0-9a-f-]{36}\)/);
  });

  it('is rejected for a user who is in no group that may', async () => {
    const refused = await bob.kubectl('get', 'configmaps', ...LIMITED);
    expect(refused.stderr, refused.all).toContain('users "demo:limited" is forbidden: User "demo:bob"');
  });

  it('lets an administrator impersonate a service account, which gets its own groups', async () => {
    const flags = ['--as', 'system:serviceaccount:default:default'];
    const who = await root.kubectl('auth', 'whoami', '--output', 'jsonpath={.status.userInfo.groups}', ...flags);
    expect(JSON.parse(who.stdout), who.all).toEqual([
      'system:serviceaccounts',
      'system:serviceaccounts:default',
      'system:authenticated',
    ]);
  });

  it('has each in the audit log: the user, the impersonated user, and how it ended', async () => {
    const seen = (await delegated()).map(({ user, impersonatedUser, responseStatus, annotations }) =>
      [
        user.username,
        impersonatedUser?.username,
        responseStatus?.code,
        annotations['portcullis.dev/reason'] ?? 'forwarded',
      ].join(' '),
    );
    for (const line of [
      'demo:alice demo:limited 200 forwarded',
      'demo:alice demo:limited 403 forwarded',
      'demo:alice demo:root 403 impersonation_denied',
      'demo:bob demo:limited 403 impersonation_denied',
      'demo:root system:serviceaccount:default:default 201 forwarded',
    ]) {
      expect(seen).toContain(line);
    }
  });
});

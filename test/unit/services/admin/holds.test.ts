import { afterEach, describe, expect, test } from 'vitest';
import type { AdminResult } from '../../../../src/core/api/rejections.ts';
import { AppError } from '../../../../src/core/errors.ts';
import { coveringKeys } from '../../../../src/core/credential/revocation.ts';
import { createRevocationResults } from '../../../../src/services/admin/revocation-results.ts';
import type { RevocationRequest } from '../../../../src/services/admin/revocation-request.ts';
import { handleRevocation } from '../../../../src/services/admin/revoke.ts';
import type { WebDeps } from '../../../../src/web/dependencies.ts';
import { annotation, closeStages, openStage } from '../../web/harness.ts';
import { users } from '../../web/test-provider.ts';

afterEach(closeStages);

const unavailable = (): AppError => new AppError('store_unavailable', 'The store does not respond.');
const ROOT = { session: 'root-1', account: 'corp/sub-root', provider: 'corp' } as const;
const ALICE = { session: 'alice-1', account: 'corp/sub-alice', provider: 'corp' } as const;

/**
 * Returns an admin's revocations at a replica whose store does not respond.
 * @param unread the error for an admin whom the replica has not seen before
 */
async function bench(dualControl: 'on' | 'off', { unread }: { readonly unread: boolean }) {
  const given: WebDeps[] = [];
  const admin = { groups: ['corp:platform'], auditors: ['corp:security'], freshness: 900, dualControl } as const;
  const stage = await openStage({ config: { admin }, change: (deps) => (given.push(deps), deps) });
  const [deps] = given;
  const { identity } = users['root'] ?? {};
  const { position } = stage.guard;
  if (deps === undefined || identity === undefined || position === undefined) throw new Error('not ready');
  stage.store.sessions.list = () => Promise.reject(unavailable());
  const actor = {
    identity,
    account: ROOT.account,
    session: ROOT.session,
    proof: { provider: 'corp' },
    assertValid: () => {
      if (stage.guard.check({ keys: coveringKeys(ROOT), position }) !== undefined)
        throw new AppError('unauthenticated', 'gone');
    },
    register: () => ({ close: () => undefined }),
    ...(unread ? { unread: unavailable() } : {}),
  };
  const context = { requestId: 'r', address: '203.0.113.7', userAgent: '', actor };
  const service = { deps, results: createRevocationResults(deps) };
  const revoke = (request: Omit<RevocationRequest, 'reason'>) =>
    handleRevocation(service, { context, actor, path: '/revocations' }, { reason: 'INC-1', ...request });
  return { stage, revoke, isShut: () => stage.guard.check({ keys: coveringKeys(ALICE), position }) };
}

const rejectionIn = (result: AdminResult<unknown>) => (result.ok ? undefined : result.reason);

describe('of an admin whose session cannot be read', () => {
  test.each([
    ['a session', { session: 'alice-1' }, 'on'],
    ['an account', { account: ALICE.account }, 'on'],
    ['an account that was to be locked', { account: ALICE.account, lock: true }, 'on'],
    ['a provider', { provider: 'corp' }, 'off'],
    ['everything', { all: true }, 'off'],
  ] as const)('%s is held for a quarter of an hour, and it is audited', async (_what, request, dualControl) => {
    const { stage, revoke, isShut } = await bench(dualControl, { unread: true });
    expect(rejectionIn(await revoke(request))).toMatchObject({
      reason: 'revocation_not_written',
      audited: true,
      members: { heldUntil: '2026-11-25T12:15:00Z' },
    });
    expect(isShut()).toBe('session_revoked');
    const [event] = stage.named('revocation');
    expect(event).toMatchObject({ responseStatus: { code: 503 } });
    expect(annotation(event, 'held-until')).toBe('2026-11-25T12:15:00Z');
    expect(annotation(event, 'outcome')).toBe('revocation_not_written');
    expect(await stage.store.locks.list()).toEqual([]);
  });

  test.each([
    ['a provider', { provider: 'corp' }],
    ['everything', { all: true }],
  ] as const)('%s is not, where it takes two admins', async (_what, request) => {
    const { stage, revoke, isShut } = await bench('on', { unread: true });
    await expect(revoke(request)).rejects.toMatchObject({ code: 'store_unavailable', reason: 'store_unavailable' });
    expect(isShut()).toBeUndefined();
    expect(stage.named('revocation')).toEqual([]);
  });

  test('a username is not held, because only the store can resolve it, and the store is not read', async () => {
    const { stage, revoke, isShut } = await bench('off', { unread: true });
    stage.store.sessions.list = () => Promise.reject(new Error('asked'));
    await expect(revoke({ username: 'corp:alice@example.com' })).rejects.toMatchObject({ reason: 'store_unavailable' });
    expect(isShut()).toBeUndefined();
  });

  test('a mistyped provider is not reported as held', async () => {
    const { revoke } = await bench('off', { unread: true });
    expect(rejectionIn(await revoke({ provider: 'crop' }))).toEqual({ reason: 'provider_not_found' });
  });

  test('nothing is held once the credential is no longer valid', async () => {
    const { stage, revoke, isShut } = await bench('off', { unread: true });
    await stage.guard.revoke({ target: { kind: 'account', account: 'corp/sub-root' } });
    await expect(revoke({ session: 'alice-1' })).rejects.toMatchObject({ code: 'unauthenticated' });
    expect(isShut()).toBeUndefined();
  });
});

test('an account is held when it cannot be known whether its lock needs two admins', async () => {
  const { stage, revoke, isShut } = await bench('on', { unread: false });
  const held = await revoke({ account: ALICE.account, lock: true });
  expect(rejectionIn(held)).toMatchObject({ reason: 'revocation_not_written' });
  expect(isShut()).toBe('session_revoked');
  expect(stage.named('approval-asked')).toEqual([]);
});

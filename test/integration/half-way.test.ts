import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { ACCOUNT, startHostileGate, type HostileGate } from '../support/hostile-gate.ts';

const ACCOUNT_TARGET = { kind: 'account', account: ACCOUNT } as const;

describe('a sign-in that is half-way when it is revoked', () => {
  let gate: HostileGate;

  beforeAll(async () => {
    gate = await startHostileGate();
  });
  afterEach(() => gate.provider.lie({}));
  afterAll(() => gate.stop());

  const reasonOf = async (name: string): Promise<string | undefined> =>
    (await gate.events(name)).at(-1)?.annotations['portcullis.dev/reason'];
  const sessions = async (): Promise<number> =>
    (await gate.server.store.sessions.list({ account: ACCOUNT, limit: 10 })).sessions.length;
  const asked = (path: string): number => gate.provider.asked.filter((one) => one === path).length;

  /** Holds the provider's token answer, does something meanwhile, and lets it go. */
  async function meanwhile<T>(begin: () => Promise<T>, happening: () => Promise<unknown>): Promise<T> {
    const hold = Promise.withResolvers<void>();
    const before = asked('/token');
    gate.provider.lie({ hold: hold.promise });
    const pending = begin();
    await expect.poll(() => asked('/token')).toBe(before + 1);
    await happening();
    hold.resolve();
    return pending;
  }

  it('cannot be finished by a callback that was on its way while the account was revoked', async () => {
    const { callback } = await meanwhile(
      () => gate.client.authorize('alice'),
      () => gate.server.gate.revoke({ target: ACCOUNT_TARGET }),
    );
    expect(callback.pathname).toMatch(/^\/login\/[^/]+\/finish$/);
    expect(await reasonOf('sign-in-refused')).toBe('session_revoked');
    expect(await sessions()).toBe(0);
  });

  it.each(['provider', 'all'] as const)('cannot be finished either where it was %s that was revoked', async (kind) => {
    const target = kind === 'all' ? ({ kind } as const) : ({ kind, provider: 'demo' } as const);
    await meanwhile(
      () => gate.client.authorize('alice'),
      () => gate.server.gate.revoke({ target }),
    );
    expect(await reasonOf('sign-in-refused')).toBe('session_revoked');
  });

  it('cannot be finished while the account is locked, whoever let it in at the provider', async () => {
    const lock = { reason: 'INC-4711', by: 'demo:root', at: Math.floor(Date.now() / 1000) };
    await meanwhile(
      () => gate.client.authorize('alice'),
      () => gate.server.gate.revoke({ target: ACCOUNT_TARGET, lock }),
    );
    expect(await reasonOf('sign-in-refused')).toBe('account_locked');
    await gate.server.store.locks.remove(ACCOUNT);
  });

  it.each([
    ['session', 'invalid_grant'],
    ['account', 'invalid_grant'],
  ])('cannot redeem the code that it holds once its %s was revoked', async (what, error) => {
    const { callback, verifier } = await gate.client.authorize('alice');
    const code = callback.searchParams.get('code') ?? '';
    const signedIn = (await gate.events('sign-in')).at(-1);
    const session = signedIn?.annotations['portcullis.dev/session'] ?? '';
    expect(await gate.server.store.sessions.read(session)).toBeDefined();
    await gate.server.gate.revoke({ target: what === 'session' ? { kind: 'session', session } : ACCOUNT_TARGET });
    expect(await gate.client.redeem(code, verifier)).toMatchObject({ status: 400, body: { error } });
    expect(await gate.server.store.sessions.read(session)).toBeUndefined();
  });

  it.each(['session', 'account'])(
    'gets nothing from a refresh that was at the provider while its %s was revoked',
    async (what) => {
      const { refreshToken, session, accessToken } = await gate.client.signIn('alice');
      const answer = await meanwhile(
        () => gate.client.refresh(refreshToken),
        () => gate.server.gate.revoke({ target: what === 'session' ? { kind: 'session', session } : ACCOUNT_TARGET }),
      );
      expect(answer).toMatchObject({ status: 400, body: { error: 'invalid_grant' } });
      expect(answer.body['access_token']).toBeUndefined();
      expect(await reasonOf('refresh-refused')).toBe('session_unknown');
      expect((await gate.client.get('/version', accessToken)).status).toBe(401);
      expect((await gate.client.refresh(refreshToken)).status).toBe(400);
    },
  );

  it('loses nothing to a refresh while the provider is down: 503, and the same refresh token serves later', async () => {
    const { refreshToken, session } = await gate.client.signIn('alice');
    const before = await gate.server.store.sessions.read(session);
    gate.provider.lie({ token: () => ({ status: 503, body: 'later', type: 'text/plain' }) });
    const answer = await gate.client.refresh(refreshToken);
    expect(answer).toMatchObject({ status: 503, body: { error: 'temporarily_unavailable' } });
    expect(answer.headers['retry-after']).toBe('1');
    const after = await gate.server.store.sessions.read(session);
    expect([after?.expiresAt, after?.lastUsedAt]).toEqual([before?.expiresAt, before?.lastUsedAt]);
    gate.provider.lie({});
    expect((await gate.client.refresh(refreshToken)).status).toBe(200);
  });
});

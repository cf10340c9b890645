import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { ACCOUNT, startHostileInstance, type HostileInstance } from '../support/hostile-instance.ts';

const ACCOUNT_TARGET = { kind: 'account', account: ACCOUNT } as const;

describe('a sign-in that is in progress during a revocation', () => {
  let instance: HostileInstance;

  beforeAll(async () => {
    instance = await startHostileInstance();
  });
  afterEach(() => instance.provider.lie({}));
  afterAll(() => instance.stop());

  const reasonOf = async (name: string): Promise<string | undefined> =>
    (await instance.events(name)).at(-1)?.annotations['portcullis.dev/reason'];
  const sessions = async (): Promise<number> =>
    (await instance.server.store.sessions.list({ account: ACCOUNT, limit: 10 })).sessions.length;
  const asked = (path: string): number => instance.provider.asked.filter((one) => one === path).length;

  /** As users do, it begins again where the server's store took longer than a replica waits for it: on a busy machine. */
  async function untilHeld<T>(begin: () => Promise<T>, attempts = 5): Promise<{ readonly pending: Promise<T> }> {
    const before = asked('/token');
    const pending = begin();
    let ended = false;
    const end = (): boolean => (ended = true);
    pending.then(end, end);
    await vi.waitUntil(() => ended || asked('/token') > before);
    if (asked('/token') === before && attempts > 1) return untilHeld(begin, attempts - 1);
    expect(asked('/token')).toBe(before + 1);
    return { pending };
  }

  /** Holds the token response of the provider, runs an action meanwhile, and releases the response. */
  async function meanwhile<T>(begin: () => Promise<T>, happening: () => Promise<unknown>): Promise<T> {
    const hold = Promise.withResolvers<void>();
    instance.provider.lie({ hold: hold.promise });
    const { pending } = await untilHeld(begin);
    await happening();
    hold.resolve();
    return pending;
  }

  it('cannot be finished by a callback that was in progress while the account was revoked', async () => {
    const { callback } = await meanwhile(
      () => instance.client.authorize('alice'),
      () => instance.server.guard.revoke({ target: ACCOUNT_TARGET }),
    );
    expect(callback.pathname).toMatch(/^\/login\/[^/]+\/finish$/);
    expect(await reasonOf('sign-in-refused')).toBe('session_revoked');
    expect(await sessions()).toBe(0);
  });

  it.each(['provider', 'all'] as const)('cannot be finished either after a revocation of %s', async (kind) => {
    const target = kind === 'all' ? ({ kind } as const) : ({ kind, provider: 'demo' } as const);
    await meanwhile(
      () => instance.client.authorize('alice'),
      () => instance.server.guard.revoke({ target }),
    );
    expect(await reasonOf('sign-in-refused')).toBe('session_revoked');
  });

  it('cannot be finished while the account is locked, although the provider admitted the user', async () => {
    const lock = { reason: 'INC-4711', by: 'demo:root', at: Math.floor(Date.now() / 1000) };
    await meanwhile(
      () => instance.client.authorize('alice'),
      () => instance.server.guard.revoke({ target: ACCOUNT_TARGET, lock }),
    );
    expect(await reasonOf('sign-in-refused')).toBe('account_locked');
    await instance.server.store.locks.remove(ACCOUNT);
  });

  it.each([
    ['session', 'invalid_grant'],
    ['account', 'invalid_grant'],
  ])('cannot redeem the code that it holds once its %s was revoked', async (what, error) => {
    const { callback, verifier } = await instance.client.authorize('alice');
    const code = callback.searchParams.get('code') ?? '';
    const signedIn = (await instance.events('sign-in')).at(-1);
    const session = signedIn?.annotations['portcullis.dev/session'] ?? '';
    expect(await instance.server.store.sessions.read(session)).toBeDefined();
    await instance.server.guard.revoke({ target: what === 'session' ? { kind: 'session', session } : ACCOUNT_TARGET });
    expect(await instance.client.redeem(code, verifier)).toMatchObject({ status: 400, body: { error } });
    expect(await instance.server.store.sessions.read(session)).toBeUndefined();
  });

  it.each(['session', 'account'])(
    'gets no tokens from a refresh that was waiting for the provider while its %s was revoked',
    async (what) => {
      const { refreshToken, session, accessToken } = await instance.client.signIn('alice');
      const answer = await meanwhile(
        () => instance.client.refresh(refreshToken),
        () =>
          instance.server.guard.revoke({ target: what === 'session' ? { kind: 'session', session } : ACCOUNT_TARGET }),
      );
      expect(answer).toMatchObject({ status: 400, body: { error: 'invalid_grant' } });
      expect(answer.body['access_token']).toBeUndefined();
      expect(await reasonOf('refresh-refused')).toBe('session_unknown');
      expect((await instance.client.get('/version', accessToken)).status).toBe(401);
      expect((await instance.client.refresh(refreshToken)).status).toBe(400);
    },
  );

  it('keeps its refresh token when a refresh fails with 503 while the provider is unavailable', async () => {
    const { refreshToken, session } = await instance.client.signIn('alice');
    const before = await instance.server.store.sessions.read(session);
    instance.provider.lie({ token: () => ({ status: 503, body: 'later', type: 'text/plain' }) });
    const answer = await instance.client.refresh(refreshToken);
    expect(answer).toMatchObject({ status: 503, body: { error: 'temporarily_unavailable' } });
    expect(answer.headers['retry-after']).toBe('1');
    const after = await instance.server.store.sessions.read(session);
    expect([after?.expiresAt, after?.lastUsedAt]).toEqual([before?.expiresAt, before?.lastUsedAt]);
    instance.provider.lie({});
    expect((await instance.client.refresh(refreshToken)).status).toBe(200);
  });
});

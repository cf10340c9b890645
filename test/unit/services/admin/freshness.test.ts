import { afterEach, describe, expect, test } from 'vitest';
import { AppError } from '../../../../src/core/errors.ts';
import type { Account } from '../../../../src/core/identity/identity.ts';
import { no } from '../../../../src/core/result.ts';
import { judgeAdminFreshness } from '../../../../src/services/admin/freshness.ts';
import type { WebDeps } from '../../../../src/web/dependencies.ts';
import type { Actor } from '../../../../src/http/request-context.ts';
import { alsoAt, API, post, remove } from '../../web/admin-at.ts';
import {
  annotation,
  closeStages,
  openStage,
  openSession,
  PUBLIC_URL,
  sessionsOf,
  signedInAs,
  type AdminAt,
  type Stage,
  type StageOptions,
} from '../../web/harness.ts';
import { users, TestProvider } from '../../web/test-provider.ts';

afterEach(closeStages);

const seconds = (stage: Stage): number => Math.floor(stage.clock.nowMs() / 1000);
const ADMIN = { groups: ['corp:platform'], auditors: ['corp:security'], dualControl: 'off' } as const;
const ALICE = { account: 'corp/sub-alice', reason: 'INC-4711' };

/** Returns an admin whose sign-in has become too old for a change. */
async function staleAdmin(options: StageOptions = {}): Promise<AdminAt> {
  const at = await signedInAs('root', options);
  at.stage.clock.advance(16 * 60 + 1);
  return at;
}

describe('a change by an admin', () => {
  test.each<[string, (at: AdminAt) => ReturnType<typeof post>]>([
    ['a revocation', (at) => post(at, 'revocations', ALICE)],
    ['a lock', (at) => post(at, 'locks', ALICE)],
    ['an unlock', (at) => remove(at, `locks/${encodeURIComponent(ALICE.account)}?reason=x`)],
    ['lifting a fresh sign-in', (at) => remove(at, `fresh-sign-ins/${encodeURIComponent(ALICE.account)}?reason=x`)],
    ['ending a session', (at) => remove(at, 'sessions/alice-1?reason=x')],
    ['a drill', (at) => post(at, 'drills', { reason: 'x' })],
  ])('needs a fresh sign-in, and changes nothing without one: %s', async (_what, change) => {
    const at = await staleAdmin();
    await openSession(at.stage, 'alice-1', 'alice');
    const response = await change(at).expect(401);
    expect(response.body).toMatchObject({ code: 'fresh_sign_in_needed', maxAge: '900' });
    expect(response.body.detail).toContain('every 15 minutes');
    const [event] = at.stage.named('admin-refused');
    expect(event?.user.username).toBe('corp:root@example.com');
    expect(annotation(event, 'reason')).toBe('fresh_sign_in_needed');
    for (const name of ['revocation', 'lock', 'unlock', 'fresh-sign-in-lifted', 'drill'])
      expect(at.stage.named(name)).toEqual([]);
    expect(await at.stage.store.sessions.read('alice-1')).toBeDefined();
    expect(await at.stage.store.locks.list()).toEqual([]);
  });

  test('is allowed until the time is over, plus the tolerated difference of the clocks', async () => {
    const at = await signedInAs('root');
    at.stage.clock.advance(16 * 60);
    await post(at, 'revocations', ALICE).expect(200);
    expect(at.stage.named('revocation')).toHaveLength(1);
  });

  test.each([0, 300])(
    'takes a proof of a clock that is off by at most %d s, as the configuration allows',
    async (clockSkew) => {
      const changed = async (ahead: number, later = 0): Promise<number> => {
        const stage = await openStage({ config: { clockSkew } });
        stage.corp.authTime = seconds(stage) + ahead;
        const at = await alsoAt(stage, 'root');
        stage.clock.advance(later);
        return (await post(at, 'revocations', ALICE)).status;
      };
      expect([await changed(clockSkew), await changed(clockSkew + 1)]).toEqual([200, 401]);
      expect([await changed(0, 900 + clockSkew), await changed(0, 901 + clockSkew)]).toEqual([200, 401]);
    },
  );

  test('is allowed at any age of the sign-in when freshness is off', async () => {
    const at = await staleAdmin({ config: { admin: { ...ADMIN, freshness: 'off' } } });
    await post(at, 'revocations', ALICE).expect(200);
    expect(at.stage.named('revocation')).toHaveLength(1);
  });

  test.each<[string, (stage: Stage) => number | undefined]>([
    ['nothing', () => undefined],
    ['an hour ago', (stage) => seconds(stage) - 3600],
    ['in an hour', (stage) => seconds(stage) + 3600],
  ])('counts from the provider’s claim, never from our clock at the sign-in: %s', async (_said, authTime) => {
    const stage = await openStage();
    stage.corp.authTime = authTime(stage);
    const at = await alsoAt(stage, 'root');
    const { body } = await post(at, 'revocations', ALICE).expect(401);
    expect(body).toMatchObject({ code: 'fresh_sign_in_needed' });
  });

  test('is always rejected when the provider proves nothing, however fresh the session is', async () => {
    const at = await signedInAs('root', { providers: [new TestProvider('corp', { provesFreshness: false })] });
    const { body } = await post(at, 'revocations', ALICE).expect(403);
    expect(body).toMatchObject({ code: 'freshness_unprovable' });
    await at.browser.get('/admin/revoke?kind=account&value=corp%2Fsub-alice').expect(403);
    expect(at.stage.named('revocation')).toEqual([]);
  });

  test('is not a read', async () => {
    const at = await staleAdmin();
    for (const resource of ['sessions', 'locks', 'replicas']) await at.browser.get(`${API}/${resource}`).expect(200);
    await at.browser.get('/admin').expect(200);
    expect(at.stage.named('admin-refused')).toEqual([]);
  });

  test('to one’s own sessions needs no fresh sign-in', async () => {
    const at = await staleAdmin();
    const form = new URLSearchParams({ csrf: at.csrf }).toString();
    await at.browser.post('/logout').set('Origin', PUBLIC_URL).type('form').send(form);
    expect(await sessionsOf(at.stage)).toBe(0);
  });

  test('is rejected first for a user without the role, so that they are not sent to sign in for nothing', async () => {
    const at = await signedInAs('auditor');
    at.stage.clock.advance(3600);
    const { body } = await post(at, 'revocations', ALICE).expect(403);
    expect(body).toMatchObject({ code: 'forbidden' });
  });
});

interface Bench {
  readonly stage: Stage;
  readonly deps: WebDeps;
  /** Returns a caller with a token, whose session was opened just now. */
  readonly actor: (session: string, account?: Account) => Actor;
}

async function bench(options: StageOptions = {}): Promise<Bench> {
  const given: WebDeps[] = [];
  const stage = await openStage({ ...options, change: (deps) => (given.push(deps), deps) });
  const [deps] = given;
  const { identity } = users['root'] ?? {};
  if (deps === undefined || identity === undefined) throw new Error('no dependencies, or no such user');
  return {
    stage,
    deps,
    actor: (session, account = 'corp/sub-root') => {
      const proof = { provider: 'corp', authTime: seconds(stage) };
      return {
        identity,
        account,
        session,
        proof,
        assertValid: () => undefined,
        register: () => ({ close: () => undefined }),
      };
    },
  };
}

describe('a program', () => {
  test('counts from its provider’s claim when the session was opened', async () => {
    const { stage, deps, actor } = await bench();
    const root = actor('root-cli');
    expect(judgeAdminFreshness(deps, root).ok).toBe(true);
    stage.clock.advance(16 * 60 + 1);
    expect(judgeAdminFreshness(deps, root)).toEqual(no({ reason: 'fresh_sign_in_needed', withinSeconds: 900 }));
  });

  test('is rejected, however fresh, when its credential is no longer valid', async () => {
    const { deps, actor } = await bench();
    const over = new AppError('unauthenticated', 'Your session has ended.');
    const gone = (): never => {
      throw over;
    };
    expect(() => judgeAdminFreshness(deps, { ...actor('root-cli'), assertValid: gone })).toThrow(over);
  });

  test('needs no fresh sign-in as a workload that may start drills, because no user is there to sign in', async () => {
    const workload = [{ name: 'probe', role: 'drill', clusters: [] } as const];
    const { stage, deps, actor } = await bench({ config: { workload } });
    const probe = actor('probe-1', 'probe/sa:monitoring');
    stage.clock.advance(3000);
    expect(judgeAdminFreshness(deps, probe).ok).toBe(true);
  });

  test('needs a fresh sign-in as a workload of another role', async () => {
    const workload = [{ name: 'probe', role: 'none', clusters: [] } as const];
    const { stage, deps, actor } = await bench({ config: { workload } });
    const probe = actor('probe-1', 'probe/sa:monitoring');
    stage.clock.advance(3000);
    expect(judgeAdminFreshness(deps, probe)).toMatchObject(no({ reason: 'fresh_sign_in_needed' }));
  });
});

import { generateKeyPair, SignJWT, type CryptoKey } from 'jose';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { WorkloadRule } from '../../../../src/config/config.ts';
import { AppError } from '../../../../src/core/errors.ts';
import { createWorkloadExchange, type ExchangeWorkloadToken } from '../../../../src/oauth/workload/exchange.ts';
import { compileRules } from '../../../../src/oauth/workload/rules.ts';
import type { RevocationGuard } from '../../../../src/revocation/revocation.ts';
import { createMemoryStore } from '../../../../src/store/memory/memory.ts';
import type { Store } from '../../../../src/store/store.ts';
import { memoryGuard } from '../../../support/memory-guard.ts';

const ISSUER = 'https://issuer.example.com';
const PUBLIC_URL = 'https://portcullis.example.com';
const RULE: WorkloadRule = {
  name: 'ci',
  issuer: ISSUER,
  hosts: [],
  match: 'true',
  username: 'claims.sub',
  usernamePrefix: 'ci:',
  groupsPrefix: 'ci:',
  clusters: ['prod'],
  life: 900,
  role: 'none',
};

type Parts = Parameters<typeof createWorkloadExchange>[0]['store'];

describe('a workload token at the exchange', () => {
  let keys: { readonly publicKey: CryptoKey; readonly privateKey: CryptoKey };
  let now: number;
  let store: Store;
  let guard: RevocationGuard;

  beforeAll(async () => {
    keys = await generateKeyPair('ES256');
  });
  beforeEach(() => {
    now = Date.UTC(2030, 0, 1);
    store = createMemoryStore({ clock: { nowMs: () => now } });
    guard = memoryGuard(store);
  });
  afterEach(() => guard.stop());

  const exchange = (
    parts: Pick<Parts, 'artefacts'> = store,
    { clockSkew = 60, rules = [RULE] }: { readonly clockSkew?: number; readonly rules?: readonly WorkloadRule[] } = {},
  ): ExchangeWorkloadToken =>
    createWorkloadExchange({
      rules: compileRules(rules, 100, () => async () => keys.publicKey),
      publicUrl: PUBLIC_URL,
      store: { sessions: store.sessions, artefacts: parts.artefacts },
      guard,
      clock: { nowMs: () => now },
      clockSkew,
    });

  async function request(claims: Record<string, unknown> = {}) {
    const iat = now / 1000;
    const honest = { iss: ISSUER, aud: PUBLIC_URL, sub: 'job', jti: 'one', iat, exp: iat + 3600 };
    const subjectToken = await new SignJWT({ ...honest, ...claims })
      .setProtectedHeader({ alg: 'ES256' })
      .sign(keys.privateKey);
    return { subjectToken, address: '192.0.2.1', userAgent: 'test' };
  }

  it('opens one session for each issuer, subject and token id', async () => {
    await guard.start();
    const ids = new Set<string>();
    for (const claims of [{}, {}, { jti: 'two' }, { sub: 'other' }]) {
      const outcome = await exchange()(await request(claims));
      expect(outcome).toMatchObject({ ok: true, value: { provider: 'ci' } });
      if (outcome.ok) ids.add(outcome.value.id);
    }
    expect(ids.size).toBe(3);
    expect(await store.sessions.count()).toBe(3);
  });

  it.each([0, 60, 300])('is taken where its issuer’s clock is off by at most %d s', async (clockSkew) => {
    await guard.start();
    const ahead = async (seconds: number) => {
      const iat = now / 1000 + seconds;
      return exchange(store, { clockSkew })(await request({ jti: `of ${seconds}`, iat, exp: iat + 300 }));
    };
    expect(await ahead(clockSkew)).toMatchObject({ ok: true });
    expect(await ahead(clockSkew + 1)).toMatchObject({ reason: { reason: 'subject_token_not_yet_valid' } });
    expect(await ahead(-300 - clockSkew)).toMatchObject({ reason: { reason: 'subject_token_expired' } });
  });

  it('opens nothing again once its session’s life is over, although it is good for longer', async () => {
    await guard.start();
    const asked = await request();
    const first = await exchange()(asked);
    now += 901_000;
    expect(await exchange()(asked)).toEqual(first);
    expect(await store.sessions.count()).toBe(0);
  });

  it('opens nothing again although its use could not be marked at first, once another request has joined', async () => {
    await guard.start();
    const asked = await request();
    const artefacts: Parts['artefacts'] = {
      find: (...args) => store.artefacts.find(...args),
      consume: (...args) => store.artefacts.consume(...args),
      save: () => Promise.reject(new AppError('store_unavailable', 'away')),
    };
    await expect(exchange({ artefacts })(asked)).rejects.toMatchObject({ code: 'store_unavailable' });
    expect(await store.sessions.count()).toBe(1);
    // As the answer says, the same token may come again.
    expect(await exchange()(asked)).toMatchObject({ ok: true });
    now += 901_000;
    expect(await exchange()(asked)).toMatchObject({ ok: true });
    expect(await store.sessions.count()).toBe(0);
  });

  it('opens nothing where its session was revoked while another request with the same token was on its way', async () => {
    await guard.start();
    const asked = await request();
    const hold = Promise.withResolvers<void>();
    const opened = Promise.withResolvers<void>();
    const artefacts: Parts['artefacts'] = {
      find: (...args) => store.artefacts.find(...args),
      consume: (...args) => store.artefacts.consume(...args),
      save: async (...args) => {
        opened.resolve();
        await hold.promise;
        return store.artefacts.save(...args);
      },
    };
    // The first has opened the session, and has not yet marked the token as used.
    const first = exchange({ artefacts })(asked);
    await opened.promise;
    const { sessions } = await store.sessions.list({ limit: 1 });
    await guard.revoke({ target: { kind: 'session', session: sessions[0]?.id ?? '' } });
    const second = exchange()(asked);
    expect(await second).toMatchObject({ ok: true });
    hold.resolve();
    expect(await first).toMatchObject({ ok: false, reason: { reason: 'subject_token_used' } });
    expect(await store.sessions.count()).toBe(0);
  });

  it('is rejected where the rules of its issuer together take more steps than one sign-in may', async () => {
    await guard.start();
    const list = `[${Array.from({ length: 40 }, () => '1').join(',')}]`;
    // Each takes a quarter of a million.
    const match = `${list}.all(x, ${list}.all(y, ${list}.all(z, true))) && false`;
    const rules = Array.from({ length: 12 }, (_, index) => ({ ...RULE, name: `ci-${index}`, match }));
    expect(await exchange(store, { rules })(await request())).toMatchObject({
      ok: false,
      reason: { reason: 'expression_too_costly' },
    });
    const few = await exchange(store, { rules: [...rules.slice(0, 2), RULE] })(await request());
    expect(few).toMatchObject({ ok: true, value: { provider: 'ci' } });
  });

  it('is not looked at by a replica that is fenced', async () => {
    await expect(exchange()(await request())).rejects.toMatchObject({ code: 'fenced' });
  });
});

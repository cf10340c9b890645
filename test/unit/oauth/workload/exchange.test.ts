import { generateKeyPair, SignJWT, type CryptoKey } from 'jose';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { WorkloadRule } from '../../../../src/config/config.ts';
import { AppError } from '../../../../src/core/errors.ts';
import type { AuditEvent } from '../../../../src/core/audit/event.ts';
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

/** The order of P-256: with (r, s) a signature, (r, n - s) is one too. */
const ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;

function mirrored(signature: string): string {
  const bytes = Buffer.from(signature, 'base64url');
  const s = BigInt(`0x${bytes.subarray(32).toString('hex')}`);
  const other = Buffer.from((ORDER - s).toString(16).padStart(64, '0'), 'hex');
  return Buffer.concat([bytes.subarray(0, 32), other]).toString('base64url');
}

/** Base64url of 64 bytes has four bits at its end that mean nothing. */
function looselyEncoded(signature: string): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  return signature.slice(0, -1) + (alphabet[alphabet.indexOf(signature.at(-1) ?? '') + 1] ?? '');
}

describe('a workload token at the exchange', () => {
  let keys: { readonly publicKey: CryptoKey; readonly privateKey: CryptoKey };
  let now: number;
  let store: Store;
  let guard: RevocationGuard;
  let audited: AuditEvent[];

  beforeAll(async () => {
    keys = await generateKeyPair('ES256');
  });
  beforeEach(() => {
    now = Date.UTC(2030, 0, 1);
    store = createMemoryStore({ clock: { nowMs: () => now } });
    guard = memoryGuard(store);
    audited = [];
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
      audit: { recordAhead: async (event) => audited.push(event) > 0 },
      clock: { nowMs: () => now },
      clockSkew,
    });

  async function request(claims: Record<string, unknown> = {}) {
    const iat = now / 1000;
    const honest = { iss: ISSUER, aud: PUBLIC_URL, sub: 'job', jti: 'one', iat, exp: iat + 3600 };
    const subjectToken = await new SignJWT({ ...honest, ...claims })
      .setProtectedHeader({ alg: 'ES256' })
      .sign(keys.privateKey);
    const facts = { auditId: 'of the request', requestUri: '/oauth/token', sourceIps: ['192.0.2.1'] };
    return { subjectToken, address: '192.0.2.1', userAgent: 'test', facts };
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

  it('evaluates the rules for one token in a turn of the event loop, however many are verified at once', async () => {
    await guard.start();
    const ids = Array.from({ length: 8 }, (_, index) => `of ${index}`);
    const requests = await Promise.all(ids.map((jti) => request({ jti })));
    let inTurn = 0;
    let mostInTurn = 0;
    let isDone = false;
    const nextTurn = (): void => {
      mostInTurn = Math.max(mostInTurn, inTurn);
      inTurn = 0;
      if (!isDone) setImmediate(nextTurn);
    };
    setImmediate(nextTurn);
    const outcomes = requests.map(async (each) => {
      const outcome = await exchange(store, { rules: [{ ...RULE, match: 'false' }] })(each);
      inTurn += 1;
      return outcome.ok || outcome.reason.reason;
    });
    // Meanwhile the signatures are verified by other threads.
    await new Promise((resolve) => void setImmediate(resolve));
    const since = process.threadCpuUsage();
    while (process.threadCpuUsage(since).user < 100_000);
    expect(await Promise.all(outcomes)).toEqual(ids.map(() => 'no_rule_matches'));
    isDone = true;
    nextTurn();
    expect(mostInTurn).toBe(1);
  });

  // Anyone who sees such a token may write it in another way, whose signature is as good.
  it('knows a token without an id in each of its texts', async () => {
    await guard.start();
    const first = await request({ jti: undefined });
    const [header, payload, signature = ''] = first.subjectToken.split('.');
    const texts = [
      first.subjectToken,
      ...[mirrored(signature), looselyEncoded(signature)].map((other) => [header, payload, other].join('.')),
    ];
    expect(new Set(texts).size).toBe(3);
    const ids = new Set<string>();
    for (const subjectToken of texts) {
      const outcome = await exchange()({ ...first, subjectToken });
      ids.add(outcome.ok ? outcome.value.id : outcome.reason.reason);
    }
    expect(ids.size).toBe(1);
    const other = await exchange()(await request({ jti: undefined, nonce: 'x' }));
    expect(other.ok && !ids.has(other.value.id)).toBe(true);
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
    expect(audited).toMatchObject([
      { verb: 'revocation-begun', auditID: 'of the request', requestURI: '/oauth/token' },
    ]);
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

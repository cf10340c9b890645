import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { expect, test } from 'vitest';
import type { DelegationClientConfig } from '../../../src/config/config.ts';
import { createDelegationExchange } from '../../../src/oauth/delegation/exchange.ts';
import { createMemoryStore } from '../../../src/store/memory/memory.ts';

const ISSUER = 'https://portcullis.example.com';
const START = Date.UTC(2030, 0, 1) / 1000;
const CLIENT: DelegationClientConfig = {
  id: 'mcp',
  resource: 'https://mcp.example.com/mcp',
  limit: { preset: 'read-only' },
  clusters: ['prod'],
  lifetime: 600,
  binding: 'none',
};

interface Lists {
  readonly count: number;
  readonly mostAtOnce: number;
}

const nextTurn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

/**
 * Exchanges a token of alice's for a client, at a time. @returns the id of the session
 * @param listed what the search for a session waits for
 */
async function startExchange({ mostDelegations = 20, listed = nextTurn } = {}): Promise<{
  readonly exchange: (client: DelegationClientConfig, at: number) => Promise<string>;
  readonly lists: Lists;
  /** How often a token was found good: each exchange asks once. */
  readonly verified: () => number;
}> {
  let verified = 0;
  const lists = { count: 0, mostAtOnce: 0 };
  let running = 0;
  let now = START;
  const clock = { nowMs: () => now * 1000 };
  const store = createMemoryStore({ clock });
  const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true });
  const startedAt = await store.log.position();
  const alice = {
    account: 'corp/alice',
    provider: 'corp',
    subject: 'alice',
    identity: { username: 'alice', uid: '1', groups: [], extra: {} },
    client: 'mcp-client',
    createdAt: START,
    expiresAt: START + 36_000,
    idleSeconds: 36_000,
    address: '',
    userAgent: '',
    startedAt,
  } as const;
  await store.sessions.open({ ...alice, id: 'own' }, {});
  const token = await new SignJWT({ sid: 'own', client_id: 'mcp-client', ep: startedAt.epoch, ln: startedAt.number })
    .setProtectedHeader({ alg: 'ES256', typ: 'at+jwt' })
    .setIssuer(ISSUER)
    .setSubject(alice.account)
    .setAudience(CLIENT.resource)
    .setJti('1')
    .setIssuedAt(START - 7200)
    .setExpirationTime(START + 36_000)
    .sign(privateKey);
  let opened = 0;
  const exchange = createDelegationExchange({
    publicUrl: ISSUER,
    verifying: () => ({ keys: [jwk] }),
    sessions: {
      read: (id) => store.sessions.read(id),
      list: async (query) => {
        lists.count += 1;
        running += 1;
        lists.mostAtOnce = Math.max(lists.mostAtOnce, running);
        await listed();
        running -= 1;
        return store.sessions.list(query);
      },
    },
    guard: { check: () => void (verified += 1) },
    audiences: { allows: () => true },
    most: 'rules',
    isWithin: () => true,
    clock,
    create: async ({ parent, actor, clusters, limits, seconds, sourceCidrs }) => {
      opened += 1;
      const about = sourceCidrs === undefined ? {} : { sourceCidrs };
      const delegation = { ancestors: [parent], actors: [actor], clusters, limits, ...about };
      const times = { createdAt: now, expiresAt: now + seconds };
      const session = { ...alice, ...times, id: `child-${opened}`, delegation };
      await store.sessions.open(session, {}, { mostDelegations });
      return { ok: true, value: session };
    },
  });
  const jwk = { ...(await exportJWK(publicKey)), alg: 'ES256' };
  return {
    lists,
    verified: () => verified,
    exchange: async (client, at) => {
      now = START + at;
      const outcome = await exchange({ client, subjectToken: token, address: '192.0.2.1', userAgent: '' });
      if (!outcome.ok) throw new Error(outcome.reason.reason);
      return outcome.value.session.id;
    },
  };
}

test.each<readonly [when: string, change: Partial<DelegationClientConfig>, at: number, session: string]>([
  ['asked for again', {}, 299, 'child-1'],
  ['half of its life is over', {}, 300, 'child-2'],
  ['its client may have less time now', { lifetime: 60 }, 10, 'child-2'],
  ['its client may do less now', { limit: { preset: 'read-only', namespaces: ['shop'] } }, 10, 'child-2'],
  ['its client may use it from fewer addresses now', { sourceCidrs: ['192.0.2.0/24'] }, 10, 'child-2'],
  ['the clock was set back by an hour, so that it would last longer', {}, -3600, 'child-2'],
])('an exchange where a session is there and %s', async (_when, change, at, session) => {
  const { exchange } = await startExchange();
  expect(await exchange(CLIENT, 0)).toBe('child-1');
  expect(await exchange({ ...CLIENT, ...change }, at)).toBe(session);
});

test('a client that exchanges without end at the same moment is told to wait, and what waits already goes on', async () => {
  const lists = Promise.withResolvers<void>();
  const { exchange } = await startExchange({ mostDelegations: 200, listed: () => lists.promise });
  const rejected: unknown[] = [];
  const outcomes = Array.from({ length: 70 }, async (_each, index) => {
    const limit = { preset: 'read-only' as const, namespaces: [`team-${index}`] };
    return exchange({ ...CLIENT, limit }, 0).catch((error: unknown) => void rejected.push(error));
  });
  await expect.poll(() => rejected.length).toBe(9);
  lists.resolve();
  expect(new Set(await Promise.all(outcomes)).size).toBe(61 + 1);
  expect(rejected).toEqual(Array.from({ length: 9 }, () => new Error('too_many_exchanges')));
});

test('exchanges of an account at the same moment look for a session one after the other, and equal ones once', async () => {
  const together = Promise.withResolvers<void>();
  const { exchange, lists, verified } = await startExchange({ listed: () => together.promise.then(nextTurn) });
  const limits = ['a', 'b', 'c', 'd'].map((name) => ({ preset: 'read-only' as const, namespaces: [name] }));
  const clients = limits.flatMap((limit) => [
    { ...CLIENT, limit },
    { ...CLIENT, limit },
  ]);
  const sessions = clients.map((client) => exchange(client, 0));
  await expect.poll(verified).toBe(clients.length);
  together.resolve();
  expect(new Set(await Promise.all(sessions)).size).toBe(limits.length);
  expect(lists).toEqual({ count: limits.length, mostAtOnce: 1 });
});

import { randomBytes } from 'node:crypto';

import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, it } from 'vitest';

import type { Account } from '../../src/core/identity.ts';
import { createRedisStore } from '../../src/store/redis/redis.ts';
import type { ArtefactKind, NewSession, Store } from '../../src/store/store.ts';
import { answering } from '../conformance/redis-stores.ts';
import { startRedis, type RedisServer } from '../support/redis.ts';

const NOW_MS = Date.UTC(2031, 0, 1);
const NOW = NOW_MS / 1000;

/** Long enough to be no accident, and of the alphabet that tokens and addresses have. */
const canary = (what: string): string => `CANARY-${what}-${randomBytes(9).toString('hex')}`;

/** Whatever would let somebody in, or say who somebody is. */
const canaries = {
  code: canary('code'),
  refreshToken: canary('refresh'),
  nextRefreshToken: canary('refresh-next'),
  providerToken: canary('provider'),
  nextProviderToken: canary('provider-next'),
  state: canary('state'),
  nonce: canary('nonce'),
  verifier: canary('verifier'),
  cookie: canary('cookie'),
  csrf: canary('csrf'),
  interaction: canary('interaction'),
  uid: canary('uid'),
  userCode: canary('user-code'),
  deviceCode: canary('device'),
  username: `${canary('alice')}@example.com`,
  nextUsername: `${canary('alicia')}@example.com`,
  group: canary('group'),
  subject: `${canary('subject')}@example.com`,
  extra: canary('extra'),
  address: canary('address'),
  userAgent: canary('agent'),
  session: canary('session'),
  endedSession: canary('ended-session'),
  holder: canary('holder-of-nothing'),
} as const;

const account: Account = `corp/${canaries.subject}`;
const provided = (username: string) => ({
  username,
  uid: account,
  groups: [canaries.group],
  extra: { 'example.com/mail': [canaries.extra] },
});

let redis: RedisServer;
let bare: Redis;
let store: Store;

beforeAll(async () => {
  redis = await startRedis();
  bare = new Redis({ host: '127.0.0.1', port: redis.port });
  const key = randomBytes(32);
  store = createRedisStore({
    config: { url: redis.url, prefix: 'gate' },
    sealingKeys: { current: { kid: 'k1', key }, all: new Map([['k1', key]]) },
    clock: { now: () => NOW_MS },
  });
  await answering(store);
});
afterAll(async () => {
  await store.close();
  bare.disconnect();
  await redis.stop();
});

async function useArtefacts(): Promise<void> {
  const { artefacts } = store;
  const ofSession = { ttlSeconds: 600, session: canaries.session };
  const saved: readonly [ArtefactKind, string, Parameters<Store['artefacts']['save']>[3]][] = [
    ['AuthorizationCode', canaries.code, ofSession],
    ['RefreshToken', canaries.refreshToken, ofSession],
    ['RefreshToken', canaries.nextRefreshToken, ofSession],
    ['Grant', canaries.session, ofSession],
    ['SignIn', canaries.state, { ttlSeconds: 600 }],
    ['BrowserCookie', canaries.cookie, ofSession],
    ['Session', canaries.interaction, { ttlSeconds: 600, uid: canaries.uid }],
    ['DeviceCode', canaries.deviceCode, { ttlSeconds: 600, userCode: canaries.userCode }],
  ];
  for (const [kind, id, options] of saved) {
    const payload = { jti: id, account, nonce: canaries.nonce, verifier: canaries.verifier, csrf: canaries.csrf };
    await artefacts.save(kind, id, payload, options);
    expect(await artefacts.find(kind, id)).toEqual(payload);
  }
  await artefacts.findByUid('Session', canaries.uid);
  await artefacts.findByUserCode('DeviceCode', canaries.userCode);
  await artefacts.consume('AuthorizationCode', canaries.code);
  await artefacts.save('SignIn', `${canaries.state}-taken`, {}, { ttlSeconds: 600 });
  await artefacts.take('SignIn', `${canaries.state}-taken`);
  await artefacts.destroy('SignIn', `${canaries.state}-unknown`);
  await artefacts.destroyOfSession(`${canaries.session}-unknown`);
}

async function useSessions(): Promise<void> {
  const { sessions, log } = store;
  const session: NewSession = {
    id: canaries.session,
    account,
    provider: 'corp',
    subject: canaries.subject,
    client: 'portcullis-cli',
    identity: provided(canaries.username),
    createdAt: NOW,
    expiresAt: NOW + 86_400,
    idleSeconds: 3600,
    address: canaries.address,
    userAgent: canaries.userAgent,
    startedAt: await log.position(),
  };
  expect(await sessions.open(session, { refreshToken: canaries.providerToken })).toMatchObject({ ok: true });
  expect(await sessions.open({ ...session, id: canaries.endedSession }, {})).toMatchObject({ ok: true });
  await sessions.mint(canaries.session, { thumbprint: 'thumbprint' });
  const identity = provided(canaries.nextUsername);
  await sessions.update(canaries.session, { identity, secret: { refreshToken: canaries.nextProviderToken } });
  expect(await sessions.read(canaries.session)).toMatchObject({ version: 2, identity });
  expect(await sessions.readSecret(canaries.session)).toEqual({ refreshToken: canaries.nextProviderToken });
  await sessions.list({ account, limit: 10 });
  await sessions.count();
  await sessions.claimRecheck(canaries.session, 'replica', 30);
  await sessions.claimRecheck(canaries.endedSession, 'replica', 30);
  await sessions.releaseRecheck(canaries.endedSession, 'replica');
}

async function useLog(): Promise<void> {
  const { log } = store;
  const { position } = await log.join();
  await log.renew({ incarnation: 'a', name: 'gate-0', count: 1, number: 0, streamsCut: 0 }, position);
  const until = NOW + 600;
  const ended = { kind: 'session', session: canaries.endedSession } as const;
  await log.append({ requestId: 'one', target: ended, until });
  const somebody = { kind: 'account', account: `corp/${canaries.subject}-2` } as const;
  await log.append({ requestId: 'two', target: somebody, until });
  await log.append({ requestId: 'three', target: { kind: 'provider', provider: 'hub' }, until });
  await log.leave('nobody');
}

/** Every key's name, its value as its type is read, and the bytes that Redis would write to disk. */
async function dump(): Promise<{ readonly keys: readonly string[]; readonly bytes: Buffer }> {
  const keys: string[] = [];
  for await (const batch of bare.scanStream({ count: 100 })) keys.push(...(batch as string[]));
  const readers: Record<string, (key: string) => Promise<unknown>> = {
    string: (key) => bare.get(key),
    hash: (key) => bare.hgetall(key),
    set: (key) => bare.smembers(key),
    zset: (key) => bare.zrange(key, 0, '-1', 'WITHSCORES'),
    stream: (key) => bare.xrange(key, '-', '+'),
    list: (key) => bare.lrange(key, 0, -1),
  };
  const parts: Buffer[] = [];
  for (const key of keys) {
    const read = readers[await bare.type(key)];
    if (read === undefined) throw new Error(`no reader for the type of ${key}`);
    parts.push(Buffer.from(`${key} ${JSON.stringify(await read(key))}`), (await bare.dumpBuffer(key)) ?? Buffer.of());
  }
  return { keys, bytes: Buffer.concat(parts) };
}

/** The encodings under which a secret could still be read, or used. Base64 has three forms, by where in a text it begins. */
function spellings(secret: string): readonly string[] {
  const base64 = [0, 1, 2].map((shift) =>
    Buffer.concat([Buffer.alloc(shift), Buffer.from(secret)])
      .toString('base64url')
      .slice(shift === 0 ? 0 : shift + 1, -4),
  );
  return [secret, encodeURIComponent(secret), Buffer.from(secret).toString('hex'), ...base64];
}

it('keeps no secret and no person readable in Redis, whatever was done with it', async () => {
  await useArtefacts();
  await useSessions();
  await useLog();
  const { keys, bytes } = await dump();
  const kinds = new Set(keys.map((key) => key.split(':')[1]));
  const used = [
    'account',
    'artefact',
    'code',
    'epoch',
    'idx',
    'live',
    'log',
    'of',
    'recheck',
    'request',
    'session',
    'uid',
    'wm',
  ];
  expect([...kinds]).toEqual(expect.arrayContaining(used));
  const found = Object.entries(canaries).filter(([, secret]) => spellings(secret).some((text) => bytes.includes(text)));
  expect(found).toEqual([]);
});

it('would have found a secret, had there been one', async () => {
  for (const spelling of spellings(canaries.code)) {
    await bare.set('leak', `before ${spelling} after`);
    expect((await dump()).bytes.includes(spelling)).toBe(true);
  }
  const embedded = Buffer.from(`{"a":"${canaries.code}"}`).toString('base64url');
  expect(spellings(canaries.code).some((text) => embedded.includes(text))).toBe(true);
  await bare.del('leak');
});

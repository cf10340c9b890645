import { randomBytes } from 'node:crypto';

import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, it } from 'vitest';

import type { Account } from '../../src/core/identity/identity.ts';
import { createRedisStore } from '../../src/store/redis/redis.ts';
import type { ArtefactKind, NewSession, Store } from '../../src/store/store.ts';
import { answering, ANY_SKEW, settle, testMonotonic } from '../conformance/redis-stores.ts';
import { dumpRedis, spellings } from '../support/redis-dump.ts';
import { startRedis, type RedisServer } from '../support/redis.ts';

const NOW_MS = Date.UTC(2031, 0, 1);
const NOW = NOW_MS / 1000;

/** Long enough to be no accident, and of the alphabet that tokens and addresses have. */
const canary = (what: string): string => `CANARY-${what}-${randomBytes(9).toString('hex')}`;

/** Everything that would admit a client, or identify a user. */
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
  deviceName: canary('laptop'),
  session: canary('session'),
  providerSid: canary('provider-sid'),
  endedSession: canary('ended-session'),
  holder: canary('holder-of-nothing'),
  lockReason: canary('lock-reason'),
  lockedSubject: canary('locked-subject'),
  admin: canary('admin'),
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
const monotonicMs = testMonotonic();

beforeAll(async () => {
  redis = await startRedis();
  bare = new Redis({ host: '127.0.0.1', port: redis.port });
  const key = randomBytes(32);
  store = createRedisStore({
    config: { url: redis.url, prefix: 'at-rest' },
    sealingKeys: { current: { kid: 'k1', key }, all: new Map([['k1', key]]) },
    clock: { nowMs: () => NOW_MS },
    clockSkewSeconds: ANY_SKEW,
    monotonicMs: monotonicMs.now,
  });
  await settle(await answering(store), monotonicMs);
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
    deviceName: canaries.deviceName,
    startedAt: await log.position(),
    providerSid: canaries.providerSid,
  };
  expect(await sessions.open(session, { refreshToken: canaries.providerToken })).toMatchObject({ ok: true });
  expect(await sessions.open({ ...session, id: canaries.endedSession }, {})).toMatchObject({ ok: true });
  await sessions.mint(canaries.session, { thumbprint: 'thumbprint' });
  const identity = provided(canaries.nextUsername);
  await sessions.update(canaries.session, { identity, secret: { refreshToken: canaries.nextProviderToken } });
  expect(await sessions.read(canaries.session)).toMatchObject({
    version: 2,
    identity,
    deviceName: canaries.deviceName,
  });
  expect(await sessions.readSecret(canaries.session)).toEqual({ refreshToken: canaries.nextProviderToken });
  await sessions.list({ account, limit: 10 });
  await sessions.list({ providerSession: { provider: 'corp', sid: canaries.providerSid }, limit: 10 });
  await sessions.closeProviderSession({ provider: 'corp', sid: canaries.providerSid });
  await sessions.count();
  await sessions.claimRecheck(canaries.session, 'replica', 30);
  await sessions.claimRecheck(canaries.endedSession, 'replica', 30);
  await sessions.releaseRecheck(canaries.endedSession, 'replica');
}

async function useLog(): Promise<void> {
  const { log } = store;
  const { position } = await log.join(300);
  await log.renew({ incarnation: 'a', name: 'portcullis-0', count: 1, number: 0, streamsCut: 0 }, position);
  const ended = { kind: 'session', session: canaries.endedSession } as const;
  await log.append({ requestId: 'one', target: ended });
  const otherAccount = { kind: 'account', account: `corp/${canaries.subject}-2` } as const;
  await log.append({ requestId: 'two', target: otherAccount });
  await log.append({ requestId: 'three', target: { kind: 'provider', provider: 'hub' } });
  const lock = { reason: canaries.lockReason, by: canaries.admin, at: NOW };
  const locked = { kind: 'account', account: `corp/${canaries.lockedSubject}` } as const;
  await log.append({ requestId: 'four', target: locked, lock });
  expect(await store.locks.list()).toMatchObject([{ reason: canaries.lockReason }]);
  await log.leave('unknown');
}

async function useLive(): Promise<void> {
  const { live } = store;
  await live.subscribe('tail', { user: canaries.username }, { ttlMs: 60_000, most: 1 });
  await live.publish([JSON.stringify({ user: canaries.username, userAgent: canaries.userAgent })]);
  expect(await live.subscriptions('here')).toMatchObject([{ filter: { user: canaries.username } }]);
}

it('keeps no secret and no user’s identity readable in Redis, after every use of it', async () => {
  await useArtefacts();
  await useSessions();
  await useLog();
  await useLive();
  const { keys, bytes } = await dumpRedis(bare);
  const kinds = new Set(keys.map((key) => key.split(':')[1]));
  const used = [
    'account',
    'artefact',
    'closed',
    'code',
    'epoch',
    'idx',
    'fresh',
    'live',
    'lock',
    'log',
    'of',
    'provider-session',
    'recheck',
    'record',
    'request',
    'session',
    'tails',
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
    expect((await dumpRedis(bare)).bytes.includes(spelling)).toBe(true);
  }
  const embedded = Buffer.from(`{"a":"${canaries.code}"}`).toString('base64url');
  expect(spellings(canaries.code).some((text) => embedded.includes(text))).toBe(true);
  await bare.del('leak');
});

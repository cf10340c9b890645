/** Grants of a real Redis at two replicas: from the moment at which they begin there, to an end that needs no message, and to one with a receipt. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import type { AccessRequest } from '../../src/core/access/request.ts';
import { termsOf, type AccessRole } from '../../src/core/access/role.ts';
import { createRedisStore } from '../../src/store/redis/redis.ts';
import type { Store, StoredRequest } from '../../src/store/store.ts';
import { ALICE, call, open, pairsOf, signIn, startPlane, until } from '../support/data-plane.ts';
import type { TestPlane, TestUser } from '../support/data-plane.ts';
import { untilSettled } from '../support/instance.ts';
import { startRedis, type RedisServer } from '../support/redis.ts';
import { answerJson } from '../support/upstream.ts';

const PODS = '/api/v1/namespaces/shop/pods';
const ADMINS: AccessRole = {
  name: 'shop-admins',
  description: 'All of the shop.',
  groups: ['shop:admins'],
  requesters: ['corp:developers'],
  approval: { groups: ['corp:leads'], count: 1 },
  longest: 3600,
};

let redis: RedisServer;
let stores: readonly Store[];
let one: TestPlane;
let two: TestPlane;
let alice: TestUser;
/** Runs when a session has been read, before its reader has it. */
let reading: () => Promise<void> = () => Promise.resolve();

beforeAll(async () => {
  redis = await startRedis();
  const key = randomBytes(32);
  const sealingKeys = { current: { kid: 'k1', key }, all: new Map([['k1', key]]) };
  const config = { url: redis.url, prefix: 'granted' };
  stores = [1, 2].map(() => createRedisStore({ config, sealingKeys, clock: { nowMs: Date.now } }));
  const [first, second] = stores as [Store, Store];
  const access = { roles: [ADMINS] };
  one = await startPlane({
    access,
    store: first,
    read: (read) => async (id) => {
      const record = await read(id);
      await reading();
      return record;
    },
  });
  two = await startPlane({ access, store: second, beside: one });
  await Promise.all(stores.map(untilSettled));
});
beforeEach(async () => {
  alice = await signIn(one);
  reading = () => Promise.resolve();
});
afterEach(async () => {
  for (const { socket } of one.upstream.connections) socket.destroy();
  await until(() => one.guard.inFlight + two.guard.inFlight === 0, 'nothing in flight');
});
afterAll(async () => {
  await two.close();
  await one.close();
  await Promise.all(stores.map((store) => store.close()));
  await redis.stop();
});

/** Asks for the role and has it approved, as the service behind access requests does. */
async function grant({ session }: TestUser, seconds: number): Promise<StoredRequest> {
  const now = Math.floor(Date.now() / 1000);
  const request: AccessRequest = {
    id: randomBytes(16).toString('base64url'),
    session: session.id,
    account: session.account,
    provider: session.provider,
    username: session.identity.username,
    knownAs: ['alice'],
    terms: termsOf(ADMINS),
    reason: 'INC-4711',
    seconds,
    requestedAt: now,
    openUntil: now + 3600,
    address: '127.0.0.1',
    state: 'open',
    decisions: [],
  };
  const asked = await one.store.access.create(request);
  if (!asked.ok) throw new Error(asked.reason);
  const approval = { account: 'corp/bob', username: 'corp:bob', at: now, approved: true } as const;
  const next: AccessRequest = { ...request, state: 'granted', decisions: [approval] };
  const begun = await one.store.access.begin(asked.stored, next, seconds);
  if (!begun.ok) throw new Error(begun.reason);
  await Promise.all([one.guard.refresh(), two.guard.refresh()]);
  return begun.stored;
}

async function groupsAt(plane: TestPlane): Promise<readonly string[]> {
  one.upstream.answer = answerJson({ kind: 'PodList' });
  expect((await call(plane, alice, PODS)).status).toBe(200);
  const sent = pairsOf(one.upstream.requests.at(-1)?.rawHeaders);
  return sent.flatMap(([name, value]) => (name.toLowerCase() === 'impersonate-group' ? [value] : []));
}
const groups = async (): Promise<readonly (readonly string[])[]> => [await groupsAt(one), await groupsAt(two)];

/** A quiet watch. @returns whether it has been cut */
async function watch(plane: TestPlane): Promise<() => boolean> {
  one.upstream.answer = (_req, res) => {
    res.writeHead(200, { 'content-type': 'application/json' });
    res.write('{"type":"ADDED"}\n');
  };
  const req = open(plane, alice, `${PODS}?watch=1`);
  req.end();
  const [res] = (await once(req, 'response')) as [IncomingMessage];
  let isCut = false;
  res.resume().on('error', () => (isCut = true));
  return () => isCut;
}

const GRANTED = [...ALICE.groups, 'shop:admins'];

it('gives its groups at the next request on each replica, and takes them at its end without a message', async () => {
  expect(await groups()).toEqual([ALICE.groups, ALICE.groups]);
  const own = await watch(two);
  await grant(alice, 1);
  const [here, there] = [await watch(one), await watch(two)];
  expect(await groups()).toEqual([GRANTED, GRANTED]);
  const { number } = await one.store.log.position();
  await until(() => here() && there(), 'the cuts');
  expect(await groups()).toEqual([ALICE.groups, ALICE.groups]);
  // No replica has written that it is over.
  expect([(await one.store.log.position()).number, own()]).toEqual([number, false]);
});

it('ends early on each replica, with a receipt of what each has cut', async () => {
  const { request } = await grant(alice, 600);
  expect(await groups()).toEqual([GRANTED, GRANTED]);
  const cuts = [await watch(one), await watch(two), await watch(two)];
  const target = { kind: 'grant', grant: request.id, session: alice.session.id } as const;
  const result = await one.guard.revoke({ target });
  expect(result).toMatchObject({ complete: true, sessions: 0, streamsClosed: 3 });
  expect(result.replicas.map(({ id, state, streamsClosed }) => [id, state, streamsClosed])).toEqual([
    ['replica-a', 'applied', 1],
    ['replica-b', 'applied', 2],
  ]);
  await until(() => cuts.every((isCut) => isCut()), 'the cuts');
  expect(await groups()).toEqual([ALICE.groups, ALICE.groups]);
});

it('is not missed by a session that was being read when it began', async () => {
  const begun = Promise.withResolvers<void>();
  let reads = 0;
  reading = async () => {
    reads += 1;
    if (reads === 1) await begun.promise;
  };
  const asked = groupsAt(one);
  await until(() => reads === 1, 'the read');
  await grant(alice, 600);
  begun.resolve();
  expect([await asked, reads]).toEqual([GRANTED, 2]);
});

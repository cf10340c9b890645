/**
 * What a later version may not do beside this one: revoke in a way that this one does not know. Where it does so all the same, this one refuses
 * everything rather than miss a revocation (docs/upgrade.md, "Two versions side by side").
 */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { request } from 'node:https';
import type { IncomingMessage } from 'node:http';
import { Redis } from 'ioredis';
import { expect, it, vi } from 'vitest';
import { PREFIX } from '../fixtures/frozen-store.ts';
import { startTestInstance, type TestInstance } from '../support/instance.ts';
import { newClientKey, type OAuthClient, type ClientKey, type SignedIn } from '../support/oauth-client.ts';
import { startRedis } from '../support/redis.ts';

const PODS = '/api/v1/namespaces/default/pods';

interface Stage extends AsyncDisposable {
  readonly bare: Redis;
  readonly instance: TestInstance;
  readonly key: ClientKey;
  readonly client: OAuthClient;
  readonly alice: SignedIn;
}

/** A server of each test's own, so that they can wait beside each other. */
async function startStage(): Promise<Stage> {
  const redis = await startRedis();
  const bare = new Redis(redis.url);
  const instance = await startTestInstance({ redis: redis.url });
  const key = await newClientKey();
  const client = await instance.connect({ key });
  // A machine that is busy with other things may take longer for it than the server waits.
  const alice = await vi.waitFor(() => client.signIn('alice'), { timeout: 20_000 });
  return {
    bare,
    instance,
    key,
    client,
    alice,
    async [Symbol.asyncDispose]() {
      await instance.stop();
      bare.disconnect();
      await redis.stop();
    },
  };
}

/** An entry with valid known fields: its number, its position in the chain, its time. */
async function append(
  { bare }: Stage,
  kind: string,
  target: string,
  more: readonly string[] = [],
): Promise<{ readonly number: number }> {
  const [n = '', h = ''] = await bare.hmget(`${PREFIX}epoch`, 'n', 'h');
  const number = Number(n) + 1;
  const until = Math.floor(Date.now() / 1000) + 600;
  const hash = createHash('sha1').update(`${h} ${number} ${until} ${kind} ${target}`).digest('hex');
  await bare
    .multi()
    .hset(`${PREFIX}epoch`, 'n', number, 'h', hash)
    .xadd(`${PREFIX}log`, `${number}-0`, 'h', hash, 'u', until, 'k', kind, 't', target, ...more)
    .publish(`${PREFIX}news`, String(number))
    .exec();
  return { number };
}

/** @returns whether it ended in good order: else it was cut */
async function openWatch({ client, instance, key, alice }: Stage): Promise<{ readonly ended: Promise<boolean> }> {
  const { ca } = client.endpoints;
  const headers = { authorization: `Bearer ${alice.accessToken}` };
  const asked = request(`${instance.urls.api}${PODS}?watch=1`, { agent: false, ca, ...key, headers });
  asked.end();
  const [answer] = (await once(asked, 'response')) as [IncomingMessage];
  for (const emitter of [asked, answer]) emitter.on('error', () => {});
  answer.resume();
  return { ended: new Promise((resolve) => answer.once('close', () => resolve(answer.complete))) };
}

/** Makes the last entry one that is over. */
async function replaceLast({ bare }: Stage, number: number): Promise<void> {
  const [[, fields] = ['', []]] = await bare.xrevrange(`${PREFIX}log`, '+', '-', 'COUNT', 1);
  const over = fields.map((value, index) => (fields[index - 1] === 'u' ? '1' : value));
  await bare
    .multi()
    .del(`${PREFIX}log`)
    .xadd(`${PREFIX}log`, `${number}-0`, ...over)
    .exec();
}

const expectServed = ({ client, alice }: Stage): Promise<void> =>
  vi.waitFor(async () => expect((await client.get(PODS, alice.accessToken)).status).toBe(200));

it.concurrent('an entry of a known kind is applied, as one of this version', async () => {
  await using stage = await startStage();
  await append(stage, 'unlocked', 'account:AAAAAAAAAAAAAAAAAAAAAA');
  await vi.waitFor(() => expect(stage.instance.server.guard.position?.number).toBe(1));
  await expectServed(stage);
});

it.concurrent.each([
  ['of another kind', 'revoked-by-address', 'all', []],
  ['of another target', 'revoked', 'cluster:demo', []],
  ['with one more field, which may widen it', 'revoked', 'session:AAAAAAAAAAAAAAAAAAAAAA', ['of', 'all']],
])('an entry %s fences it: everything is cut, and everything rejected', async (_how, kind, target, more) => {
  await using stage = await startStage();
  const { instance, client, alice } = stage;
  const watch = await openWatch(stage);
  const { number } = await append(stage, kind, target, more);
  expect(await watch.ended).toBe(false);
  const rejection = { status: 503, body: { kind: 'Status' }, headers: { 'retry-after': '1' } };
  await vi.waitFor(async () => expect(await client.get(PODS, alice.accessToken)).toMatchObject(rejection));
  expect((await client.refresh(alice.refreshToken)).status).toBe(503);
  expect((await fetch(`${instance.urls.web}/login/start?provider=demo`, { redirect: 'manual' })).status).toBe(503);
  expect(instance.server.guard.position?.number ?? 0).toBeLessThan(number);
});

it.concurrent.each([
  ['in the log', 'log'],
  ['among the live entries', 'idx'],
])('a replica that joins is not ready while there is such a row %s', async (_where, place) => {
  await using stage = await startStage();
  const { bare, instance, key, alice } = stage;
  const { number } = await append(stage, place === 'log' ? 'revoked-by-address' : 'revoked', 'all');
  const until = Math.floor(Date.now() / 1000) + 600;
  const row = `${number} ${until} cluster:demo`;
  if (place === 'idx') await bare.zadd(`${PREFIX}idx`, number, row);
  const other = await instance.replica({ early: true });
  const join = vi.spyOn(other.store.log, 'join');
  let isReady = false;
  void other.ready.then(() => (isReady = true));
  const there = await instance.connect({ key, at: other });
  // It tries again four times in each lease.
  await vi.waitUntil(() => join.mock.calls.length > 3);
  expect((await there.get(PODS, alice.accessToken)).status).toBe(503);
  expect(isReady).toBe(false);
  if (place === 'idx') await bare.zrem(`${PREFIX}idx`, row);
  // A row that can cover no session any more rejects no session, whatever it contains.
  else await replaceLast(stage, number);
  await other.ready;
  expect(other.guard.position?.number).toBe(number);
});

/** The ends of a user's own session that no entry of the log announces, with a delegated session in use on two replicas. */
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createRedisStore } from '../../src/store/redis/redis.ts';
import type { Store } from '../../src/store/store.ts';
import { call, HOST, mint, rawConnection, signIn, startPlane, until } from '../support/data-plane.ts';
import type { TestPlane, TestUser } from '../support/data-plane.ts';
import { delegateTo } from '../support/delegated-user.ts';
import { untilSettled } from '../support/instance.ts';
import { startRedis, type RedisServer } from '../support/redis.ts';

const PODS = '/api/v1/namespaces/default/pods';

describe.concurrent('a delegated session in use', () => {
  let redis: RedisServer;
  let stores: readonly Store[];
  let here: TestPlane;
  let there: TestPlane;

  beforeAll(async () => {
    redis = await startRedis();
    const key = randomBytes(32);
    const sealingKeys = { current: { kid: 'k1', key }, all: new Map([['k1', key]]) };
    const config = { url: redis.url, prefix: 'ends' };
    stores = [1, 2].map(() => createRedisStore({ config, sealingKeys, clock: { nowMs: Date.now } }));
    const [one, two] = stores as [Store, Store];
    here = await startPlane({ store: one });
    there = await startPlane({ store: two, beside: here });
    here.upstream.answer = (_req, res) => {
      res.writeHead(200, { 'content-type': 'application/json' });
      res.write('{"type":"ADDED","object":{}}\n');
    };
    await Promise.all(stores.map(untilSettled));
  });
  afterAll(async () => {
    await there.close();
    await here.close();
    await Promise.all(stores.map((store) => store.close()));
    await redis.stop();
  });

  async function watch(at: TestPlane, user: TestUser): Promise<{ readonly ended: () => string | undefined }> {
    const connection = await rawConnection(at, user.certificate);
    let code: string | undefined;
    void connection.ended.then((ended) => (code = ended ?? 'whole'));
    connection.socket.write(
      `GET ${PODS}?watch=1 HTTP/1.1\r\nHost: ${HOST}\r\nAuthorization: Bearer ${user.token}\r\n\r\n`,
    );
    await until(() => connection.received().includes('ADDED'), 'the first event');
    return { ended: () => code };
  }

  const statusesOf = (user: TestUser): Promise<readonly number[]> =>
    Promise.all([here, there].map(async (plane) => (await call(plane, user, `${PODS}?watch=1`)).status));

  it('ends on both when its user’s own session becomes idle, however busy it is itself', async () => {
    const own = await signIn(here, { idleSeconds: 3 });
    const child = await delegateTo(here, own, 'claude', {});
    const grandchild = await delegateTo(there, child, 'reviewer', {});
    const watches = [await watch(here, child), await watch(there, grandchild)];
    const minted = Date.now();
    await mint(here, { id: own.session.id, ...own });
    // Asked for a token all the while, which does not count as a use of the session above.
    const refused = (): Promise<string> =>
      mint(there, { id: child.session.id, ...child }).then(
        () => '',
        ({ message }: Error) => message,
      );
    // Or unknown, where its stream was cut already, which ends it.
    await expect.poll(refused, { timeout: 20_000, interval: 100 }).toMatch(/^(parent_over|session_unknown)$/);
    expect(Date.now() - minted).toBeGreaterThan(1900);
    await until(() => watches.every(({ ended }) => ended() === 'ECONNRESET'), 'both to be cut');
    expect([await statusesOf(child), await statusesOf(grandchild)]).toEqual([
      [401, 401],
      [401, 401],
    ]);
  });

  it('ends on both at the absolute end of its user’s own session', async () => {
    const own = await signIn(here, { sessionLife: 3 });
    const child = await delegateTo(there, own, 'claude', {});
    expect(child.session.expiresAt).toBe(own.session.expiresAt);
    const watches = [await watch(here, child), await watch(there, child)];
    await until(() => watches.every(({ ended }) => ended() === 'ECONNRESET'), 'both to be cut');
    expect(Date.now() / 1000).toBeGreaterThanOrEqual(own.session.expiresAt);
    expect(await statusesOf(child)).toEqual([401, 401]);
    expect(await there.store.sessions.list({ ancestor: own.session.id, limit: 5 })).toEqual({ sessions: [] });
  });
});

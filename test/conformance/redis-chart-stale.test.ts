/** The chart's three nodes of Redis come back with what is old, empty or from elsewhere: the data of the latest primary stays (docs/ha-store.md). */
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { rendered, valuesOf } from '../support/chart.ts';
import { RedisPods, type Which } from '../support/redis-pods.ts';

const PODS = [0, 1, 2] as const;
/**
 * Two Sentinels that vote for themselves at the same moment elect none and try again 20 s later, and so it is right after
 * another failover (docs/ha-store.md). On a busy machine a minute was not enough once.
 */
const AGREED = { timeout: 150_000, interval: 400 };
const UNLUCKY = 300_000;
const LOCK = '{portcullis}:lock';
let pods: RedisPods;

beforeAll(async () => {
  const three = ['--set', 'redis.inChart.replicas=3,redis.inChart.failoverAfter=2s'];
  pods = new RedisPods(await rendered('--values', valuesOf('small'), ...three));
});
afterAll(() => pods[Symbol.asyncDispose]());

const cli = (which: Which, ...command: readonly string[]): Promise<string> =>
  pods.cli(which, 'portcullis', pods.secret('portcullis-redis-auth', 'password'), ...command);

const sentinel = (which: Which, ...command: readonly string[]): Promise<string> =>
  pods.cli(which, 'peer', pods.secret('portcullis-redis-ha', 'peer-password'), '-p', '26379', ...command);

const passes = (which: Which, container: string, probe: 'livenessProbe' | 'readinessProbe'): Promise<void> =>
  vi.waitFor(async () => expect(await pods.hook(which, container, probe)).toMatchObject({ code: 0 }), AGREED);

/**
 * All three follow one primary, with its Sentinels, and it is this one. Each Sentinel knows all that it can put in the place of a
 * primary: until then the loss of one is waited for (docs/ha-store.md).
 */
async function agreed(): Promise<Which> {
  const probes = PODS.flatMap((which) => ['redis', 'sentinel'].map((name) => passes(which, name, 'readinessProbe')));
  await Promise.all(probes);
  await vi.waitUntil(() => PODS.every((which) => pods.knowsAll(which)), AGREED);
  // A Sentinel that is not done with a failover does not know the new primary as its own yet: the loss of that one is waited for.
  await vi.waitFor(async () => {
    const states = await Promise.all(PODS.map((which) => sentinel(which, 'SENTINEL', 'MASTER', 'portcullis')));
    expect(states.map((state) => /^flags\n(.+)$/m.exec(state)?.[1])).toEqual(PODS.map(() => 'master'));
  }, AGREED);
  return await vi.waitFor(async () => {
    const roles = await Promise.all(PODS.map((which) => cli(which, 'INFO', 'replication')));
    const primaries = PODS.filter((which) => roles[which]?.includes('role:master'));
    expect(primaries).toHaveLength(1);
    const [primary = 0] = primaries;
    expect(roles[primary]).toContain('connected_slaves:2');
    return primary;
  }, AGREED);
}

/** Its Sentinel runs, its server would as well if it did not wait for the others, and a kubelet leaves it alone. */
async function waits(which: Which): Promise<void> {
  await passes(which, 'sentinel', 'livenessProbe');
  expect(await pods.hook(which, 'redis', 'readinessProbe')).toMatchObject({ code: 1 });
  expect(await pods.hook(which, 'redis', 'livenessProbe')).toMatchObject({ code: 0 });
}

/** Written at the primary, and confirmed by as many followers. */
async function lock(primary: Which, account: string, followers: number): Promise<void> {
  expect(await cli(primary, 'HSET', LOCK, account, 'INC-1')).toBe('1');
  await vi.waitFor(async () => {
    const { length } = (await Promise.all(PODS.map((which) => cli(which, 'HGET', LOCK, account)))).filter(
      (value) => value === 'INC-1',
    );
    expect(length).toBe(followers + 1);
  }, AGREED);
}

/** All three have these, and a follower as soon as its copy is there. */
const allHave = (...accounts: readonly string[]): Promise<void> =>
  vi.waitFor(async () => {
    const found = await Promise.all(PODS.map((which) => cli(which, 'HGETALL', LOCK)));
    expect(found.map((text) => text.match(/corp\/\d/g)?.toSorted())).toEqual(PODS.map(() => accounts));
  });

it('does not take up what the Sentinels of another namespace have written on a copied volume', async () => {
  const there = (which: Which): string => pods.host(which).replace('.portcullis.svc', '.elsewhere.svc');
  const state = [
    `sentinel monitor portcullis ${there(1)} 6379 2`,
    'sentinel config-epoch portcullis 7',
    `sentinel known-replica portcullis ${there(2)} 6379`,
    `sentinel known-sentinel portcullis ${there(2)} 26379 ${'a'.repeat(40)}`,
    '',
  ];
  for (const which of PODS) pods.fill(which, 'sentinel/sentinel.conf', state.join('\n'));
  for (const which of PODS) pods.start(which);
  expect(await agreed()).toBe(0);
});

it(
  'keeps the data when all are lost and the primary comes back first, with an empty volume',
  async () => {
    await lock(0, 'corp/1', 2);
    await Promise.all(PODS.map((which) => pods.kill(which)));
    pods.wipe(0);
    pods.start(0);
    await waits(0);
    pods.start(1);
    pods.start(2);
    expect(await agreed()).not.toBe(0);
    await allHave('corp/1');
  },
  UNLUCKY,
);

it(
  'keeps the data when all are lost and a former primary comes back first, which missed the failover',
  async () => {
    const former = await agreed();
    const [one = 0, two = 0] = PODS.filter((which) => which !== former);
    await pods.kill(former);
    const primary = await vi.waitFor(async () => {
      const roles = await Promise.all([one, two].map((which) => cli(which, 'INFO', 'replication')));
      expect(roles.join('')).toMatch('connected_slaves:1');
      return roles[0]?.includes('role:master') === true ? one : two;
    }, AGREED);
    await lock(primary, 'corp/2', 1);
    await Promise.all([pods.kill(one), pods.kill(two)]);
    pods.start(former);
    await waits(former);
    pods.start(one);
    pods.start(two);
    await agreed();
    await allHave('corp/1', 'corp/2');
  },
  UNLUCKY,
);

import { describe, expect, test } from 'vitest';
import { loaded, placesOf, settings } from './sandbox.ts';

const SENTINELS = { sentinels: ['sentinel-0:26379', '[fd00::1]:26380'], master: 'portcullis', nodes: 3 };

const withRedis = (redis: Record<string, unknown>) => {
  const base = settings();
  base.store = { redis: { url: 'rediss://redis.example.com', ...redis } };
  return base;
};

test('one node without Sentinel is what nothing else asks for', async () => {
  const { config } = await loaded(withRedis({}));
  expect(config.store).toEqual({
    kind: 'redis',
    url: 'rediss://redis.example.com',
    prefix: 'portcullis',
    nodes: 1,
  });
  expect(config.revocation.emptyStore).toBe('init');
});

test('Sentinels come with the name of the master and with credentials of their own', async () => {
  const { config, directory } = await loaded(
    withRedis({ ...SENTINELS, sentinelUsernameFile: 'token', sentinelPasswordFile: 'token' }),
  );
  expect(config.store).toMatchObject({
    nodes: 3,
    sentinel: {
      addresses: [
        { host: 'sentinel-0', port: 26_379 },
        { host: 'fd00::1', port: 26_380 },
      ],
      master: 'portcullis',
      usernameFile: `${directory}/token`,
      passwordFile: `${directory}/token`,
    },
  });
});

describe('refuses', () => {
  const rows: readonly (readonly [string, Record<string, unknown>, readonly string[]])[] = [
    ['two nodes, of which the loss of either would stop all requests', { nodes: 2 }, ['store.redis.nodes']],
    ['Sentinels without a master', { ...SENTINELS, master: undefined }, ['store.redis.master']],
    ['a master without Sentinels', { master: 'portcullis' }, ['store.redis.master']],
    [
      'Sentinel credentials without Sentinels',
      { sentinelUsernameFile: 'token', sentinelPasswordFile: 'token' },
      ['store.redis.sentinelPasswordFile', 'store.redis.sentinelUsernameFile'],
    ],
    ['Sentinel with one node', { ...SENTINELS, nodes: 1 }, ['store.redis.nodes']],
    ['Sentinel with as many nodes as there are by default', { ...SENTINELS, nodes: undefined }, ['store.redis.nodes']],
    ['a Sentinel without a port', { ...SENTINELS, sentinels: ['sentinel-0'] }, ['store.redis.sentinels[0]']],
    [
      'a Sentinel password that is not there',
      { ...SENTINELS, sentinelPasswordFile: 'nowhere' },
      ['store.redis.sentinelPasswordFile'],
    ],
  ];
  test.each(rows)('%s', async (_name, redis, places) => {
    expect(await placesOf(withRedis(redis))).toEqual(places);
  });
});

test('an empty store is met as the operator says', async () => {
  const base = { ...withRedis({}), revocation: { emptyStore: 'refuse' } };
  expect((await loaded(base)).config.revocation).toEqual({ staleness: 2, emptyStore: 'refuse' });
  expect(await placesOf({ ...withRedis({}), revocation: { emptyStore: 'maybe' } })).toEqual(['revocation.emptyStore']);
});

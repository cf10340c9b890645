import { describe, expect, it } from 'vitest';
import { judge } from '../../../src/store/redis/check/judge.ts';
import type { Observed } from '../../../src/store/redis/check/observe.ts';
import { no, ok } from '../../../src/core/result.ts';

const INFO = [
  'redis_version:8.0.2',
  'redis_mode:standalone',
  'role:master',
  'maxmemory_policy:noeviction',
  'used_memory:10',
  'maxmemory:100',
  'aof_enabled:1',
].join('\r\n');

const SERVER = { generation: `${'a'.repeat(40)}.${'b'.repeat(40)}`, aheadMs: 0, hasMaxmemory: true };

const GOOD: Observed = {
  connection: ok('TLSv1.3'),
  info: ok(INFO),
  servers: [ok(SERVER), ok(SERVER), ok(SERVER)],
  byHash: ok(true),
  commands: ok([]),
  confirmations: ok(1),
  news: ok(true),
  timed: { inTime: [1, 2, 3], late: 0 },
};

const SETTINGS = { url: 'rediss://redis.example.com', prefix: 'portcullis', username: 'portcullis', password: 'x' };

/** Returns the outcomes that are not `ok`. */
const outcomes = (change: Partial<Observed>, settings = {}): Record<string, string> =>
  Object.fromEntries(
    judge({ ...GOOD, ...change }, { ...SETTINGS, ...settings }).flatMap(({ check, outcome }) =>
      outcome === 'ok' ? [] : [[check, outcome]],
    ),
  );

const infoWith = (field: string, value?: string): Partial<Observed> => {
  const lines = INFO.split('\r\n').filter((line) => !line.startsWith(`${field}:`));
  return { info: ok([...lines, ...(value === undefined ? [] : [`${field}:${value}`])].join('\r\n')) };
};

const server = (change: Partial<typeof SERVER>) => ({ servers: [ok({ ...SERVER, ...change })] });

describe('the rows of store check', () => {
  it('are all ok for a good store', () => {
    expect(outcomes({})).toEqual({});
  });

  it.each<[string, Partial<Observed>, Record<string, string>]>([
    ['an old version', infoWith('redis_version', '6.2.0'), { version: 'no' }],
    ['no version', infoWith('redis_version'), { version: 'no' }],
    ['a cluster', infoWith('cluster_enabled', '1'), { mode: 'no' }],
    ['no mode', infoWith('redis_mode'), { mode: 'no' }],
    ['an empty mode', infoWith('redis_mode', ''), { mode: 'no' }],
    ['a policy of its own', infoWith('maxmemory_policy', 'optimistic-volatile'), { eviction: 'no' }],
    ['a policy that spares the log', infoWith('maxmemory_policy', 'volatile-ttl'), { eviction: 'warn' }],
    ['a follower', infoWith('role', 'slave'), { role: 'no' }],
    ['no role', infoWith('role'), { role: 'warn' }],
    ['nearly no memory left', infoWith('used_memory', '80'), { memory: 'warn' }],
    ['no limit of memory', infoWith('maxmemory', '0'), { memory: 'warn' }],
    ['no append-only file', infoWith('aof_enabled', '0'), { persistence: 'warn' }],
    [
      'a follower that nothing waits for',
      { confirmations: undefined, ...infoWith('connected_slaves', '1') },
      { wait: 'warn' },
    ],
    ['no confirmation', { confirmations: ok(0) }, { wait: 'no' }],
    ['WAIT refused', { confirmations: no('NOPERM') }, { wait: 'no' }],
    ['a clock that drifts', server({ aheadMs: -6000 }), { clock: 'warn' }],
    ['a clock that is off', server({ aheadMs: 60_000 }), { clock: 'no' }],
    ['no maxmemory', server({ hasMaxmemory: false }), { maxmemory: 'no' }],
    ['two servers', { servers: [ok(SERVER), ok({ ...SERVER, generation: 'c.d' })] }, { generation: 'no' }],
    ['scripts that are forgotten', { byHash: ok(false) }, { scripts: 'warn' }],
    ['no message', { news: ok(false) }, { news: 'warn' }],
    ['a slow reply', { timed: { inTime: [1, 126], late: 0 } }, { latency: 'warn' }],
    ['one late reply', { timed: { inTime: Array.from({ length: 49 }, () => 1), late: 1 } }, { latency: 'warn' }],
    ['many late replies', { timed: { inTime: Array.from({ length: 45 }, () => 1), late: 5 } }, { latency: 'no' }],
    ['only late replies', { timed: { inTime: [], late: 5 } }, { latency: 'no' }],
  ])('show %s', (_what, change, expected) => {
    expect(outcomes(change)).toEqual(expected);
  });

  it('show no part of a limit without the memory in use, which a service may hide', () => {
    expect(judge({ ...GOOD, ...infoWith('used_memory') }, SETTINGS)).toContainEqual(
      expect.objectContaining({ check: 'memory', outcome: 'warn', found: 'no limit is reported' }),
    );
  });

  it.each([
    ['1764399600', 'append-only file is off, last snapshot 2025-11-29T07:00:00.000Z'],
    ['0', 'append-only file is off'],
    ['99999999999999999', 'append-only file is off'],
    ['x', 'append-only file is off'],
  ])('show a snapshot of %j', (time, found) => {
    const off = infoWith('aof_enabled', '0').info;
    const info = ok(`${off?.ok === true ? off.value : ''}\r\nrdb_last_save_time:${time}`);
    expect(judge({ ...GOOD, info }, SETTINGS)).toContainEqual(expect.objectContaining({ check: 'persistence', found }));
  });

  it.each([
    [{ url: 'redis://redis.example.com' }, { connection: ok(undefined) }, { tls: 'warn' }],
    [{ url: 'redis://127.0.0.1' }, { connection: ok(undefined) }, {}],
    [{ username: undefined }, {}, { user: 'warn' }],
    [{ password: undefined }, {}, { user: 'warn' }],
  ])('judge the settings %j', (settings, change, expected) => {
    expect(outcomes(change, settings)).toEqual(expected);
  });

  it('are one where there is no connection', () => {
    expect(judge({ connection: no('connect ECONNREFUSED') }, SETTINGS)).toMatchObject([
      { check: 'connection', outcome: 'no', found: 'connect ECONNREFUSED' },
    ]);
  });
});

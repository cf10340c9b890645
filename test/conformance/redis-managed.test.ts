/**
 * Stores as cloud providers have them, which hide or refuse what they like: `portcullis store check` says of each what
 * the store then does, and the store serves nothing where it could not notice a forgotten revocation.
 */
import { readFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';

import { expect, it, onTestFinished, vi } from 'vitest';

import { checkStore, type CheckRow } from '../../src/store/redis/check/check.ts';
import { PROBED_COMMANDS } from '../../src/store/redis/check/observe.ts';
import type { RedisSettings } from '../../src/store/redis/redis.ts';
import * as scripts from '../../src/store/redis/scripts.ts';
import type { Store } from '../../src/store/store.ts';
import { startFollowers, startSentinels } from '../support/redis.ts';
import { startRewriter, type Replacement } from './redis-rewriter.ts';
import { workbench, type Workbench } from './redis-stores.ts';

const reasonOf = (error: unknown): string | undefined => (error as { reason?: string }).reason;

/** No cloud provider lets its customers use these. */
const MANAGED = ['--rename-command', 'CONFIG', '', '--rename-command', 'DEBUG', ''];

/** Checks a store, and returns its rows that are not `ok`, by name. How fast it is depends on what else runs here. */
async function check(settings: Partial<RedisSettings> & { readonly url: string }): Promise<Record<string, CheckRow>> {
  const rows = await checkStore({ prefix: 'portcullis', username: 'portcullis', password: 'secret', ...settings });
  const others = rows.filter(({ check: name, outcome }) => outcome !== 'ok' && name !== 'latency');
  return Object.fromEntries(others.map((row) => [row.check, row]));
}

const noes = (rows: Record<string, CheckRow>): readonly string[] =>
  Object.values(rows).flatMap((row) => (row.outcome === 'no' ? [row.check] : []));

/** Gives a user the documented rights but these. */
async function user(bench: Workbench, without: readonly string[] = []): Promise<void> {
  const schema = await readFile(new URL('../../docs/reference/store-schema.md', import.meta.url), 'utf8');
  const [, line = ''] = /^ACL SETUSER portcullis (.*)$/m.exec(schema) ?? [];
  const rules = line.replace('>PASSWORD', '>secret').split(' ');
  await bench.bare.acl('SETUSER', 'portcullis', ...rules.filter((rule) => !without.includes(rule)));
}

const USER = { username: 'portcullis', password: 'secret' };

const INFO_IN_SCRIPTS = "redis.call('INFO', 'server', 'replication')";

async function hiding(bench: Workbench, replacements: readonly Replacement[]): Promise<string> {
  const rewriter = await startRewriter(bench.redis, replacements);
  onTestFinished(() => rewriter[Symbol.asyncDispose]());
  return rewriter.url;
}

it('tries every command that a script calls, and no other', () => {
  const called = Object.values(scripts).flatMap(({ lua }) =>
    [...lua.matchAll(/redis\.call\('(\w+)'/g)].map(([, name = '']) => name),
  );
  expect([...PROBED_COMMANDS].toSorted()).toEqual([...new Set(called)].toSorted());
});

it('finds a managed store suitable with the documented rights, and leaves nothing in it', async () => {
  await using bench = await workbench([...MANAGED, '--maxmemory', '100mb', '--appendonly', 'yes']);
  await user(bench);
  expect(await check({ url: bench.redis.url })).toEqual({});
  expect(await bench.bare.keys('*')).toEqual([]);
  expect(await bench.bare.acl('LOG')).toEqual([]);
  await bench.store({ settings: USER });
});

it.each<[string, readonly Replacement[], string, string]>([
  ['run id', [['run_id:', 'xxx_id:']], 'generation', 'redis_unidentified'],
  ['replication id', [['master_replid:', 'xxxxxx_replid:']], 'generation', 'redis_unidentified'],
  [
    'run id behind zeros',
    [[INFO_IN_SCRIPTS, "'run_id:0000 master_replid:1234'".padEnd(INFO_IN_SCRIPTS.length)]],
    'generation',
    'redis_unidentified',
  ],
  [
    'mode',
    [
      ['redis_mode:', 'xxxxx_mode:'],
      ['server_mode:', 'xxxxxx_mode:'],
    ],
    'mode',
    'redis_incomplete',
  ],
  ['eviction policy', [['maxmemory_policy:', 'xxxxxxxxx_policy:']], 'eviction', 'redis_incomplete'],
  ['version', [['redis_version:', 'xxxxx_version:']], 'version', 'redis_too_old'],
])('serves nothing from a store that hides its %s, and the check says so', async (_what, replacements, row, reason) => {
  await using bench = await workbench(MANAGED);
  await user(bench);
  const url = await hiding(bench, replacements);
  const rows = await check({ url });
  expect(noes(rows)).toContain(row);
  const store = bench.unconnected({ settings: { url, ...USER } });
  await vi.waitFor(() => expect(store.log.position()).rejects.toMatchObject({ reason }), 10_000);
  expect(await store.log.join(300).catch(reasonOf)).toBe(reason);
  expect(await bench.bare.keys('*')).toEqual([]);
});

const saveInteraction = (store: Store): Promise<unknown> =>
  store.artefacts.save('Interaction', 'a', {}, { ttlSeconds: 60 }).then(() => 'saved', reasonOf);

it('lets no user sign in where scripts do not see the limit of memory, and the check says so', async () => {
  await using bench = await workbench(MANAGED);
  await user(bench);
  const url = await hiding(bench, [['maxmemory:', 'xxxxxxxxx:']]);
  expect(noes(await check({ url }))).toEqual(['maxmemory']);
  expect(await saveInteraction(await bench.store({ settings: { url, ...USER } }))).toBe('redis_error');
});

it('names a command that the user may not call, which the store then cannot call either', async () => {
  await using bench = await workbench(MANAGED);
  await user(bench, ['+xadd', '+zpopmin']);
  const rows = await check({ url: bench.redis.url });
  expect(noes(rows)).toEqual(['commands']);
  expect(rows['commands']?.found).toMatch(/^not zpopmin, xadd: /);
  const store = await bench.store({ settings: USER });
  const target = { kind: 'account', account: 'corp/1' } as const;
  expect(await store.log.append({ requestId: 'r', target }).catch(reasonOf)).toBe('redis_error');
});

it('leaves no key for ever at a user who may not remove any, nor create one in the usual way', async () => {
  await using bench = await workbench(MANAGED);
  await user(bench, ['+unlink', '+del', '+hset', '+rename']);
  expect((await check({ url: bench.redis.url }))['commands']?.found).toMatch(/hset.*unlink/);
  const keys = await bench.bare.keys('*');
  expect(keys).not.toEqual([]);
  for (const key of keys) expect(await bench.bare.ttl(key)).toBeGreaterThan(0);
});

it.each<[string, string, string]>([
  ['+eval', 'scripts', 'redis_error'],
  ['+evalsha', 'scripts', 'redis_error'],
  ['+info', 'info', 'redis_timeout'],
  ['~{portcullis}:*', 'commands', 'redis_error'],
])('serves nothing to a user without %s, and the check says so', async (rule, row, reason) => {
  // ioredis warns at each attempt to connect without INFO.
  const warnings = vi.spyOn(console, 'warn').mockImplementation(() => {});
  onTestFinished(() => warnings.mockRestore());
  await using bench = await workbench(MANAGED);
  await user(bench, [rule]);
  expect(noes(await check({ url: bench.redis.url }))).toContain(row);
  const store = bench.unconnected({ settings: USER });
  await vi.waitFor(() => expect(store.log.position()).rejects.toMatchObject({ reason }), 10_000);
});

it('works without a channel and without names of connections, and the check warns of the channel', async () => {
  await using bench = await workbench(MANAGED);
  await user(bench, ['+subscribe', '+client|setname', '+client|setinfo']);
  const rows = await check({ url: bench.redis.url });
  expect(noes(rows)).toEqual([]);
  expect(rows['news']).toMatchObject({ outcome: 'warn', found: expect.stringMatching(/subscribe/i) });
  await bench.store({ settings: USER });
});

it.each<[string, readonly string[], Record<string, string>]>([
  ['evicts any key', ['--maxmemory', '100mb', '--maxmemory-policy', 'allkeys-lru'], { eviction: 'no' }],
  ['evicts keys with a TTL', ['--maxmemory', '100mb', '--maxmemory-policy', 'volatile-lru'], { eviction: 'warn' }],
  ['is a cluster', ['--cluster-enabled', 'yes'], { mode: 'no' }],
  ['has used most of its memory', ['--maxmemory', '1mb'], { memory: 'warn' }],
])('judges a store that %s', async (_what, args, outcomes) => {
  await using bench = await workbench(args);
  await user(bench);
  const rows = await check({ url: bench.redis.url });
  for (const [row, outcome] of Object.entries(outcomes)) expect(rows[row]).toMatchObject({ outcome });
});

it('needs a follower that confirms writes with nodes: 3, and warns of one that no write waits for', async () => {
  await using bench = await workbench(MANAGED);
  await user(bench);
  const { url } = bench.redis;
  expect(noes(await check({ url, nodes: 3 }))).toEqual(['wait']);
  expect(
    await bench
      .fresh({ settings: { ...USER, nodes: 3 } })
      .then((store) => store.log.position())
      .catch(reasonOf),
  ).toBe('redis_unacknowledged');
  const [follower] = await startFollowers(1, bench.redis);
  onTestFinished(() => follower?.stop());
  await vi.waitFor(async () => expect(noes(await check({ url, nodes: 3 }))).toEqual([]), 10_000);
  expect((await check({ url }))['wait']).toMatchObject({ outcome: 'warn', found: '1 connected' });
  const rows = await check({ url: follower?.url ?? '', username: undefined, password: undefined });
  expect(noes(rows)).toEqual(expect.arrayContaining(['role', 'commands']));
});

it('checks the primary that Sentinel names', async () => {
  await using bench = await workbench();
  await user(bench);
  const followers = await startFollowers(2, bench.redis);
  onTestFinished(() => void Promise.all(followers.map((one) => one.stop())));
  await using sentinels = await startSentinels(bench.redis, 3);
  const { addresses, master } = sentinels;
  const nowhere = 'redis://redis.example.com';
  // A follower that has all there is may not confirm yet.
  const known = async (): Promise<readonly string[]> =>
    noes(await check({ url: nowhere, nodes: 3, sentinel: { addresses, master } }));
  await vi.waitFor(async () => expect(await known()).toEqual([]), 10_000);
  const unknown = await check({ url: nowhere, nodes: 3, sentinel: { addresses, master: 'another' } });
  expect(noes(unknown)).toEqual(['connection']);
});

it('ends with a message at a server that never answers, and at one that refuses the password', async () => {
  const silent = createServer(() => {}).listen(0, '127.0.0.1');
  onTestFinished(() => void silent.close());
  await vi.waitFor(() => expect(silent.listening).toBe(true));
  const url = `redis://127.0.0.1:${(silent.address() as AddressInfo).port}`;
  const begun = performance.now();
  expect(await checkStore({ url, prefix: 'portcullis' })).toEqual([
    expect.objectContaining({ check: 'connection', outcome: 'no', found: 'no reply in time' }),
  ]);
  expect(performance.now() - begun).toBeLessThan(10_000);
  await using bench = await workbench(MANAGED);
  const rows = await check({ url: bench.redis.url, password: 'another' });
  expect(rows['connection']?.found).toMatch(/^WRONGPASS/);
  expect(JSON.stringify(rows)).not.toContain('another');
});

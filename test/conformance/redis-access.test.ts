/** Access requests and grants as they stand in Redis, to an attacker who may write there, and when Redis is full. */
import { randomBytes } from 'node:crypto';

import { describe, expect, it } from 'vitest';

import { HISTORY_SECONDS, MOST_KEPT } from '../../src/core/access/request.ts';
import { grantKey } from '../../src/core/credential/revocation.ts';
import { accountDigest, grantDigest, sessionDigest } from '../../src/store/redis/keys.ts';
import { beginGrant } from '../../src/store/redis/scripts.ts';
import type { Store, StoredRequest } from '../../src/store/store.ts';
import { dumpRedis, spellings } from '../support/redis-dump.ts';
import {
  anAccessRequest,
  approved,
  asked,
  begun,
  granted,
  grantsOf,
  grantTarget,
  reasonOf,
} from './access-fixtures.ts';
import { delegate, delegationBeneath } from './delegated.ts';
import { alice, openNow, type StoreUnderTest } from './fixtures.ts';
import { settle, workbench, type Workbench } from './redis-stores.ts';

const why = (error: unknown): string | undefined => (error as { reason?: string }).reason;
const sessionHash = (id = 'session-1'): string => `{portcullis}:session:${sessionDigest(id)}`;
const requestHash = ({ request }: StoredRequest): string => `{portcullis}:access:${grantDigest(request.id)}`;
const accessKeys = async (bench: Workbench): Promise<string[]> =>
  (await bench.bare.keys('{portcullis}:access*')).toSorted();

/** A store on Redis with two sessions of one account. */
async function opened(bench: Workbench): Promise<StoreUnderTest & { readonly store: Store }> {
  const subject = { store: await bench.store(), clock: bench.clock };
  for (const id of ['session-1', 'session-2']) await openNow(subject, { id });
  return subject;
}

describe('a grant, to an attacker who may write to Redis', () => {
  it('gives nothing in another session, or in the place of another grant, and is reported', async () => {
    await using bench = await workbench();
    const subject = await opened(bench);
    const { store } = subject;
    const grants = [await granted(subject), await granted(subject)];
    const lines = (await bench.bare.hget(sessionHash(), 'gr')) ?? '';
    await bench.bare.hset(sessionHash('session-2'), 'gr', lines);
    expect(await grantsOf(store, 'session-2')).toBeUndefined();
    expect(bench.errors.map(({ reason }) => reason)).toEqual(['sealed_value_unreadable', 'sealed_value_unreadable']);
    const [first = '', second = ''] = grants.map(({ request }) => grantDigest(request.id));
    const swapped = lines.replace(first, 'x').replace(second, first).replace('x', second);
    await bench.bare.hset(sessionHash(), 'gr', swapped);
    expect(await grantsOf(store)).toBeUndefined();
    await bench.bare.hset(sessionHash(), 'gr', lines);
    expect(await grantsOf(store)).toEqual(grants.map(({ request }) => request.id));
  });

  it('is opened once among the active ones for as long as it is unchanged, and never where it was changed', async () => {
    await using bench = await workbench();
    const subject = await opened(bench);
    const { access } = subject.store;
    const grant = await granted(subject);
    const [first] = await access.active();
    const [second] = await access.active();
    expect(first?.stored.request.id).toBe(grant.request.id);
    expect(second?.stored).toBe(first?.stored);
    const key = requestHash(grant);
    const end = (await bench.bare.hget(key, 'end')) ?? '';
    await bench.bare.hset(key, 'end', String(Number(end) + 60_000));
    expect(await access.active()).toEqual([]);
    expect(bench.errors.map(({ reason }) => reason)).toEqual(['sealed_value_unreadable']);
    await bench.bare.hset(key, 'end', end);
    expect(await access.active()).toHaveLength(1);
    await access.note(grant.request.id, { audited: true });
    expect((await access.active()).map(({ stored }) => stored.request.grant?.audited)).toEqual([true]);
  });

  it('gives nothing in a delegated session, nor to one from the session above it', async () => {
    await using bench = await workbench();
    const subject = await opened(bench);
    const { store } = subject;
    await delegate(subject, { id: 'child', delegation: delegationBeneath('session-1') });
    const grant = await granted(subject);
    await bench.bare.hset(sessionHash('child'), 'gr', (await bench.bare.hget(sessionHash(), 'gr')) ?? '');
    const child = await store.sessions.read('child');
    expect(child?.identity).toEqual(alice);
    expect(child).not.toHaveProperty('grants');
    expect(await grantsOf(store)).toEqual([grant.request.id]);
  });

  it.each([
    ['a later end', (line: string, end: number) => line.replace(` ${end} `, ` ${end + 1000} `)],
    ['an earlier end', (line: string, end: number) => line.replace(` ${end} `, ` ${end - 1000} `)],
    ['no end', (line: string, end: number) => line.replace(` ${end} `, ' ')],
    ['an end that is no number', (line: string, end: number) => line.replace(` ${end} `, ' never ')],
    ['an end beyond all numbers', (line: string, end: number) => line.replace(` ${end} `, ` ${'9'.repeat(400)} `)],
    ['rubbish', () => 'rubbish'],
    ['nothing', () => ''],
  ])('gives nothing with %s, and takes nothing else with it', async (_, change) => {
    await using bench = await workbench();
    const subject = await opened(bench);
    const { store } = subject;
    const grant = await granted(subject);
    const line = (await bench.bare.hget(sessionHash(), 'gr')) ?? '';
    await bench.bare.hset(sessionHash(), 'gr', change(line, grant.request.grant?.endsAt ?? 0));
    expect(await store.sessions.read('session-1')).toMatchObject({ id: 'session-1' });
    expect(await grantsOf(store)).toBeUndefined();
    expect((await store.sessions.list({ limit: 10 })).sessions).toHaveLength(2);
    const next = await granted(subject);
    expect(await grantsOf(store)).toEqual([next.request.id]);
  });

  it('is covered by its entry for as long as it would have lasted, also where it is put back', async () => {
    await using bench = await workbench();
    const subject = await opened(bench);
    const { store, clock } = subject;
    await store.log.join(300);
    const grant = await granted(subject, {}, 7200);
    const line = (await bench.bare.hget(sessionHash(), 'gr')) ?? '';
    const record = await bench.bare.hgetall(requestHash(grant));
    // Its plain end is moved first, so that the entry seems to be needed no longer.
    await bench.bare.hset(requestHash(grant), 'end', '1');
    await store.log.append({ requestId: 'end', target: grantTarget(grant) });
    await bench.bare.hset(requestHash(grant), record);
    await bench.bare.hset(sessionHash(), 'gr', line);
    expect(await grantsOf(store)).toEqual([grant.request.id]);
    clock.advance(7200);
    const { live } = await (await bench.fresh()).log.join(300);
    expect(live.map(({ change }) => change.kind === 'revoked' && change.key)).toEqual([grantKey(grant.request.id)]);
  });

  it('ends by the clock of Redis, whatever clock a replica has', async () => {
    await using bench = await workbench();
    const subject = await opened(bench);
    const { store, clock } = subject;
    const grant = await granted(subject, {}, 1800);
    for (const seconds of [3000, -6000]) {
      clock.advance(seconds);
      const leftMs = (await store.sessions.read('session-1'))?.grants?.[0]?.leftMs;
      expect(leftMs).toBeGreaterThan(1_790_000);
      expect(leftMs).toBeLessThanOrEqual(1_800_000);
    }
    // Redis runs on this machine, whose clock is far from the test's.
    expect(Math.abs((grant.request.grant?.beganAt ?? 0) - Date.now())).toBeLessThan(5000);
  });
});

it('begins no grant whose period was sealed for another time', async () => {
  await using bench = await workbench();
  const subject = await opened(bench);
  const { request, version } = await asked(subject);
  const { epoch } = await subject.store.log.position();
  const begin = async (shift: number): Promise<unknown> => {
    const began = Date.now() + shift;
    const session = sessionDigest(request.session);
    const place = [grantDigest(request.id), version, accountDigest(request.account), session, 'notice'];
    const head = [subject.clock.nowMs(), '', 0, '', Number.MAX_SAFE_INTEGER];
    const args = [...head, epoch, ...place, 'record', began, began + 60_000, 'grant'];
    return await bench.bare.eval(beginGrant.lua, 1, '{portcullis}:', ...args);
  };
  // The commands of this test reach Redis within far less than half a minute.
  for (const shift of [-30_000, 30_000]) expect(await begin(shift)).toEqual(['AGAIN']);
  expect(await subject.store.access.find(request.id)).toEqual({ request, version });
});

describe('an access request, to an attacker who may write to Redis', () => {
  it.each([
    ['v', '2'],
    ['st', 'open'],
    ['acc', 'AAAAAAAAAAAAAAAAAAAAAA'],
    ['sess', sessionDigest('session-2')],
    ['open', '9999999999'],
    ['end', '9999999999999'],
    ['r', 'rubbish'],
    ['kept', 'rubbish'],
    ['open', ''],
  ])('is unknown once its field %s is %o', async (field, value) => {
    await using bench = await workbench();
    const subject = await opened(bench);
    const { store, clock } = subject;
    const other = await asked(subject);
    const read = await asked(subject);
    await store.access.change(read, { ...read.request, state: 'withdrawn' });
    const version = field === 'v' ? '3' : value;
    await bench.bare.hset(requestHash(read), field, version);
    expect(await store.access.find(read.request.id)).toBeUndefined();
    expect((await store.access.list({ limit: 10 })).requests).toEqual([other]);
    expect((await store.access.begin(read, approved(clock, read), 60)).ok).toBe(false);
    expect(await grantsOf(store)).toBeUndefined();
  });

  it('is unknown in the place of another one, and with a time that it was given back it begins nothing', async () => {
    await using bench = await workbench();
    const subject = await opened(bench);
    const { store, clock } = subject;
    const read = await asked(subject, { openUntil: clock.seconds() + 10 });
    const other = await asked(subject);
    await bench.bare.hset(requestHash(other), await bench.bare.hgetall(requestHash(read)));
    expect(await store.access.find(other.request.id)).toBeUndefined();
    clock.advance(10);
    await bench.bare.hset(requestHash(read), 'open', '9999999999');
    expect(reasonOf(await store.access.begin(read, approved(clock, read), 60))).toBe('request_over');
  });

  it('is gone with its epoch, with its grant, and stays so where the epoch is forged', async () => {
    await using bench = await workbench(['--save', '']);
    const subject = await opened(bench);
    const { store, clock } = subject;
    const [read, grant] = [await asked(subject), await granted(subject)];
    const before = await accessKeys(bench);
    // As a server that was restarted on its own data: another primary generation wrote the epoch.
    await bench.bare.hset('{portcullis}:epoch', 'rid', 'another');
    await settle(store, bench.monotonicMs);
    for (const { request } of [read, grant]) expect(await store.access.find(request.id)).toBeUndefined();
    expect(await store.access.list({ limit: 10 })).toEqual({ requests: [] });
    expect(await store.access.active()).toEqual([]);
    expect(reasonOf(await store.access.begin(read, approved(clock, read), 60))).toBe('request_unknown');
    expect(await store.access.ended(grant.request.id, { ending: 'session' })).toBeUndefined();
    const gone = before.filter((key) => /access-(?:all|open|active):[^:]+$/.test(key));
    expect(gone).toHaveLength(3);
    expect((await accessKeys(bench)).filter((key) => gone.includes(key))).toEqual([]);
    const { epoch } = await store.log.position();
    await bench.bare.hset(requestHash(read), 'ep', epoch);
    await bench.bare.hset(sessionHash(), 'ep', epoch);
    expect(await store.access.find(read.request.id)).toBeUndefined();
  });

  it('shows no more than digests, times and numbers', async () => {
    await using bench = await workbench();
    const subject = await opened(bench);
    const canary = (what: string): string => `CANARY-${what}-${randomBytes(9).toString('hex')}`;
    const { terms } = anAccessRequest(bench.clock);
    const secrets = {
      username: canary('user'),
      reason: canary('reason'),
      address: canary('address'),
      deviceName: canary('device'),
      knownAs: [canary('known-as')],
    };
    const role = { name: canary('role'), description: canary('description'), groups: [canary('group')] };
    await granted(subject, { ...secrets, terms: { ...terms, ...role } });
    const { keys, bytes } = await dumpRedis(bench.bare);
    expect(keys.some((key) => key.startsWith('{portcullis}:access:'))).toBe(true);
    const texts = [...Object.values(secrets), ...Object.values(role)].flat();
    expect(texts.filter((secret) => spellings(secret).some((text) => bytes.includes(text)))).toEqual([]);
  });
});

describe('what stays in Redis of access requests', () => {
  it('ends grants, denies and notes the ending when Redis is full, and asks and begins nothing', async () => {
    await using bench = await workbench();
    const subject = await opened(bench);
    const { store, clock } = subject;
    const [grant, open, denied] = [await granted(subject), await asked(subject), await asked(subject)];
    await bench.bare.config('SET', 'maxmemory', '1mb');
    expect(await store.access.create(anAccessRequest(clock)).catch(why)).toBe('redis_full');
    expect(await store.access.begin(open, approved(clock, open), 60).catch(why)).toBe('redis_full');
    expect(reasonOf(await store.access.change(denied, { ...denied.request, state: 'denied' }))).toBe('written');
    expect(await store.access.claimEnding(grant.request.id, 'me', 30)).toBe(true);
    expect(await store.log.append({ requestId: 'r', target: grantTarget(grant) })).toMatchObject({ sessions: 0 });
    expect(await store.access.ended(grant.request.id, { ending: 'admin' })).toMatchObject({
      request: { state: 'ended' },
    });
    expect(await grantsOf(store)).toBeUndefined();
    expect(await store.access.active()).toEqual([]);
  });

  it('has a TTL, but for the count of requests', async () => {
    await using bench = await workbench();
    const subject = await opened(bench);
    const read = await asked(subject);
    await begun(subject, await asked(subject));
    await subject.store.access.claimEnding(read.request.id, 'me', 30);
    const lasting: string[] = [];
    for (const key of await accessKeys(bench)) {
      const ttl = await bench.bare.ttl(key);
      if (ttl < 0) lasting.push(key);
      expect(ttl).toBeLessThanOrEqual(HISTORY_SECONDS + 60);
    }
    expect(lasting).toEqual(['{portcullis}:access-seq']);
    expect(await bench.bare.hexists(sessionHash(), 'gr')).toBe(1);
    await subject.store.log.append({ requestId: 'r', target: { kind: 'all' } });
    expect(await bench.bare.exists(sessionHash())).toBe(0);
  });

  it('is ten thousand requests at most: of more, what has been over for longest goes first', async () => {
    await using bench = await workbench();
    const subject = await opened(bench);
    const { store } = subject;
    const [open, over] = [await asked(subject), await asked(subject)];
    await store.access.change(over, { ...over.request, state: 'withdrawn' });
    const { epoch } = await store.log.position();
    const all = `{portcullis}:access-all:${epoch}`;
    const place = Number(await bench.bare.zscore(all, grantDigest(over.request.id)));
    const fill = `
      local fields = redis.call('HGETALL', KEYS[1])
      for i = 1, tonumber(ARGV[1]) do
        redis.call('HSET', '{portcullis}:access:copy-' .. i, unpack(fields))
        redis.call('ZADD', KEYS[2], string.format('%.0f', tonumber(ARGV[2]) + i), 'copy-' .. i)
      end`;
    await bench.bare.eval(fill, 2, requestHash(over), all, MOST_KEPT - 2, place);
    expect(await bench.bare.zcard(all)).toBe(MOST_KEPT);
    bench.clock.advance(1);
    for (let index = 0; index < 3; index += 1) await asked(subject);
    expect(await bench.bare.zcard(all)).toBeLessThanOrEqual(MOST_KEPT);
    expect(await store.access.find(over.request.id)).toBeUndefined();
    expect(await store.access.find(open.request.id)).toEqual(open);
    expect(await bench.bare.exists(requestHash(over))).toBe(0);
  });
});

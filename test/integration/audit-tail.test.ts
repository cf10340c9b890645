import { connect } from 'node:http2';
import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { RunningServer } from '../../src/server/serve.ts';
import { auditedBy } from '../support/audit-log.ts';
import { openTail, type OpenTail, type TailRequest } from './audit-tail.ts';
import { startTestInstance, type TestInstance } from '../support/instance.ts';
import { newClientKey, type OAuthClient, type Endpoints } from '../support/oauth-client.ts';
import { startRedis, type RedisServer } from '../support/redis.ts';

const ADMIN = 'urn:portcullis:admin';
const PODS = '/api/v1/namespaces/default/pods';
const TAILS = '{portcullis-demo}:tails';
const LIVE_LOG = '{portcullis-demo}:record';
const REVOCATION_LOG = '{portcullis-demo}:log';
const SOON = { timeout: 10_000, interval: 50 };

describe('the live audit log of two replicas', () => {
  let redis: RedisServer;
  let bare: Redis;
  let instance: TestInstance;
  let other: RunningServer;
  let here: Endpoints;
  let root: OAuthClient;
  let rootToken: string;
  /** The client of alice, at the other replica. */
  let alice: OAuthClient;
  let aliceToken: string;
  const open: OpenTail[] = [];

  beforeAll(async () => {
    redis = await startRedis();
    bare = new Redis({ host: '127.0.0.1', port: redis.port });
    instance = await startTestInstance({ redis: redis.url });
    other = await instance.replica();
    here = instance;
    root = await instance.connect();
    rootToken = (await root.signIn('root', { resource: ADMIN })).accessToken;
    const key = await newClientKey();
    const atHome = await instance.connect({ key });
    aliceToken = (await atHome.signIn('alice')).accessToken;
    alice = await instance.connect({ key, at: other });
  });
  afterEach(async () => {
    for (const tail of open.splice(0)) tail.close();
    // As if the time had passed in which a client that lost its connection may resume.
    await bare.del(TAILS);
  });
  afterAll(async () => {
    bare.disconnect();
    await instance.stop();
    await redis.stop();
  });

  async function tail(query?: string, change: Partial<TailRequest> = {}): Promise<OpenTail> {
    const tailed = await openTail({
      port: instance.server.ports.api,
      ca: here.ca,
      key: root.key ?? { cert: '', key: '' },
      token: rootToken,
      ...(query === undefined ? {} : { query }),
      ...change,
    });
    open.push(tailed);
    return tailed;
  }

  /** Repeats the request at the other replica until the tail has shown it: that replica learns of a subscriber within a second. */
  async function seenAfter(tailed: OpenTail, path: string): Promise<void> {
    const seen = async (): Promise<boolean> => {
      await alice.get(path, aliceToken);
      return tailed.events.some(({ requestURI }) => requestURI === path);
    };
    await expect.poll(seen, { ...SOON, interval: 200 }).toBe(true);
  }

  /** Entries of any stream but the revocation log, to which a sign-in may still write. */
  async function published(): Promise<number> {
    const [info, log] = (await bare.multi().info('commandstats').xinfo('STREAM', REVOCATION_LOG).exec()) ?? [];
    const [, calls = '0'] = /^cmdstat_xadd:calls=(\d+)/m.exec(String(info?.[1])) ?? [];
    // Null where there is no log yet.
    const known = (log?.[1] ?? []) as readonly unknown[];
    return Number(calls) - Number(known[known.indexOf('entries-added') + 1] ?? 0);
  }

  it('publish nothing while there is no subscriber', async () => {
    const before = await published();
    for (let request = 0; request < 20; request += 1) await alice.get(PODS, aliceToken);
    expect(await published()).toBe(before);
    expect(await bare.exists(TAILS, LIVE_LOG)).toBe(0);
    // Published events would be found here.
    await seenAfter(await tail(), `${PODS}?limit=1`);
    expect(await bare.exists(TAILS, LIVE_LOG)).toBe(2);
    expect(await published()).toBeGreaterThan(before);
  });

  it('show at one replica the events of the other as they are in the audit log, and audit the subscriber', async () => {
    const tailed = await tail();
    expect(tailed.status).toBe(200);
    expect(tailed.response.headers).toMatchObject({ 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    await seenAfter(tailed, `${PODS}?limit=7`);
    const before = performance.now();
    await alice.get(`${PODS}?limit=8`, aliceToken);
    await expect.poll(() => tailed.events.some(({ requestURI }) => requestURI.endsWith('limit=8')), SOON).toBe(true);
    // Twice the allowed time, because the machine may be busy.
    expect(performance.now() - before).toBeLessThan(4000);
    const shown = tailed.events.find(({ requestURI }) => requestURI.endsWith('limit=8'));
    // Except for the position in the chain, which only the audit log has.
    expect(await auditedBy(instance)).toContainEqual({
      ...shown,
      annotations: expect.objectContaining(shown?.annotations ?? {}),
    });
    const asked = (await auditedBy(instance)).find(({ requestURI }) => requestURI === '/-/admin/api/v1/audit');
    expect(asked).toMatchObject({ verb: 'admin-read', responseStatus: { code: 200 } });
  });

  it('show the events of the other replica from the moment the tail is told that it is subscribed', async () => {
    for (let round = 0; round < 5; round += 1) {
      const path = `${PODS}?limit=${1000 + round}`;
      const tailed = await tail('resource=pods');
      await alice.get(path, aliceToken);
      await expect.poll(() => tailed.events.map(({ requestURI }) => requestURI), SOON).toContain(path);
      expect(tailed.told.filter(({ event }) => event === 'gap')).toEqual([]);
      tailed.close();
      // The next request is the first one again.
      await bare.del(TAILS);
    }
  });

  it('store the events encrypted in Redis', async () => {
    const tailed = await tail('user=demo%3Aalice');
    await seenAfter(tailed, `${PODS}?limit=11`);
    const entries = JSON.stringify([await bare.xrange(LIVE_LOG, '-', '+'), await bare.hgetall(TAILS)]);
    expect(entries).toContain('eyJ');
    expect(entries).not.toMatch(/alice|pods/);
  });

  it('show only the events that the filter selects', async () => {
    const [pods, refused] = await Promise.all([tail('resource=pods&verb=get'), tail('refused=true')]);
    await seenAfter(pods, `${PODS}/web-0`);
    await alice.get(PODS, aliceToken);
    await expect
      .poll(async () => {
        await alice.get(PODS, 'no-token');
        return refused.events.length;
      }, SOON)
      .toBeGreaterThan(0);
    expect(new Set(pods.events.map(({ verb, objectRef }) => `${verb} ${objectRef?.resource}`))).toEqual(
      new Set(['get pods']),
    );
    expect(new Set(refused.events.map(({ responseStatus }) => responseStatus?.code))).toEqual(new Set([401]));
  });

  it.each([
    ['verb=DROP%20TABLE', 'verb'],
    ['verb=get&verb=list', 'verb'],
    ['cluster=nowhere', 'cluster'],
    ['event=nothing', 'event'],
    ['code=4711', 'code'],
    ['user=a%0Ab', 'user'],
    ['refused=maybe', 'refused'],
    ['color=red', 'unknown parameter'],
  ])('reject the filter %s, and name the field', async (query, field) => {
    const { status, body } = await root.get(`/-/admin/api/v1/audit?${query}`, rootToken);
    expect(status, JSON.stringify(body)).toBe(400);
    expect(String(body['detail'])).toContain(field);
  });

  it('reject a malformed Last-Event-ID', async () => {
    const { status } = await tail(undefined, { after: 'x-y.z' });
    expect(status).toBe(400);
  });

  it('reject a user who is neither admin nor auditor, and audit the rejection', async () => {
    const client = await instance.connect();
    const { answer, accessToken } = await client.signIn('alice');
    expect(answer.status).toBe(200);
    const { status } = await client.get('/-/admin/api/v1/audit', accessToken);
    expect([401, 403]).toContain(status);
    const refused = (await auditedBy(instance)).filter(({ verb }) => verb === 'admin-refused');
    expect(refused.at(-1)).toMatchObject({ requestURI: '/-/admin/api/v1/audit', responseStatus: { code: status } });
  });

  it('resume from a Last-Event-ID at the other replica without missing an event', async () => {
    const first = await tail('resource=pods');
    await seenAfter(first, `${PODS}?limit=21`);
    const after = first.lastId;
    if (after === undefined) throw new Error('there was no id');
    first.close();
    await alice.get(`${PODS}?limit=22`, aliceToken);
    const second = await tail('resource=pods', { port: other.ports.api, after });
    await expect.poll(() => second.events.map(({ requestURI }) => requestURI), SOON).toContain(`${PODS}?limit=22`);
    expect(second.told.filter(({ event }) => event === 'gap')).toEqual([]);
  });

  it('report a gap when there was no subscriber in the meantime', async () => {
    const first = await tail('resource=pods');
    await seenAfter(first, `${PODS}?limit=31`);
    const after = first.lastId ?? '';
    first.close();
    await bare.del(TAILS);
    const second = await tail('resource=pods', { after });
    await expect.poll(() => second.told[0]?.event, SOON).toBe('gap');
  });

  it('report a gap when Redis has lost the events, and go on', async () => {
    const tailed = await tail('resource=pods');
    await seenAfter(tailed, `${PODS}?limit=41`);
    await bare.del(LIVE_LOG, TAILS);
    await expect.poll(() => tailed.told.at(-1)?.event, SOON).toBe('gap');
    await seenAfter(tailed, `${PODS}?limit=42`);
  });

  it('keep hostile text on one line', async () => {
    const tailed = await tail('resource=pods');
    await seenAfter(tailed, `${PODS}?limit=51`);
    const path = `${PODS}/x%0adata%3a%20evil%0a%0a`;
    await alice.send('GET', path, {
      headers: { authorization: `Bearer ${aliceToken}`, 'user-agent': 'evil\u0085\u009b31m data: \u00e2\u0080\u00a8' },
    });
    await expect.poll(() => tailed.events.some(({ requestURI }) => requestURI === path), SOON).toBe(true);
    expect(tailed.told.every(({ data }) => !/[\n\r\u0080-\u009f\u2028]/.test(data))).toBe(true);
    expect(tailed.told.every(({ event }) => event === 'message')).toBe(true);
  });

  it('cut the tail of an admin who is revoked, and send nothing more', async () => {
    const key = await newClientKey();
    const admin = await instance.connect({ key });
    const { accessToken, session } = await admin.signIn('root', { resource: ADMIN });
    const tailed = await tail(undefined, { key, token: accessToken, port: other.ports.api });
    await seenAfter(tailed, `${PODS}?limit=61`);
    const revoked = await root.postJson('/-/admin/api/v1/revocations', rootToken, { session, reason: 'INC-4711' });
    expect(revoked.body).toMatchObject({ complete: true });
    const known = tailed.told.length;
    expect(await tailed.ended).toBe('ECONNRESET');
    expect(tailed.told).toHaveLength(known);
  });

  it('serve the tail over HTTP/2 as well, and cut it there', async () => {
    const key = await newClientKey();
    const admin = await instance.connect({ key });
    const { accessToken, session } = await admin.signIn('root', { resource: ADMIN });
    const connection = connect(`https://localhost:${other.ports.api}`, { ca: here.ca, ...key });
    const stream = connection.request({ ':path': '/-/admin/api/v1/audit', authorization: `Bearer ${accessToken}` });
    let text = '';
    stream.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    const cut = new Promise<string | undefined>((resolve) => {
      stream.on('error', (error: NodeJS.ErrnoException) => resolve(error.code)).on('end', () => resolve('it ended'));
    });
    await expect
      .poll(async () => {
        await alice.get(`${PODS}?limit=65`, aliceToken);
        return text;
      }, SOON)
      .toContain('limit=65');
    await root.send('DELETE', `/-/admin/api/v1/sessions/${session}?reason=INC-4711`, {
      headers: { authorization: `Bearer ${rootToken}` },
    });
    expect(await cut).toBe('ERR_HTTP2_STREAM_ERROR');
    connection.destroy();
  });

  it('accept eight tails of one account each, reject the next with 429, and accept one again when one has ended', async () => {
    const eight = await Promise.all(Array.from({ length: 8 }, () => tail()));
    expect(eight.map(({ status }) => status)).toEqual(Array(8).fill(200));
    const ninth = await root.get('/-/admin/api/v1/audit', rootToken);
    expect(ninth).toMatchObject({ status: 429, body: { code: 'too_many_tails' } });
    expect(ninth.headers['retry-after']).toBe('5');
    eight[0]?.close();
    await expect.poll(async () => (await tail()).status, SOON).toBe(200);
  });

  it('disconnect a client that does not read, and buffer nothing for it', async () => {
    const tailed = await tail(undefined, { paused: true });
    const line = (index: number): string =>
      JSON.stringify({ kind: 'Event', user: {}, annotations: {}, index, padding: 'x'.repeat(20_000) });
    const before = process.memoryUsage().rss;
    // As a replica does (src/audit/live/live.ts): what the store does not take in its time is not shown, and the next
    // batch is published.
    const failures: unknown[] = [];
    for (let shown = 0, batch = 0; shown < 45 && failures.length === 0; batch += 1) {
      const lines = Array.from({ length: 20 }, (_, index) => line(batch * 20 + index));
      const failed = await instance.server.store.live.publish(lines).catch((error: unknown) => error);
      if (failed === undefined) shown += 1;
      else if ((failed as { reason?: string }).reason !== 'redis_timeout') failures.push(failed);
    }
    expect(failures).toEqual([]);
    const others = await Promise.all(Array.from({ length: 7 }, () => tail('event=drill')));
    expect(new Set(others.map(({ status }) => status))).toEqual(new Set([200]));
    // The connection slot of that client becomes free.
    const another = async (): Promise<number> => (await tail('event=drill')).status;
    await expect.poll(another, { timeout: 30_000, interval: 500 }).toBe(200);
    expect(process.memoryUsage().rss - before).toBeLessThan(150 * 1024 * 1024);
    tailed.resume();
    await tailed.ended;
    expect(tailed.told.length).toBeLessThan(900);
  });

  it('end the tails normally when their replica stops', async () => {
    const tailed = await tail(undefined, { port: other.ports.api });
    await seenAfter(tailed, `${PODS}?limit=71`);
    const stopped = other.stop();
    expect(await tailed.ended).toBeUndefined();
    expect(tailed.told.at(-1)).toMatchObject({ event: 'end', data: '{"reason":"leaving"}' });
    await stopped;
  });
});

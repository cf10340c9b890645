/**
 * The live views of an admin: the receipt of a revocation as it is completed, and the replicas; three replicas
 * share one real Redis.
 */
import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createLink, type Link } from '../chaos/link.ts';
import type { ReplicaView, RevocationResult } from '../../src/revocation/revocation.ts';
import type { RunningServer } from '../../src/server/serve.ts';
import { auditedBy } from '../support/audit-log.ts';
import type { CookieBrowser } from '../support/cookie-browser.ts';
import { browserOf, readEvents, type EventReader } from '../support/event-reader.ts';
import { startTestInstance, type TestInstance } from '../support/instance.ts';
import { newClientKey, type OAuthClient, type Answer, type Endpoints } from '../support/oauth-client.ts';
import { startRedis, type RedisServer } from '../support/redis.ts';

const ADMIN = 'urn:portcullis:admin';
const BEARER_API = '/-/admin/api/v1';
const COOKIE_API = '/admin/api/v1';
const SOON = { timeout: 15_000, interval: 20 };

describe('live views of three replicas', () => {
  let redis: RedisServer;
  let link: Link;
  let instance: TestInstance;
  let second: RunningServer;
  /** The replica whose connection to Redis can be held. */
  let third: RunningServer;
  let here: Endpoints;
  let root: OAuthClient;
  let rootToken: string;
  let vera: CookieBrowser;
  const open: EventReader[] = [];

  beforeAll(async () => {
    redis = await startRedis();
    link = await createLink(redis.port);
    instance = await startTestInstance({ redis: redis.url });
    second = await instance.replica({ name: 'gate-second' });
    third = await instance.replica({ name: 'gate-third', redis: link.url });
    here = instance;
    root = await instance.connect();
    rootToken = (await root.signIn('root', { resource: ADMIN })).accessToken;
    vera = await browserOf(here.web, 'vera');
  });
  afterEach(() => {
    for (const reader of open.splice(0)) reader.close();
  });
  afterAll(async () => {
    await Promise.all([second.stop(), third.stop()]);
    await instance.stop();
    await link[Symbol.asyncDispose]();
    await redis.stop();
  });

  const keep = (reader: EventReader): EventReader => {
    open.push(reader);
    return reader;
  };

  /** Opens a live view as the terminal of root. */
  async function byBearer(
    resource: string,
    at = instance.server,
    more: Record<string, string> = {},
  ): Promise<EventReader> {
    const tls = { ca: here.ca, ...(root.key ?? { cert: '', key: '' }) };
    const headers = { authorization: `Bearer ${rootToken}`, ...more };
    return keep(await readEvents({ port: at.ports.api, path: `${BEARER_API}/${resource}`, tls, headers }));
  }

  async function byCookie(resource: string, browser: CookieBrowser, at = instance.server): Promise<EventReader> {
    const headers = { cookie: browser.cookies, host: new URL(here.web).host };
    return keep(await readEvents({ port: at.ports.web, path: `${COOKIE_API}/${resource}`, headers }));
  }

  /** Begins a revocation, and does not wait for its response. */
  function revoke(what: object): { readonly id: string; readonly answered: Promise<Answer> } {
    const id = randomUUID();
    const headers = { authorization: `Bearer ${rootToken}`, 'content-type': 'application/json' };
    const body = JSON.stringify({ ...what, reason: 'INC-4711', requestId: id });
    const send = async (): Promise<Answer> => {
      const answer = await root.send('POST', `${BEARER_API}/revocations`, { headers, body });
      // On a busy machine the store may miss its deadline; the response tells the client to send it again.
      return answer.body['code'] === 'revocation_not_written' ? send() : answer;
    };
    return { id, answered: send() };
  }

  /** Opens the view until it succeeds: no replica knows the revocation before it has been written. */
  async function known(at: () => Promise<EventReader>): Promise<EventReader> {
    let reader = await at();
    await expect.poll(async () => (reader.status === 200 ? 200 : (reader = await at()).status), SOON).toBe(200);
    return reader;
  }

  const receipts = (reader: EventReader) => reader.data('receipt') as readonly RevocationResult[];
  const statesOf = (answer: RevocationResult | undefined) =>
    Object.fromEntries((answer?.replicas ?? []).map(({ id, state }) => [id, state]));
  const statesIn = (reader: EventReader) => receipts(reader).map(statesOf);

  it('show receipts as they are completed, at both listeners: a disconnected replica is pending, then fenced', async () => {
    link.hold();
    const { id, answered } = revoke({ account: 'demo/alice' });
    const terminal = await known(() => byBearer(`revocations/${id}`));
    const page = await byCookie(`revocations/${id}`, vera);
    expect(page.response.headers).toMatchObject({
      'content-type': 'text/event-stream',
      'cache-control': 'no-store',
      'x-accel-buffering': 'no',
    });
    for (const reader of [terminal, page]) {
      await expect.poll(() => statesIn(reader)[0]).toMatchObject({ 'gate-third': 'pending' });
      await expect.poll(() => statesIn(reader).at(-1), SOON).toMatchObject({ 'gate-second': 'applied' });
    }
    // This connection is lost before the receipt is complete.
    const lost = await byCookie(`revocations/${id}`, vera);
    await expect.poll(() => receipts(lost).length).toBeGreaterThan(0);
    expect(receipts(lost)[0]?.complete).toBe(false);
    lost.close();
    await Promise.all([terminal.ended, page.ended]);
    link.release();
    const { status, body } = await answered;
    expect(status).toBe(200);
    for (const reader of [terminal, page]) {
      const last = receipts(reader).at(-1);
      expect(statesOf(last)).toMatchObject({ 'gate-second': 'applied', 'gate-third': 'fenced' });
      expect(last).toMatchObject({ id, complete: true, replicas: body['replicas'] });
      // The lease lasts two seconds: a silent replica has lost it by then, and not before.
      expect(last?.elapsedMs).toBeGreaterThan(1000);
      expect(reader.told.at(-1)).toMatchObject({ event: 'end', data: '{"reason":"complete"}' });
    }
    // A client that reconnects begins with the current state.
    const again = await byCookie(`revocations/${id}`, vera);
    expect(await again.ended).toBeUndefined();
    expect(receipts(again)).toMatchObject([{ id, complete: true }]);
    const reads = (await auditedBy(instance)).filter(
      ({ requestURI }) => requestURI === `${COOKIE_API}/revocations/${id}`,
    );
    expect(reads).toHaveLength(3);
    expect(reads[0]).toMatchObject({
      verb: 'admin-read',
      user: { username: 'demo:vera' },
      responseStatus: { code: 200 },
    });
  });

  it('send a receipt only when it has changed', async () => {
    link.hold();
    const { id, answered } = revoke({ account: 'demo/bob' });
    const reader = await known(() => byBearer(`revocations/${id}`));
    await reader.ended;
    link.release();
    await answered;
    const facts = receipts(reader).map(({ elapsedMs: _elapsed, ...rest }) => JSON.stringify(rest));
    expect(new Set(facts).size).toBe(facts.length);
    expect(facts.length).toBeLessThan(10);
  });

  it('are sent by a replica that did not run the revocation, from the store', async () => {
    await serving(third);
    const { id, answered } = revoke({ account: 'demo/alice' });
    await answered;
    const reader = await byCookie(`revocations/${id}`, vera, second);
    expect(await reader.ended).toBeUndefined();
    expect(statesOf(receipts(reader).at(-1))).toMatchObject({ 'gate-second': 'applied', 'gate-third': 'applied' });
  });

  it('tell a client that has seen the end not to reconnect', async () => {
    const { id, answered } = revoke({ account: 'demo/alice' });
    await answered;
    const seen = await byBearer(`revocations/${id}`);
    await seen.ended;
    expect(seen.told.find(({ event }) => event === 'receipt')?.id).toBe('complete');
    const back = await byBearer(`revocations/${id}`, instance.server, { 'last-event-id': 'complete' });
    expect(back.status).toBe(204);
  });

  it('return 404 for an unknown revocation', async () => {
    const unknown = await byBearer(`revocations/${randomUUID()}`);
    expect(unknown.status).toBe(404);
    expect(unknown.response.headers['content-type']).toBe('application/problem+json');
  });

  it('show the replicas once a second, and immediately when one is disconnected', async () => {
    await serving(third);
    const reader = await byCookie('replicas', vera);
    const views = () => reader.data('replicas') as readonly { readonly replicas: readonly ReplicaView[] }[];
    const stateOf = (name: string) =>
      views()
        .at(-1)
        ?.replicas.find(({ id }) => id === name)?.state;
    await expect.poll(() => stateOf('gate-third'), SOON).toBe('live');
    expect(views()[0]?.replicas.map(({ id, self }) => [id, self])).toContainEqual(['gate-second', false]);
    await expect.poll(() => views().length, SOON).toBeGreaterThan(2);
    link.hold();
    await expect.poll(() => stateOf('gate-third'), SOON).toBe('silent');
    link.release();
    await expect.poll(() => stateOf('gate-third'), SOON).toBe('live');
  });

  it('are reset when their user is revoked, and send nothing more', async () => {
    const key = await newClientKey();
    const mallory = await instance.connect({ key });
    const { accessToken, session } = await mallory.signIn('root', { resource: ADMIN });
    const reader = keep(
      await readEvents({
        port: second.ports.api,
        path: `${BEARER_API}/replicas`,
        headers: { authorization: `Bearer ${accessToken}` },
        tls: { ca: here.ca, ...key },
      }),
    );
    await expect.poll(() => reader.told.length, SOON).toBeGreaterThan(0);
    await revoke({ session }).answered;
    const told = reader.told.length;
    expect(await reader.ended).toBe('ECONNRESET');
    expect(reader.told.slice(told)).toEqual([]);
    expect(reader.data('end')).toEqual([]);
  });

  it('are for admins and auditors: 403 for any other user', async () => {
    const alice = await browserOf(here.web, 'alice');
    expect((await byCookie('replicas', alice)).status).toBe(403);
    expect((await byCookie(`revocations/${randomUUID()}`, alice)).status).toBe(403);
  });

  it('are rejected with 429 for an account that has forty, until one is closed; another account still gets one', async () => {
    const readers = await Promise.all(Array.from({ length: 40 }, () => byBearer('replicas', second)));
    expect(new Set(readers.map(({ status }) => status))).toEqual(new Set([200]));
    const more = await byBearer('replicas', second);
    expect(more.status).toBe(429);
    expect(Number(more.response.headers['retry-after'])).toBeGreaterThan(0);
    expect((await byCookie('replicas', vera, second)).status).toBe(200);
    expect((await byCookie('replicas', vera, second)).status).toBe(429);
    for (const reader of readers.slice(0, 2)) reader.close();
    await expect.poll(async () => (await byBearer('replicas', second)).status, SOON).toBe(200);
  });

  it('end in an orderly way when their replica shuts down', async () => {
    const leaving = await instance.replica({ name: 'gate-leaving' });
    const readers = await Promise.all([byCookie('replicas', vera, leaving), byBearer('replicas', leaving)]);
    await expect.poll(() => readers.every(({ told }) => told.length > 0), SOON).toBe(true);
    await leaving.stop();
    for (const reader of readers) {
      expect(await reader.ended).toBeUndefined();
      expect(reader.told.at(-1)).toMatchObject({ event: 'end', data: '{"reason":"leaving"}' });
    }
  });

  /** Waits until the replica holds a lease again. */
  async function serving({ guard: itsInstance }: RunningServer): Promise<void> {
    await expect.poll(() => itsInstance.fenced, SOON).toBe(false);
  }
});

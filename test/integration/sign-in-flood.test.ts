/**
 * An attacker begins sign-ins without end, at a proxy whose Redis is small: what that leaves in the store has bounds, it is audited and counted,
 * and every other user can still sign in, renew and revoke.
 */
import { Redis } from 'ioredis';
import { Agent, request } from 'undici';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { auditedBy } from '../support/audit-log.ts';
import { startTestInstance, type TestInstance } from '../support/instance.ts';
import { metric } from '../support/metric.ts';
import { AUTHORIZATION, type OAuthClient } from '../support/oauth-client.ts';
import { startRedis, type RedisServer } from '../support/redis.ts';

/** `limits.signInsPerMinute`, as it is by default. */
const LIMIT = 30;

let redis: RedisServer;
let instance: TestInstance;
let ca: string;
let alice: OAuthClient;
beforeAll(async () => {
  redis = await startRedis({ args: ['--maxmemory', '8mb'] });
  instance = await startTestInstance({ redis: redis.url });
  ({ ca } = instance);
  alice = await instance.connect();
});
afterAll(async () => {
  await instance.stop();
  await redis.stop();
});

/** Sends requests from one address of the loopback network. @returns each response's status, and the last `Retry-After` */
async function ask(
  from: string,
  times: number,
  url: string,
  given: { form?: Record<string, string> | undefined; cookie?: string } = {},
) {
  const { form, cookie = '' } = given;
  const agent = new Agent({ localAddress: from, connect: { ca }, connections: 4 });
  const statuses: number[] = [];
  let retryAfter: string | undefined;
  await Promise.all(
    Array.from({ length: times }, async () => {
      const answer = await request(url, {
        dispatcher: agent,
        method: form === undefined ? 'GET' : 'POST',
        body: form === undefined ? null : new URLSearchParams(form).toString(),
        headers: { cookie, ...(form === undefined ? {} : { 'content-type': 'application/x-www-form-urlencoded' }) },
      });
      await answer.body.dump();
      statuses.push(answer.statusCode);
      const header = answer.headers['retry-after'];
      if (typeof header === 'string') retryAfter = header;
    }),
  );
  await agent.close();
  return { statuses: statuses.toSorted((left, right) => left - right), retryAfter };
}

const authorize = (extra: Record<string, string> = {}): string =>
  `${instance.urls.web}/oauth/authorize?${new URLSearchParams({ ...AUTHORIZATION, ...extra }).toString()}`;

/** Tries again where a busy machine makes Redis respond too late. */
const soon = <T>(attempt: () => Promise<T>): Promise<T> => vi.waitFor(attempt, { timeout: 30_000, interval: 1000 });

/** One authorization request, as far as the page to sign in at. */
async function begin(
  extra: Record<string, string> = {},
): Promise<{ readonly location: string; readonly cookie: string }> {
  const { headers, body } = await request(authorize(extra));
  await body.dump();
  const cookies = [headers['set-cookie'] ?? []].flat().map((line) => line.split(';', 1)[0]);
  expect(headers.location).toMatch(/\/login\//);
  return { location: String(headers.location), cookie: cookies.join('; ') };
}

const refusedFrom = async (address: string) =>
  (await auditedBy(instance)).filter(
    ({ verb, sourceIPs, annotations }) =>
      verb === 'sign-in-refused' &&
      sourceIPs[0] === address &&
      annotations['portcullis.dev/reason'] === 'too_many_sign_ins',
  );

describe('one address', () => {
  it.each([
    ['authorization requests', '127.8.0.1', () => ({ url: authorize(), form: undefined })],
    [
      'device codes',
      '127.8.0.2',
      () => ({
        url: `${instance.urls.api}/-/oauth/device`,
        form: { client_id: 'portcullis-cli', scope: 'kubernetes' },
      }),
    ],
  ])('may begin so many sign-ins a minute by %s; the rest causes one audit event', async (_what, address, to) => {
    const counted = async (): Promise<number> =>
      Number(await metric(instance.server, 'portcullis_refusals_total{reason="too_many_sign_ins"}'));
    const before = await counted();
    const { url, form } = to();
    const { statuses, retryAfter } = await ask(address, LIMIT * 3, url, { form });
    // On a slow machine the address may get one more meanwhile, and another; and Redis may respond to some too late (503).
    const allowed = statuses.filter((status) => status !== 429).length;
    expect(allowed).toBeGreaterThanOrEqual(LIMIT);
    expect(allowed).toBeLessThan(LIMIT * 2);
    expect(Number(retryAfter)).toBeGreaterThan(0);
    expect(await counted()).toBe(before + LIMIT * 3 - allowed);
    expect(await refusedFrom(address)).toMatchObject([
      { responseStatus: { code: 429 }, annotations: { 'portcullis.dev/count': '1' } },
    ]);
  });

  it('may continue one authorization request as often as it may begin one, with a limit on parallel requests', async () => {
    const { location, cookie } = await soon(() => begin());
    const uid = new URL(location, instance.urls.web).pathname.split('/').at(-1);
    const { statuses } = await ask('127.8.0.3', LIMIT * 3, `${instance.urls.web}/oauth/authorize/${uid}`, { cookie });
    const allowed = statuses.filter((status) => status !== 429).length;
    expect(allowed).toBeGreaterThanOrEqual(LIMIT);
    expect(allowed).toBeLessThan(LIMIT * 2);
  });

  it('stores no parameter that is longer than any client needs', async () => {
    const long = await request(authorize({ state: 's'.repeat(2049) }));
    await long.body.dump();
    expect(long.statusCode).toBe(303);
    const back = new URL(String(long.headers.location));
    expect(back.origin + back.pathname).toBe(AUTHORIZATION.redirect_uri);
    expect(back.searchParams.get('error')).toBe('invalid_request');
    expect(back.searchParams.get('error_description')).toBe('state is longer than 2048 characters');
    const device = { client_id: 'portcullis-cli', scope: 'kubernetes' };
    const hint = await alice.post('/-/oauth/device', { ...device, login_hint: 'n'.repeat(30_000) });
    expect(hint).toMatchObject({ status: 400, body: { error: 'invalid_request' } });
    const body = `${new URLSearchParams(device).toString()}${'&resource=urn%3Aportcullis%3Acluster%3Ademo'.repeat(400)}`;
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    const many = await alice.send('POST', '/-/oauth/device', { headers, body });
    expect(many).toMatchObject({ status: 400, body: { error: 'invalid_request' } });
    const longest = { state: 's'.repeat(2048), login_hint: 'n'.repeat(2048) };
    await soon(() => begin(longest));
  });
});

describe('many addresses, each as often as it may', () => {
  it('keep no user from signing in, renewing or revoking, and do not fill the store', async () => {
    const session = await soon(() => alice.signIn('alice'));
    const { location, cookie } = await soon(() => begin());
    const url = authorize({ state: 's'.repeat(2048) });
    for (let network = 0; network < 50; network += 1) await ask(`127.9.${network}.1`, LIMIT, url);

    const bare = new Redis(redis.url);
    const [memory, errors] = [await bare.info('memory'), await bare.info('errorstats')];
    await bare.quit();
    expect(Number(/used_memory:(\d+)/.exec(memory)?.[1])).toBeLessThan(6 * 1024 * 1024);
    expect(errors).not.toContain('errorstat_OOM');

    // It began before all of them, and was not displaced by them.
    await soon(async () => {
      const goesOn = await request(new URL(location, instance.urls.web), { headers: { cookie } });
      await goesOn.body.dump();
      expect(goesOn.headers.location).toMatch(/\/login\/[\w-]+\/start\?provider=demo$/);
    });
    await soon(async () => expect(await alice.refresh(session.refreshToken)).toMatchObject({ status: 200 }));
    await soon(() => alice.signIn('root'));
    await soon(async () => {
      const target = { kind: 'session', session: session.session } as const;
      expect(await instance.server.guard.revoke({ target })).toMatchObject({ complete: true });
    });
    const ready = await request(`${instance.urls.ops}/readyz`);
    await ready.body.dump();
    expect(ready.statusCode).toBe(200);

    const displaced = Number(await metric(instance.server, 'portcullis_sign_ins_displaced_total{kind="Interaction"}'));
    expect(displaced).toBeGreaterThan(100);
    const events = (await auditedBy(instance)).filter(({ verb }) => verb === 'sign-ins-displaced');
    expect(events.length).toBeGreaterThan(0);
    expect(events.length).toBeLessThan(10);
    expect(events[0]?.annotations).toMatchObject({ 'portcullis.dev/artefact': 'Interaction' });
  });
});

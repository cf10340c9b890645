import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { Visitor, type Visit } from '../../demo/visitor.ts';
import { ADMIN_AUDIENCE, clusterAudience } from '../../src/core/core.ts';
import type { RunningServer } from '../../src/server/serve.ts';
import { delegate, selfToken } from '../support/delegation.ts';
import { fieldIn } from '../support/device-stage.ts';
import { type OAuthClient, served, type Answer } from '../support/oauth-client.ts';
import { startRedis } from '../support/redis.ts';
import type { SsoProvider } from '../support/sso-provider.ts';
import { startSsoStage, type SsoStage } from '../support/sso-stage.ts';
import { signInAtTwoReplicas, type TwoReplicaUser } from '../support/two-replica-user.ts';

const PODS = '/api/v1/namespaces/default/pods';
const SECRETS = '/api/v1/namespaces/default/secrets';
/** Where a program waits. None does: the redirect ends there, as the browser sees it. */
const LOOPBACK = 'http://127.0.0.1:9/callback';
const STATE = 'state-of-the-program';
/** Seconds; less than any configuration may say, so that the test need not wait for a minute. A busy machine needs three or four. */
const MAX_AGE = 10;

let stage: SsoStage;
let sso: SsoProvider;
let web = '';
let second: RunningServer;
let redis: Awaited<ReturnType<typeof startRedis>>;
const clients: OAuthClient[] = [];

beforeAll(async () => {
  redis = await startRedis();
  stage = await startSsoStage({
    redis: redis.url,
    change: (config) => ({
      clockSkew: 1,
      limits: { ...config.limits, signInsPerMinute: 1000 },
      stepUp: [{ rules: [{ verbs: ['get'], apiGroups: [''], resources: ['secrets'] }], maxAge: MAX_AGE }],
    }),
  });
  ({ sso, web } = stage);
  second = await stage.replica();
});

beforeEach(() => {
  sso.user = 'root';
  sso.provenIn = 0;
});

afterAll(async () => {
  await Promise.all(clients.map((client) => client.close()));
  await stage.stop();
  await redis.stop();
});

/** A user's machine: its session is by single sign-on, with a password of an hour ago. */
const laptop = (): Promise<TwoReplicaUser> => signInAtTwoReplicas(stage, second);

const call = (client: OAuthClient, token: string, path: string, body?: object): Promise<Answer> =>
  served(() =>
    client.send(body === undefined ? 'GET' : 'POST', path, {
      headers: {
        authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    }),
  );

const begin = (
  { client, self }: TwoReplicaUser,
  body: object = { redirect: LOOPBACK, state: STATE },
): Promise<Answer> => call(client, self, '/-/step-up', body);

const browser = (): Visitor => new Visitor({ name: 'root', password: '' }, { stopAt: LOOPBACK, confirms: false });

const linkIn = (page: Visit): string =>
  /href="(\/step-up\/[^"]+start\?[^"]+)"/.exec(page.html)?.[1]?.replaceAll('&amp;', '&') ?? '';

/** From the page that asks to the program's address, or to wherever the browser ends. */
async function goOn(url: string, visitor = browser()): Promise<URL> {
  const page = await visitor.visit(url);
  expect(page.status, page.html).toBe(200);
  return new URL((await visitor.visit(`${web}${linkIn(page)}`)).url);
}

const reasons = async (): Promise<readonly (string | undefined)[]> =>
  (await stage.events('step-up-refused')).map(({ annotations }) => annotations['portcullis.dev/reason']);

/** At each replica; the second is at another port than the host of the cluster. */
const both = async ({ client, elsewhere, accessToken }: TwoReplicaUser): Promise<readonly number[]> => {
  const answers = [client.get(SECRETS, accessToken), elsewhere.get(`/clusters/demo${SECRETS}`, accessToken)];
  return (await Promise.all(answers)).map(({ status }) => status);
};

/** A notice reaches the other replica within its lease. */
async function until(isSo: () => Promise<boolean>): Promise<void> {
  while (!(await isSo())) await pause(50);
}

describe('by the browser', () => {
  test('a request is 403 until the user has stepped up, then allowed on each replica for maxAge, and 403 again', async () => {
    const own = await laptop();
    const rejected = await own.client.get(SECRETS, own.accessToken);
    expect(rejected).toMatchObject({ status: 403, body: { kind: 'Status', reason: 'Forbidden' } });
    expect(rejected.body['message']).toContain(
      `in the last ${MAX_AGE} seconds; run: portcullis step-up --server ${web}`,
    );
    expect((await own.client.get(PODS, own.accessToken)).status).toBe(200);

    const begun = await begin(own);
    expect(begun).toMatchObject({
      status: 201,
      body: { url: `${web}/step-up/${String(begun.body['id'])}`, interval: 5 },
    });
    expect(begun.body).not.toHaveProperty('userCode');
    const url = String(begun.body['url']);
    const page = await browser().visit(url);
    for (const text of ['demo:root', '127.0.0.1', own.session, 'only if you started this yourself']) {
      expect(page.html).toContain(text);
    }
    const back = await goOn(url);
    expect(back.href.startsWith(`${LOOPBACK}?`)).toBe(true);
    expect(Object.fromEntries(back.searchParams)).toEqual({
      code: expect.stringMatching(/^[\w-]{43}$/),
      state: STATE,
      iss: web,
    });
    expect(sso.prompts.at(-1)).toContain('login');
    // Nothing counts before the program has redeemed it.
    expect(await both(own)).toEqual([403, 403]);
    const code = back.searchParams.get('code');
    const done = await call(own.client, own.self, `/-/step-up/${String(begun.body['id'])}`, { code });
    expect(done).toMatchObject({ status: 200, body: { state: 'done', freshUntil: expect.any(String) } });
    expect((await own.client.get(SECRETS, own.accessToken)).status).toBe(200);
    await until(async () => (await both(own)).every((status) => status === 200));
    const [proven] = (await stage.events('step-up')).slice(-1);
    expect(proven?.annotations).toMatchObject({
      'portcullis.dev/session': own.session,
      'portcullis.dev/account': 'demo/root',
    });

    await until(async () => (await both(own)).every((status) => status === 403));
    expect((await own.client.get(PODS, own.accessToken)).status).toBe(200);
  }, 60_000);

  test('a link alone does nothing: only the session that began redeems the code, with its key, and once is audited once', async () => {
    const attacker = await laptop();
    const victim = await laptop();
    const { id, url } = (await begin(attacker)).body as { id: string; url: string };
    const code = (await goOn(url)).searchParams.get('code');
    const before = (await stage.events('step-up')).length;
    // The code came to the victim's machine. Another session, or another key, redeems nothing.
    expect((await call(victim.client, victim.self, `/-/step-up/${id}`, { code })).status).toBe(404);
    const thief = await stage.connect();
    expect((await call(thief, attacker.self, `/-/step-up/${id}`, { code })).status).toBe(401);
    expect((await call(attacker.client, attacker.self, `/-/step-up/${id}`, { code: 'A'.repeat(43) })).status).toBe(403);
    expect(await both(attacker)).toEqual([403, 403]);
    // Nor does the link lead anyone further once it was used.
    expect((await browser().visit(url)).status).toBe(400);
    const redeem = () => call(attacker.client, attacker.self, `/-/step-up/${id}`, { code });
    expect((await Promise.all([redeem(), redeem(), redeem()])).map(({ status }) => status)).toEqual([200, 200, 200]);
    expect(await stage.events('step-up')).toHaveLength(before + 1);
    expect((await call(attacker.client, attacker.self, `/-/step-up/${id}`)).body).toMatchObject({ state: 'done' });
  });

  test('another account changes nothing, and the program learns it', async () => {
    const own = await laptop();
    const { id, url } = (await begin(own)).body as { id: string; url: string };
    sso.user = 'alice';
    const back = await goOn(url);
    expect(back.searchParams.get('error')).toBe('access_denied');
    expect(back.searchParams.get('error_description')).toContain('another user than that of the session');
    expect(back.searchParams.get('code')).toBeNull();
    expect((await call(own.client, own.self, `/-/step-up/${id}`)).body).toMatchObject({ state: 'refused' });
    expect(await both(own)).toEqual([403, 403]);
    const [event] = (await stage.events('step-up-refused')).slice(-1);
    expect(event?.annotations).toMatchObject({
      'portcullis.dev/reason': 'other_account',
      'portcullis.dev/account': 'demo/alice',
      'portcullis.dev/session': own.session,
    });
  });

  test('a sign-in of an hour ago is none, after each way of asking was tried', async () => {
    const own = await laptop();
    const { url } = (await begin(own)).body as { url: string };
    sso.provenIn = -3600;
    const back = await goOn(url);
    expect(back.searchParams.get('error')).toBe('access_denied');
    expect((await reasons()).at(-1)).toBe('fresh_sign_in_needed');
    expect(await both(own)).toEqual([403, 403]);
  });

  test('is denied by its button, and needs the page that asks: neither a form nor a link of another browser counts', async () => {
    const own = await laptop();
    const { id, url } = (await begin(own)).body as { id: string; url: string };
    const asked = browser();
    const page = await asked.visit(url);
    const csrf = fieldIn(page, 'csrf');
    const other = browser();
    await other.visit(url);
    expect((await other.visit(`${web}${linkIn(page)}`)).status).toBe(400);
    expect((await other.visit(`${web}/step-up/deny`, new URLSearchParams({ csrf, id }))).status).toBe(400);
    expect((await asked.visit(`${web}/step-up/${id}/start?provider=demo`)).status).toBe(400);
    const denied = await asked.visit(`${web}/step-up/deny`, new URLSearchParams({ csrf, id }));
    expect(denied).toMatchObject({ status: 200, html: expect.stringContaining('Nothing has changed') });
    expect((await call(own.client, own.self, `/-/step-up/${id}`)).body).toMatchObject({ state: 'refused' });
    expect((await asked.visit(`${web}${linkIn(page)}`)).status).toBe(400);
    expect((await reasons()).slice(-2)).toEqual(['step_up_denied', 'step_up_over']);
  });

  test.each([
    'https://attacker.example.com/callback',
    'http://127.0.0.1/callback',
    'http://127.0.0.1:9/elsewhere',
    'http://127.0.0.1:9/callback?next=https://attacker.example.com',
    'http://127.0.0.1:9/callback#x',
    'http://127.0.0.1:9@attacker.example.com/callback',
    'http://127.0.0.1.attacker.example.com:9/callback',
    'http://localhost:9/callback',
    'http://0x7f000001:9/callback',
    'http://127.0.0.1:65536/callback',
    'javascript:alert(1)',
  ])('never leads to %s', async (redirect) => {
    const own = await shared();
    expect(await begin(own, { redirect, state: STATE })).toMatchObject({ status: 400 });
  });
});

let known: TwoReplicaUser | undefined;
/** One machine for what changes nothing. */
const shared = async (): Promise<TwoReplicaUser> => (known ??= await laptop());

describe('by a code', () => {
  const enter = async (visitor: Visitor, userCode: string): Promise<Visit> => {
    const csrf = fieldIn(await visitor.visit(`${web}/step-up`), 'csrf');
    return visitor.visit(`${web}/step-up`, new URLSearchParams({ csrf, user_code: userCode }));
  };

  test('the user types it, signs in, and the program polls until it is done', async () => {
    const own = await laptop();
    const begun = await begin(own, {});
    const { id, userCode, verificationUrl } = begun.body as Record<'id' | 'userCode' | 'verificationUrl', string>;
    expect(userCode).toMatch(/^[B-DF-HJ-NP-TV-XZ]{4}-[B-DF-HJ-NP-TV-XZ]{4}$/);
    expect(begun.body).toMatchObject({ url: verificationUrl, verificationUrl: `${web}/step-up` });
    const poll = async () => (await call(own.client, own.self, `/-/step-up/${id}`)).body;
    expect(await poll()).toEqual({ state: 'pending' });
    // No link leads past the code, also for one who knows the id.
    expect((await browser().visit(`${web}/step-up/${id}`)).status).toBe(400);
    expect((await browser().visit(`${web}/step-up/${id}/start?ticket=x`)).status).toBe(400);
    const visitor = browser();
    const page = await enter(visitor, ` ${userCode.toLowerCase().replace('-', ' ')} `);
    expect(page.html).toContain(userCode);
    expect((await visitor.visit(`${web}${linkIn(page)}`)).url).toBe(`${web}/step-up/done`);
    expect(await poll()).toEqual({ state: 'done' });
    expect((await own.client.get(SECRETS, own.accessToken)).status).toBe(200);
    expect((await enter(browser(), userCode)).status).toBe(400);
    expect((await enter(browser(), 'BCDF-GHJK')).html).toContain('is not known here');
  });

  test('another session learns nothing of it', async () => {
    const { id } = (await begin(await shared(), {})).body as { id: string };
    const other = await laptop();
    expect((await call(other.client, other.self, `/-/step-up/${id}`)).status).toBe(404);
  });
});

test('a delegated session never has a proof, whatever its user has done, and cannot ask for one', async () => {
  const own = await laptop();
  const child = await delegate(own.client, own.refreshToken, { limits: [{ preset: 'read-only-with-secrets' }] });
  clients.push(child.client);
  const { url, id } = (await begin(own)).body as { id: string; url: string };
  const code = (await goOn(url)).searchParams.get('code');
  expect((await call(own.client, own.self, `/-/step-up/${id}`, { code })).status).toBe(200);
  expect((await own.client.get(SECRETS, own.accessToken)).status).toBe(200);
  const cluster = await served(() => child.client.refresh(child.refreshToken, { resource: clusterAudience('demo') }));
  const rejected = await child.client.get(SECRETS, String(cluster.body['access_token']));
  expect(rejected.status).toBe(403);
  expect(rejected.body['message']).toContain("its user's own session must do it");
  const self = await selfToken(child.client, child.refreshToken);
  const asked = await call(child.client, self, '/-/step-up', { redirect: LOOPBACK });
  expect(asked).toMatchObject({ status: 403, body: { code: 'step_up_delegated' } });
  const [event] = (await stage.events('step-up-refused')).slice(-1);
  expect(event?.annotations).toMatchObject({
    'portcullis.dev/reason': 'step_up_delegated',
    'portcullis.dev/actor': 'claude',
    'portcullis.dev/session': own.session,
  });
});

test('an admin who has stepped up need not sign in again to revoke, with the same token', async () => {
  const own = await laptop();
  const admin = await served(() => own.client.refresh(own.refreshToken, { resource: ADMIN_AUDIENCE }));
  const token = String(admin.body['access_token']);
  const order = { account: 'demo/ghost', reason: 'INC-4711' };
  const revoke = () => call(own.client, token, '/-/admin/api/v1/revocations', order);
  expect((await revoke()).body).toMatchObject({ code: 'fresh_sign_in_needed' });
  const { url, id } = (await begin(own)).body as { id: string; url: string };
  const code = (await goOn(url)).searchParams.get('code');
  await call(own.client, own.self, `/-/step-up/${id}`, { code });
  expect(await revoke()).toMatchObject({ status: 200 });
});

// Last: after the revocation of an account, each of its sign-ins is a fresh one.
test('a session that is revoked between the sign-in and the code stays ended', async () => {
  const own = await laptop();
  const { id, url } = (await begin(own)).body as { id: string; url: string };
  const code = (await goOn(url)).searchParams.get('code');
  await stage.server.guard.revoke({ target: { kind: 'session', session: own.session } });
  expect((await call(own.client, own.self, `/-/step-up/${id}`, { code })).status).toBe(401);
  expect(await stage.server.store.sessions.read(own.session)).toBeUndefined();
  // Nor is a sign-in finished that began before.
  const other = await laptop();
  const begun = (await begin(other)).body as { url: string };
  const visitor = browser();
  const page = await visitor.visit(begun.url);
  await stage.server.guard.revoke({ target: { kind: 'account', account: 'demo/root' } });
  expect((await visitor.visit(`${web}${linkIn(page)}`)).status).toBe(400);
});

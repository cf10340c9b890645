import { once } from 'node:events';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { decodeJwt } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AppError } from '../../src/core/errors.ts';
import { allowLinkIn, fieldIn, startDeviceStage, visitor, type DeviceStage } from '../support/device-stage.ts';
import type { Answer } from '../support/oauth-client.ts';

const DEMO = 'urn:portcullis:cluster:demo';
const PODS = '/api/v1/namespaces/default/pods';
const GRANT = 'urn:ietf:params:oauth:grant-type:device_code';

const sessionIn = (answer: Answer): string =>
  (answer.body['portcullis'] as { session: { id: string } } | undefined)?.session.id ?? '';

describe('a device code', () => {
  let stage: DeviceStage;
  beforeAll(async () => {
    stage = await startDeviceStage({ redis: true });
  });
  afterAll(() => stage.stop());

  const about = async (event: string, key: string, value: string) =>
    (await stage.events(event)).filter(({ annotations }) => annotations[`portcullis.dev/${key}`] === value);

  /** Holds each decision until both browsers have read the code as undecided. */
  function holdUntilBothDecide(): () => void {
    const { artefacts } = stage.server.store;
    const save = artefacts.save.bind(artefacts);
    const both = Promise.withResolvers<void>();
    let arrived = 0;
    artefacts.save = async (kindOfArtefact, ...rest) => {
      if (kindOfArtefact === 'DeviceDecision') {
        arrived += 1;
        if (arrived === 2) both.resolve();
        await both.promise;
      }
      return save(kindOfArtefact, ...rest);
    };
    return () => {
      artefacts.save = save;
    };
  }

  it('is issued at the api listener only, with an address to type and no link that contains the code', async () => {
    const { status, body } = await stage.device.post('/-/oauth/device', { client_id: 'portcullis-cli' });
    expect(status).toBe(200);
    expect(body).toEqual({
      device_code: expect.stringMatching(/^[\w-]{43}$/),
      user_code: expect.stringMatching(/^[B-DF-HJ-NP-TV-XZ]{4}-[B-DF-HJ-NP-TV-XZ]{4}$/),
      verification_uri: `${stage.web}/device`,
      expires_in: 600,
      interval: 5,
    });
    const endpoint = `${stage.api}/-/oauth/device`;
    expect(await (await fetch(`${stage.web}/.well-known/openid-configuration`)).json()).toMatchObject({
      device_authorization_endpoint: endpoint,
      mtls_endpoint_aliases: { device_authorization_endpoint: endpoint },
    });
    const form = new URLSearchParams({ client_id: 'portcullis-cli' });
    expect((await fetch(`${stage.web}/oauth/device`, { method: 'POST', body: form })).status).toBe(404);
  });

  it.each(['/oauth/device', '/oauth/device/', '/oauth/Device', '/oauth/DEVICE/'])(
    'is not issued at the web listener, where every device would have the address of the ingress: %s',
    async (path) => {
      const body = new URLSearchParams({ client_id: 'portcullis-cli' });
      expect((await fetch(stage.web + path, { method: 'POST', body })).status).toBe(404);
    },
  );

  it('is not issued at the web listener for a request target that names a host', async () => {
    const { hostname, port, host } = new URL(stage.web);
    const socket = connect(Number(port), hostname);
    await once(socket, 'connect');
    const form = 'client_id=portcullis-cli';
    const head = [
      `POST ${stage.web}/oauth/device HTTP/1.1`,
      `Host: ${host}`,
      'Content-Type: application/x-www-form-urlencoded',
      `Content-Length: ${form.length}`,
      'Connection: close',
    ];
    socket.write(`${head.join('\r\n')}\r\n\r\n${form}`);
    expect(await text(socket)).toMatch(/^HTTP\/1\.1 404 /);
  });

  it('signs the device in once a user has typed it and completed a fresh sign-in, bound to the key of the device', async () => {
    const { device, thief, server } = stage;
    const waiting = await stage.begin();
    expect(await stage.poll(waiting)).toMatchObject({ status: 400, body: { error: 'authorization_pending' } });
    expect(await stage.allow('alice', waiting)).toMatchObject({ status: 200, url: `${stage.web}/device/done` });
    const answer = await stage.poll(waiting);
    expect(answer.status, JSON.stringify(answer.body)).toBe(200);
    const token = String(answer.body['access_token']);
    const refreshToken = String(answer.body['refresh_token']);
    expect(decodeJwt(token)).toMatchObject({ sub: 'demo/alice', aud: DEMO });
    expect((await device.get(PODS, token)).status).toBe(200);
    expect((await thief.get(PODS, token)).status).toBe(401);
    expect((await thief.refresh(refreshToken)).status).toBe(400);
    expect((await device.refresh(refreshToken)).status).toBe(200);
    const session = sessionIn(answer);
    expect(await server.store.sessions.read(session)).toMatchObject({ device: true, client: 'portcullis-cli' });
    const [event] = await about('sign-in', 'session', session);
    expect(event?.annotations).toMatchObject({ 'portcullis.dev/device': '127.0.0.1', 'portcullis.dev/fresh': 'true' });
    expect(await about('refresh', 'grant-type', 'device_code')).not.toHaveLength(0);
  });

  it('is accepted as users type it, and the page shows the client, its address and its request before any sign-in', async () => {
    const waiting = await stage.begin({ resource: DEMO });
    const page = await stage.enter(visitor('alice'), ` ${waiting.userCode.toLowerCase().replace('-', ' ')} `);
    expect(page.status).toBe(200);
    for (const text of ['kubectl', '127.0.0.1', '<dd>demo</dd>', 'only if you started this yourself']) {
      expect(page.html).toContain(text);
    }
    const everything = await stage.enter(visitor('alice'), (await stage.begin()).userCode);
    expect(everything.html).toContain('every cluster that you may use');
  });

  it('is never accepted from a link', async () => {
    const { userCode } = await stage.begin();
    const page = await visitor('alice').visit(`${stage.web}/device?user_code=${userCode}`);
    expect(page.status).toBe(200);
    expect(page.html).not.toContain(userCode);
    expect(allowLinkIn(page)).toBeUndefined();
  });

  it('that was requested for one cluster gives tokens for no other', async () => {
    const waiting = await stage.begin({ resource: DEMO });
    await stage.allow('root', waiting);
    const answer = await stage.poll(waiting);
    expect(answer.status).toBe(200);
    const other = { resource: 'urn:portcullis:admin' };
    expect(await stage.device.refresh(String(answer.body['refresh_token']), other)).toMatchObject({
      status: 400,
      body: { error: 'invalid_target' },
    });
  });

  it('of a user who is signed in at these pages belongs to that session, is marked there, and ends it when it is revoked', async () => {
    const browser = visitor('alice');
    await browser.visit(`${stage.web}/login/start?provider=demo&to=me`);
    const waiting = await stage.begin();
    await stage.allow('alice', waiting, browser);
    const session = sessionIn(await stage.poll(waiting));
    const { sessions } = stage.server.store;
    const via = (await sessions.read(session))?.via ?? '';
    expect(await sessions.read(via)).toMatchObject({ client: 'browser' });
    expect((await browser.visit(`${stage.web}/me`)).html).toContain('by code');
    await stage.server.guard.revoke({ target: { kind: 'session', session } });
    await expect.poll(() => sessions.read(via)).toBeUndefined();
  });

  it('is decided once: of two browsers one wins, and the session of the other ends', async () => {
    const waiting = await stage.begin();
    const [first, second] = [visitor('alice'), visitor('bob')];
    const pages = [await stage.enter(first, waiting.userCode), await stage.enter(second, waiting.userCode)];
    const [one, two] = pages.map((page) => `${stage.web}${allowLinkIn(page)}`);
    const letGo = holdUntilBothDecide();
    const ended = await Promise.all([first.visit(one ?? ''), second.visit(two ?? '')]);
    letGo();
    expect(new Set(ended.map(({ status }) => status))).toEqual(new Set([200, 400]));
    expect((await stage.enter(visitor('root'), waiting.userCode)).html).toContain('is not known here, has been used');
    const users = ['demo/alice', 'demo/bob'] as const;
    const [winner, loser] = ended[0].status === 200 ? users : ([users[1], users[0]] as const);
    const { sessions } = await stage.server.store.sessions.list({ account: loser, limit: 100 });
    expect(sessions.filter((session) => session.device === true && session.thumbprint === undefined)).toEqual([]);
    expect((await stage.poll(waiting)).body['portcullis']).toMatchObject({ account: winner });
  });

  it('that is redeemed a second time was stolen: the session that it opened ends as well (RFC 6749 §4.1.2)', async () => {
    const waiting = await stage.begin();
    await stage.allow('alice', waiting);
    const answer = await stage.poll(waiting);
    expect(answer.status).toBe(200);
    expect(await stage.poll(waiting)).toMatchObject({ status: 400, body: { error: 'invalid_grant' } });
    const session = sessionIn(answer);
    expect(await stage.server.store.sessions.read(session)).toBeUndefined();
    const [event] = await about('revocation', 'session', session);
    expect(event).toMatchObject({ requestURI: '/oauth/token' });
    expect(event?.annotations).toMatchObject({ 'portcullis.dev/reason': 'code_replayed' });
    // A replayed code means theft, so it is not audited as a logout of the user.
    expect(await about('logout', 'session', session)).toEqual([]);
    expect((await about('refresh-refused', 'reason', 'code_replayed')).length).toBeGreaterThan(0);
  });

  it('that could not be redeemed, because the server could not decide, can be redeemed by the next poll', async () => {
    const waiting = await stage.begin();
    await stage.allow('alice', waiting);
    const { sessions } = stage.server.store;
    const mint = sessions.mint.bind(sessions);
    sessions.mint = () => Promise.reject(new AppError('fenced', 'Portcullis is not ready. Try again in a moment.'));
    expect(await stage.poll(waiting)).toMatchObject({ status: 503, body: { error: 'temporarily_unavailable' } });
    sessions.mint = mint;
    expect(await stage.poll(waiting)).toMatchObject({ status: 200, body: { access_token: expect.any(String) } });
  });

  it('that is consumed, although its response could not be completed, tells the client to begin again and not to retry', async () => {
    const waiting = await stage.begin();
    await stage.allow('alice', waiting);
    const { artefacts } = stage.server.store;
    const save = artefacts.save.bind(artefacts);
    artefacts.save = async (kindOfArtefact, ...rest) => {
      if (kindOfArtefact === 'RefreshToken') throw new AppError('store_unavailable', 'The store is unavailable.');
      return save(kindOfArtefact, ...rest);
    };
    const answer = await stage.poll(waiting);
    artefacts.save = save;
    expect(answer).toMatchObject({ status: 400, body: { error: 'invalid_grant' } });
    expect(answer.body['error_description']).toContain('Sign in again');
    expect(answer.headers).not.toHaveProperty('retry-after');
    expect((await stage.events('refresh-refused')).at(-1)?.annotations['portcullis.dev/reason']).toBe(
      'store_unavailable',
    );
  });

  it('gives twenty devices that redeem it at the same time one session at most', async () => {
    const waiting = await stage.begin();
    await stage.allow('alice', waiting);
    const answers = await Promise.all(Array.from({ length: 20 }, () => stage.poll(waiting)));
    expect(answers.filter(({ status }) => status === 200).length).toBeLessThanOrEqual(1);
  });

  it('that the user denies is reported to the device, and the denial is audited', async () => {
    const waiting = await stage.begin();
    const browser = visitor('alice');
    const page = await stage.enter(browser, waiting.userCode);
    const form = new URLSearchParams({ csrf: fieldIn(page, 'csrf'), ticket: fieldIn(page, 'ticket') });
    expect((await browser.visit(`${stage.web}/device/refuse`, form)).html).toContain('Denied');
    expect(await stage.poll(waiting)).toMatchObject({ status: 400, body: { error: 'access_denied' } });
    expect(await about('sign-in-refused', 'reason', 'device_refused')).toHaveLength(1);
    expect((await stage.enter(browser, waiting.userCode)).status).toBe(400);
  });

  it('makes a client slow down that polls too often, and polling is not audited', async () => {
    const waiting = await stage.begin();
    const before = (await stage.events('refresh-refused')).length;
    expect((await stage.poll(waiting)).body['error']).toBe('authorization_pending');
    expect((await stage.poll(waiting)).body['error']).toBe('slow_down');
    expect(await stage.events('refresh-refused')).toHaveLength(before);
  });

  it('makes a client slow down that asks for pages, with the same response', async () => {
    const { deviceCode } = await stage.begin();
    const form = { grant_type: GRANT, client_id: 'portcullis-cli', device_code: deviceCode };
    const ask = () => stage.device.post('/-/oauth/token', form, { accept: 'text/html' });
    expect(await ask()).toMatchObject({ status: 400, body: { error: 'authorization_pending' } });
    expect(await ask()).toMatchObject({ status: 400, body: { error: 'slow_down' } });
  });

  it('that no user typed in time has expired, for the device and for the page', async () => {
    const waiting = await stage.begin();
    const { artefacts } = stage.server.store;
    const payload = await artefacts.find('DeviceCode', waiting.deviceCode);
    const userCode = waiting.userCode.replace('-', '');
    const past = { ...payload, exp: Math.floor(Date.now() / 1000) - 1 };
    await artefacts.save('DeviceCode', waiting.deviceCode, past, { ttlSeconds: 60, userCode });
    expect(await stage.poll(waiting)).toMatchObject({ status: 400, body: { error: 'expired_token' } });
    expect((await stage.enter(visitor('alice'), waiting.userCode)).html).toContain('has expired');
    expect(await about('sign-in-refused', 'reason', 'device_code_expired')).toHaveLength(1);
  });

  it('cannot be redeemed without a key', async () => {
    const bare = await stage.connect({ key: null });
    const waiting = await stage.begin();
    await stage.allow('alice', waiting);
    expect(await stage.poll(waiting, bare)).toMatchObject({ status: 400, body: { error: 'invalid_grant' } });
    await bare.close();
  });

  it.each(['account', 'provider', 'all'] as const)(
    'that is confirmed and not yet redeemed is invalid once its %s is revoked',
    async (target) => {
      const waiting = await stage.begin();
      expect((await stage.allow('bob', waiting)).url).toBe(`${stage.web}/device/done`);
      const targets = {
        account: { kind: 'account', account: 'demo/bob' },
        provider: { kind: 'provider', provider: 'demo' },
        all: { kind: 'all' },
      } as const;
      await stage.server.guard.revoke({ target: targets[target] });
      expect(await stage.poll(waiting)).toMatchObject({ status: 400, body: { error: 'invalid_grant' } });
      // Until this replica has read the entry from the log, a sign-in that begins here counts as begun before the
      // revocation.
      const { number } = await stage.server.store.log.position();
      await expect.poll(() => stage.server.guard.position?.number).toBe(number);
    },
  );
});

describe('a client that guesses device codes', () => {
  let stage: DeviceStage;
  beforeAll(async () => {
    stage = await startDeviceStage({ signInsPerMinute: 30 });
  });
  afterAll(() => stage.stop());

  it('has three tries a minute, and a user who types right codes has many', async () => {
    const browser = visitor('alice');
    for (let device = 0; device < 8; device += 1) {
      expect((await stage.enter(browser, (await stage.begin()).userCode)).status).toBe(200);
    }
    const wrong = [];
    for (let attempt = 0; attempt < 4; attempt += 1) wrong.push((await stage.enter(browser, 'BBBB-BBBB')).status);
    expect(wrong).toEqual([400, 400, 429, 429]);
    // The right code does not bypass the limit.
    expect((await stage.enter(browser, (await stage.begin()).userCode)).status).toBe(429);
    const reasons = (await stage.events('sign-in-refused')).map(
      ({ annotations }) => annotations['portcullis.dev/reason'],
    );
    expect(reasons).toContain('device_code_unknown');
    expect(reasons).toContain('too_many_sign_ins');
  });

  it('cannot fill the store with codes from one address', async () => {
    const asked = await Promise.all(
      Array.from({ length: 40 }, () => stage.device.post('/-/oauth/device', { client_id: 'portcullis-cli' })),
    );
    expect(asked.filter(({ status }) => status === 200).length).toBeLessThanOrEqual(30);
    expect(asked.some(({ status }) => status === 429)).toBe(true);
  });

  it('is audited where too many codes are begun from one address', async () => {
    const own = await startDeviceStage({ signInsPerMinute: 3 });
    try {
      let answer = await own.device.post('/-/oauth/device', { client_id: 'portcullis-cli' });
      for (let left = 20; left > 0 && answer.status === 200; left -= 1) {
        answer = await own.device.post('/-/oauth/device', { client_id: 'portcullis-cli' });
      }
      expect(answer).toMatchObject({ status: 429, body: { error: 'temporarily_unavailable' } });
      expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0);
      const [event] = await own.events('sign-in-refused');
      expect(event?.annotations['portcullis.dev/reason']).toBe('too_many_sign_ins');
      expect(event?.responseStatus).toMatchObject({ code: 429 });
    } finally {
      await own.stop();
    }
  });
});

describe('where device codes are off', () => {
  let stage: DeviceStage;
  beforeAll(async () => {
    stage = await startDeviceStage({ deviceCode: 'off' });
  });
  afterAll(() => stage.stop());

  it('there is neither an endpoint nor a page, and the discovery document names none', async () => {
    const asked = await stage.device.post('/-/oauth/device', { client_id: 'portcullis-cli' });
    expect(asked.status).toBe(404);
    expect((await fetch(`${stage.web}/device`)).status).toBe(404);
    const polled = await stage.poll({ deviceCode: 'x', userCode: 'y' });
    expect(polled).toMatchObject({ status: 400, body: { error: 'unsupported_grant_type' } });
    const discovery = await (await fetch(`${stage.web}/.well-known/openid-configuration`)).text();
    expect(discovery).not.toContain('device_authorization_endpoint');
  });
});

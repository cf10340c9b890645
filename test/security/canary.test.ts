/**
 * The canary: a user signs in, works, and is signed out in every possible way, and attackers try in every way to get in. Then everything
 * that was written anywhere is searched for every secret that was ever used.
 */
import { randomBytes } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SignJWT, generateKeyPair } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CHAIN_FACTS, REQUEST_FACTS } from '../../src/core/audit/annotations.ts';
import { PORTCULLIS_EVENTS, isPortcullisEventName, type CatalogueEntry } from '../../src/core/audit/catalogue.ts';
import type { AuditEvent } from '../../src/core/audit/event.ts';
import { EXTRA_DOMAIN } from '../../src/core/core.ts';
import { startCanaryStage, type CanaryStage } from './canary-stage.ts';
import { DEMO, RESOURCE } from '../support/exchange-stage.ts';
import { delegationsRequest, newChild, order, selfToken } from '../support/delegation.ts';
import { CookieBrowser } from '../support/cookie-browser.ts';
import { fieldIn, visitor } from '../support/device-stage.ts';
import { CliContext } from '../support/kubectl.ts';
import { newClientKey, OAuthClient } from '../support/oauth-client.ts';

/** Events that must be in the audit log at the end. */
const HAPPENED = [
  'sign-in',
  'sign-in-refused',
  'refresh',
  'refresh-refused',
  'revocation',
  'lock',
  'unlock',
  'drill',
  'logout',
  'admin-read',
  'admin-refused',
  'delegated',
  'delegation-refused',
  'step-up',
  'step-up-refused',
];

const PODS = '/api/v1/namespaces/default/pods';
const DEVICE_GRANT = 'urn:ietf:params:oauth:grant-type:device_code';

let stage: CanaryStage;
let client: OAuthClient;
let thief: OAuthClient;

/** A secret that was issued to no client. */
const canary = (kind: string): string => stage.secrets.add(kind, `canary-${randomBytes(12).toString('hex')}`);

beforeAll(async () => {
  stage = await startCanaryStage();
  const { secrets, endpoints } = stage;
  const [key, other] = [await newClientKey(), await newClientKey()];
  for (const pair of [key, other]) secrets.addPem('key of a laptop', pair.key);
  client = new OAuthClient(endpoints, key);
  thief = new OAuthClient(endpoints, other);
});
afterAll(async () => {
  await client.close();
  await thief.close();
  await stage.stop();
});

/** @param left attempts after one that a slow store has made a 503: its code is used up then */
async function signIn(
  user: string,
  left = 4,
): Promise<Readonly<Record<'code' | 'verifier' | 'accessToken' | 'refreshToken', string>>> {
  const { secrets } = stage;
  const { callback, verifier, state } = await client.authorize(user);
  secrets.add('verifier', verifier);
  secrets.add('state', state);
  const code = secrets.add('authorization code', callback.searchParams.get('code') ?? '');
  const answer = await client.redeem(code, verifier);
  if (answer.status === 503 && left > 0) return await signIn(user, left - 1);
  expect(answer.status, JSON.stringify(answer.body)).toBe(200);
  secrets.addMembers('token answer', answer.body);
  return {
    code,
    verifier,
    accessToken: String(answer.body['access_token']),
    refreshToken: String(answer.body['refresh_token']),
  };
}

/** Everything that the command line stores on the user's machine. */
async function learnLaptop(user: string): Promise<void> {
  const directory = join(stage.instance.files.directory, `cache-of-${user}`);
  for (const name of await readdir(directory, { recursive: true, encoding: 'utf8' })) {
    if (!name.endsWith('session.json')) continue;
    const session = JSON.parse(await readFile(join(directory, name), 'utf8')) as Record<string, unknown>;
    stage.secrets.addMembers('cache of a laptop', session);
  }
}

/** @returns a token of alice's that is good until she is thrown out */
async function workAndFail(): Promise<string> {
  const { secrets, shown } = stage;
  const { accessToken, refreshToken, code, verifier } = await signIn('alice');
  secrets.addMembers('refresh', (await client.refresh(refreshToken)).body);
  expect((await client.get(PODS, accessToken)).status).toBe(200);
  // What a client puts where it does not belong.
  const exec = `${PODS}/web-1/exec?stdout=1&command=sh&command=-c&command=${canary('exec command')}`;
  shown(await client.send('POST', exec, { headers: { authorization: `Bearer ${accessToken}` } }));
  for (const name of ['access_token', 'token', 'password', 'client_secret', 'id_token', 'api_key', 'code']) {
    shown(await client.get(`${PODS}?${name}=${canary(`query ${name}`)}`, accessToken));
    shown(await client.get(`${PODS}?next=%2Fx%3F${name}%3D${canary(`nested query ${name}`)}`, accessToken));
  }
  shown(await client.get(`${PODS}?x=${accessToken}`, accessToken));
  // The cluster returns to this client the name that it has asked for; no other client may learn it.
  await client.get(`${PODS}/${accessToken}`, accessToken);
  const inHeaders = { 'user-agent': `curl ${accessToken}`, cookie: `session=${canary('foreign cookie')}` };
  shown(await client.send('GET', PODS, { headers: { ...inHeaders, authorization: `Bearer ${accessToken}` } }));
  // Credentials that are not good.
  shown(await thief.get(PODS, accessToken));
  shown(await client.get(PODS, canary('opaque token')));
  const { privateKey } = await generateKeyPair('ES256');
  const foreign = await new SignJWT({ sub: 'x' }).setProtectedHeader({ alg: 'ES256' }).sign(privateKey);
  secrets.addToken('foreign token', foreign);
  shown(await client.get(PODS, foreign));
  const basic = Buffer.from(`alice:${canary('basic password')}`).toString('base64');
  shown(await client.send('GET', PODS, { headers: { authorization: `Basic ${secrets.add('basic', basic)}` } }));
  const protocol = `base64url.bearer.authorization.k8s.io.${Buffer.from(canary('subprotocol')).toString('base64url')}`;
  const withProtocol = { 'sec-websocket-protocol': `${protocol}, v5.channel.k8s.io` };
  shown(await client.send('GET', `${PODS}?watch=1`, { headers: withProtocol }));
  // The token endpoint.
  shown(await client.redeem(canary('unknown code'), verifier));
  shown(await client.redeem(code, verifier));
  shown(await client.refresh(canary('unknown refresh token')));
  shown(await thief.refresh(refreshToken));
  shown(await client.token({ grant_type: 'password', username: 'alice', password: canary('password grant') }));
  shown(
    await client.token({
      grant_type: 'refresh_token',
      refresh_token: refreshToken,
      client_secret: canary('secret of a public client'),
    }),
  );
  const exchange = { grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange', subject_token: foreign };
  shown(await client.token({ ...exchange, subject_token_type: 'urn:ietf:params:oauth:token-type:jwt' }));
  shown(await client.revoke(canary('unknown token')));
  return accessToken;
}

async function tryPages(): Promise<void> {
  const { secrets, shown, endpoints } = stage;
  const page = async (path: string, headers: Record<string, string> = {}): Promise<void> => {
    const answer = await fetch(`${endpoints.web}${path}`, { headers, redirect: 'manual' });
    shown({ status: answer.status, headers: {}, body: { text: await answer.text() } });
  };
  await page(`/callback/demo?code=${canary('code of an attacker')}&state=${canary('state of an attacker')}`);
  await page(
    `/callback/demo?error=access_denied&error_description=${canary('token in a description')}&state=x`.replace(
      /&error_description=[^&]*/,
      '',
    ),
  );
  await page('/me', { cookie: `portcullis-session=${canary('cookie of an attacker')}` });
  await page('/admin', { authorization: `Bearer ${canary('bearer at the pages')}` });
  await page(`/oauth/authorize?client_id=none&code_challenge=${canary('challenge')}&state=${canary('state')}`);
  const { body } = await client.post('/-/oauth/device', { client_id: 'portcullis-cli' });
  secrets.add('device code', String(body['device_code']));
  secrets.add('user code', String(body['user_code']));
  shown(await client.token({ grant_type: DEVICE_GRANT, device_code: String(body['device_code']) }));
  shown(await client.token({ grant_type: DEVICE_GRANT, device_code: canary('unknown device code') }));
  await visitor('bob').visit(`${endpoints.web}/login/start?provider=demo`);
  shown(
    await client.send('GET', '/-/admin/api/v1/sessions', {
      headers: { authorization: `Bearer ${canary('admin token')}` },
    }),
  );
}

/** A sign-in that returns with a code that the provider has never issued; and one that does not even name the provider. */
async function redeemUnknownCode(issuer: string): Promise<void> {
  const { endpoints, shown } = stage;
  const browser = new CookieBrowser();
  const { location } = await browser.get(`${endpoints.web}/login/start?provider=demo`);
  const state = new URL(location).searchParams.get('state') ?? '';
  const query = new URLSearchParams({
    code: canary('code of no client'),
    state,
    ...(issuer === '' ? {} : { iss: issuer }),
  });
  const { status, html } = await browser.follow(`${endpoints.web}/callback/demo?${query.toString()}`);
  expect(status).toBeGreaterThanOrEqual(400);
  shown({ status, headers: {}, body: { html } });
}

/** A user proves a session again, by the browser and by a code; an attacker guesses. */
async function stepUp(): Promise<void> {
  const { secrets, shown, endpoints } = stage;
  const { refreshToken } = await signIn('alice');
  const own = await selfToken(client, refreshToken);
  secrets.addToken('token of own sessions', own);
  const post = (path: string, body: object) =>
    client.send('POST', `/-/step-up${path}`, {
      headers: { authorization: `Bearer ${own}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
  const state = canary('state of a step-up');
  const begun = await post('', { redirect: 'http://127.0.0.1:9/callback', state });
  const id = secrets.add('id of a step-up', String(begun.body['id']));
  const browser = visitor('alice', { stopAt: 'http://127.0.0.1:9/callback', confirms: false });
  const asked = await browser.visit(String(begun.body['url']));
  const [, link = ''] = /href="(\/step-up\/[^"]+start[^"]+)"/.exec(asked.html) ?? [];
  const back = new URL((await browser.visit(`${endpoints.web}${link.replaceAll('&amp;', '&')}`)).url);
  const code = secrets.add('code of a step-up', back.searchParams.get('code') ?? '');
  shown(await post(`/${id}`, { code: canary('code of a guess').padEnd(43, 'A').slice(0, 43) }));
  expect((await post(`/${id}`, { code })).status).toBe(200);
  shown(await post('', { redirect: `https://attacker.example.com/${canary('path of a redirect')}` }));
  const typed = await post('', {});
  secrets.add('id of a step-up', String(typed.body['id']));
  secrets.add('user code', String(typed.body['userCode']));
  const csrf = fieldIn(await browser.visit(`${endpoints.web}/step-up`), 'csrf');
  await browser.visit(
    `${endpoints.web}/step-up`,
    new URLSearchParams({ csrf, user_code: String(typed.body['userCode']) }),
  );
  await browser.visit(`${endpoints.web}/step-up/${id}/start?ticket=${canary('ticket')}`);
}

/** A user gives an agent a session, and a registered client exchanges the user's token for one. */
async function delegateAndExchange(): Promise<void> {
  const { secrets, shown, endpoints } = stage;
  const { refreshToken } = await signIn('alice');
  const agent = await newChild(endpoints);
  try {
    secrets.addPem('key of an agent', agent.client.key?.key ?? '');
    const own = await selfToken(client, refreshToken);
    secrets.addToken('token of own sessions', own);
    const post = (changes: object) =>
      delegationsRequest(client, own, 'POST', { body: order(agent.thumbprint, changes) });
    const made = await post({});
    const given = secrets.add('refresh token of an agent', String(made.body['refreshToken']));
    const answer = await agent.client.refresh(given, { resource: DEMO });
    secrets.addMembers('token answer of an agent', answer.body);
    const token = String(answer.body['access_token']);
    expect((await agent.client.get(PODS, token)).status).toBe(200);
    await agent.client.get(`${PODS}/${token}/log`, token);
    shown(await agent.client.send('DELETE', PODS, { headers: { authorization: `Bearer ${token}` } }));
    shown(await thief.get(PODS, token));
    shown(await thief.refresh(given, { resource: DEMO }));
    shown(await delegationsRequest(thief, own, 'GET'));
    shown(await delegationsRequest(client, canary('bearer at delegated sessions'), 'GET'));
    shown(await post({ name: `${canary('name of an agent')}\n` }));
    shown(await post({ clusters: [`${canary('cluster of an agent')}.x`] }));
    shown(await post({ thumbprint: canary('thumbprint of an agent') }));
  } finally {
    await agent.client.close();
  }
}

async function exchange(): Promise<void> {
  const { secrets, shown, clientKey, instance } = stage;
  const { callback, verifier } = await client.authorize('alice', { extra: { resource: RESOURCE } });
  const code = secrets.add('authorization code', callback.searchParams.get('code') ?? '');
  const redeemed = await client.redeem(code, verifier, { resource: RESOURCE });
  secrets.addMembers('token answer', redeemed.body);
  const now = Math.floor(Date.now() / 1000);
  const claims = { iss: 'mcp', sub: 'mcp', aud: instance.urls.web, jti: canary('jti'), exp: now + 60 };
  const assertion = await new SignJWT(claims).setProtectedHeader({ alg: 'ES256' }).sign(clientKey);
  secrets.addToken('client assertion', assertion);
  const form = {
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    subject_token: String(redeemed.body['access_token']),
    subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
    client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
    client_assertion: assertion,
  };
  // Any key but that of the user's own session.
  const answer = await thief.post('/-/oauth/token', form);
  expect(answer.status, JSON.stringify(answer.body)).toBe(200);
  secrets.addMembers('token answer of an exchange', answer.body);
  for (const change of [
    {},
    { client_assertion: canary('client assertion') },
    { client_assertion: assertion, client_id: canary('client id') },
    { client_assertion: undefined, client_id: 'mcp', client_secret: canary('secret of a registered client') },
  ]) {
    const changed = Object.entries({ ...form, ...change }).filter(
      (entry): entry is [string, string] => entry[1] !== undefined,
    );
    shown(await thief.post('/-/oauth/token', Object.fromEntries(changed)));
  }
}

/** What users do at their terminals, and an admin against them. */
async function useCommands(aliceToken: string): Promise<void> {
  const { instance, printed } = stage;
  const server = ['--server', instance.urls.web];
  const [root, alice] = [new CliContext(instance, 'root'), new CliContext(instance, 'alice')];
  const done = async (laptop: CliContext, ...args: string[]): Promise<void> => {
    let { code, all } = printed(await laptop.portcullis(...args, ...server));
    // On a busy machine the store may miss its time; the response advises to send it again.
    while (all.includes('revocation_not_written'))
      ({ code, all } = printed(await laptop.portcullis(...args, ...server)));
    expect([args, code, all]).toEqual([args, 0, all]);
  };
  await done(alice, 'login', '--verbose');
  await learnLaptop('alice');
  printed(await alice.kubectl('exec', 'web-1', '--', 'sh', '-c', `echo ${canary('kubectl exec')} > /tmp/x`));
  printed(await alice.kubectl('get', 'secrets'));
  printed(await alice.portcullis('sessions', ...server));
  await done(root, 'login');
  await done(root, 'sessions', '--verbose');
  await done(root, 'drill', '--reason', 'INC-0');
  await done(root, 'lock', 'demo/alice', '--reason', 'INC-1');
  stage.shown(await client.get(PODS, aliceToken));
  await done(root, 'unlock', 'demo/alice', '--reason', 'INC-2');
  await learnLaptop('root');
  await done(root, 'logout');
}

describe('every secret that is used while users work, fail and are signed out', () => {
  beforeAll(async () => {
    const aliceToken = await workAndFail();
    await delegateAndExchange();
    await stepUp();
    await exchange();
    await tryPages();
    await redeemUnknownCode('');
    await redeemUnknownCode(stage.instance.urls.issuer);
    await useCommands(aliceToken);
    const last = await signIn('bob');
    stage.shown(await client.revoke(last.refreshToken));
  });

  it('is many, of every kind', () => {
    const { kinds, size } = stage.secrets;
    expect(size).toBeGreaterThan(60);
    for (const kind of [
      'authorization code',
      'client assertion',
      'client secret',
      'cookie',
      'device code',
      'exec command',
      'kubectl exec',
      'key file: d',
      'key file: k',
      'key of TLS',
      'key of a client: d',
      'key of a laptop',
      'key of an agent',
      'password',
      'provider: access_token',
      'provider: id_token',
      'provider: refresh_token',
      'token answer: access_token',
      'token answer: refresh_token',
      'token answer of an agent: access_token',
      'token answer of an exchange: access_token',
      'token of own sessions',
      'upstream token',
      'user code',
    ]) {
      expect([...kinds]).toContain(kind);
    }
  });

  it('is nowhere: not in the audit log, the log, the metrics, Redis, an error page or the output of a command', async () => {
    const surfaces = await stage.surfaces();
    expect(stage.secrets.leaksIn(surfaces)).toEqual([]);
    for (const [name, content] of Object.entries(surfaces)) expect([name, content.length > 500]).toEqual([name, true]);
  });

  it('would have been found in any of them', async () => {
    const surfaces = await stage.surfaces();
    for (const [name, content] of Object.entries(surfaces)) {
      for (const spelled of [
        canary('planted'),
        encodeURIComponent(canary('planted')),
        Buffer.from(canary('planted')).toString('hex'),
      ]) {
        const planted = { ...surfaces, [name]: Buffer.concat([Buffer.from(content), Buffer.from(spelled)]) };
        expect(stage.secrets.leaksIn(planted)).toEqual([`planted in ${name}`]);
      }
    }
  });

  it('left an audit event for each thing that happened, each with the annotations of the catalogue and no other', async () => {
    const { auditLog, rejectedLog } = stage.instance.files;
    const texts = await Promise.all([auditLog, rejectedLog].map((file) => readFile(file, 'utf8')));
    const events = texts.flatMap((text) => text.trimEnd().split('\n')).map((line) => JSON.parse(line) as AuditEvent);
    expect([...new Set(events.map(({ verb }) => verb))]).toEqual(expect.arrayContaining(HAPPENED));
    const strange = events.flatMap(({ verb, annotations }) => {
      const { facts } = isPortcullisEventName(annotations[`${EXTRA_DOMAIN}/event`] ?? '')
        ? (PORTCULLIS_EVENTS[verb as keyof typeof PORTCULLIS_EVENTS] as CatalogueEntry)
        : { facts: REQUEST_FACTS };
      const known = new Set(['event', ...facts, ...CHAIN_FACTS].map((fact) => `${EXTRA_DOMAIN}/${fact}`));
      return Object.keys(annotations)
        .filter((name) => !known.has(name))
        .map((name) => `${name} of ${verb}`);
    });
    expect([...new Set(strange)]).toEqual([]);
  });
});

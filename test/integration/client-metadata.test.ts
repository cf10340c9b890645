import { randomUUID } from 'node:crypto';
import { decodeJwt } from 'jose';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { USERS } from '../../demo/demo.ts';
import { Visitor, type Visit } from '../../demo/visitor.ts';
import { DEMO, EXCHANGE, PODS, RESOURCE, startExchangeStage, type ExchangeStage } from '../support/exchange-stage.ts';

/** MCP clients that no one has registered: their `client_id` is the URL of a document. */

const REDIRECT = 'http://127.0.0.1:9/callback';

let stage: ExchangeStage;

beforeAll(async () => {
  stage = await startExchangeStage({ redis: true });
});
afterAll(async () => {
  await stage.stop();
});

/** Publishes a document, and returns the id of its client. */
function publish(change: object = {}, path = `/clients/${randomUUID()}`): string {
  const client_id = `${stage.published.issuer}${path}`;
  stage.published.documents.set(path, {
    client_id,
    client_name: 'Your Bank',
    // Any port, as all programs that users start (RFC 8252 §7.3).
    redirect_uris: ['http://127.0.0.1/callback'],
    grant_types: ['authorization_code', 'refresh_token'],
    token_endpoint_auth_method: 'none',
    ...change,
  });
  return client_id;
}

/** Publishes a document under an address that is spelled otherwise; the client has a key for its tokens. */
function inCapitals(origin = 'HTTPS://localhost'): string {
  const path = `/clients/${randomUUID()}`;
  const client_id = stage.published.issuer.replace('https://localhost', origin) + path;
  publish({ client_id, tls_client_certificate_bound_access_tokens: true }, path);
  return client_id;
}

/** Goes as far as the page that asks the user. */
async function begin(client_id: string, extra: Record<string, string> = {}) {
  const alice = USERS.find(({ name }) => name === 'alice');
  if (alice === undefined) throw new Error('there is no alice');
  const visitor = new Visitor(alice, { stopAt: REDIRECT });
  const started = await stage.bare.authorize(alice, { visitor, extra: { client_id, resource: RESOURCE, ...extra } });
  const follow = (link: RegExp): Promise<Visit> => {
    const path = link.exec(started.page.html)?.[1]?.replaceAll('&amp;', '&') ?? 'no such link';
    return visitor.visit(new URL(path, stage.web).href);
  };
  return { ...started, follow };
}

const ALLOW = /href="(\/login\/[^"]+\/start[^"]*)"/;
const REFUSE = /href="(\/login\/[^"]+\/refuse[^"]*)"/;

it('is announced in the metadata', async () => {
  const response = await fetch(`${stage.web}/.well-known/oauth-authorization-server`);
  expect(await response.json()).toMatchObject({ client_id_metadata_document_supported: true });
});

it('signs in once its user has confirmed its host, and gets tokens for the one program', async () => {
  const client_id = publish();
  const { page, follow, verifier } = await begin(client_id);
  expect(page.url).toContain(`${stage.web}/login/`);
  expect(page.html).toContain(new URL(client_id).host);
  expect(page.html).toContain(RESOURCE);
  expect(page.html).toContain('on this machine');
  // Anyone may call themselves so.
  expect(page.html).not.toContain('Your Bank');
  const callback = new URL((await follow(ALLOW)).url);
  const code = callback.searchParams.get('code') ?? '';
  const answer = await stage.bare.redeem(code, verifier, { client_id, resource: RESOURCE });
  expect(answer.status, JSON.stringify(answer.body)).toBe(200);
  const token = String(answer.body['access_token']);
  expect(decodeJwt(token)).toMatchObject({ aud: RESOURCE, client_id });
  expect((await stage.bare.get(PODS, token)).status).toBe(401);
  const exchanged = await stage.exchange(token);
  expect((await stage.mcp.get(PODS, String(exchanged.body['access_token']))).status).toBe(200);
  const refresh = { client_id, resource: RESOURCE };
  expect((await stage.bare.refresh(String(answer.body['refresh_token']), refresh)).status).toBe(200);
  // It is no client of token exchange.
  const own = await stage.bare.token({ client_id, grant_type: EXCHANGE, subject_token: token });
  expect(own.status).toBe(400);
});

it.each([
  ['allows', ALLOW],
  ['does not allow', REFUSE],
])('goes on where its user %s it at a replica that has not read its document', async (_what, link) => {
  const { follow } = await begin(publish());
  await stage.restart();
  const { searchParams } = new URL((await follow(link)).url);
  expect([...searchParams.keys()]).toContain(link === ALLOW ? 'code' : 'error');
});

it('gets an error where its user does not allow it', async () => {
  const { follow } = await begin(publish());
  expect(new URL((await follow(REFUSE)).url).searchParams.get('error')).toBe('access_denied');
});

it.each<readonly [string, () => string, Record<string, string>]>([
  ['a host that is not listed', () => publish().replace('localhost', '127.0.0.1'), {}],
  ['an address without a path', () => `${stage.published.issuer}/`, {}],
  ['a document of another client', () => publish({ client_id: 'https://localhost/other' }), {}],
  ['a document that there is not', () => `${stage.published.issuer}/none`, {}],
  ['a document that is large', () => publish({ client_uri: `https://localhost/${'a'.repeat(6000)}` }), {}],
  ['a redirect that is not in its document', () => publish({ redirect_uris: ['http://127.0.0.1/other'] }), {}],
  ['a scheme of an app’s own', () => publish({ redirect_uris: [REDIRECT, 'com.example:/callback'] }), {}],
  [
    'a grant of devices',
    () => publish({ grant_types: ['authorization_code', 'urn:ietf:params:oauth:grant-type:device_code'] }),
    {},
  ],
  [
    'keys of its own',
    () => publish({ token_endpoint_auth_method: 'private_key_jwt', jwks_uri: 'https://localhost/jwks' }),
    {},
  ],
  ['a further address that is not listed', () => publish({ sector_identifier_uri: 'https://169.254.169.254/' }), {}],
  // The library takes it for the address of a document, and the rest must not take it for a client of ours.
  ['an address in another spelling', () => inCapitals(), { resource: DEMO }],
  ['an address in another spelling, for a program', () => inCapitals(), {}],
  ['a host in another spelling', () => inCapitals('https://LOCALHOST'), { resource: DEMO }],
  ['no PKCE', () => publish(), { code_challenge: '', code_challenge_method: '' }],
  ['no resource', () => publish(), { resource: '' }],
  ['a cluster', () => publish(), { resource: DEMO }],
  ['the admin API', () => publish(), { resource: 'urn:portcullis:admin' }],
])('is rejected with %s, before its user is asked', async (_what, clientId, extra) => {
  const before = (await stage.events('sign-in-refused')).length;
  const { page, callback } = await begin(clientId(), extra);
  expect(callback.searchParams.get('code')).toBe(null);
  expect(page.html).not.toMatch(ALLOW);
  expect((await stage.events('sign-in-refused')).length).toBe(before + 1);
});

it('has its document read once while it is kept', async () => {
  const asked = stage.published.asked.length;
  const client_id = publish();
  await begin(client_id);
  await begin(client_id);
  expect(stage.published.asked.slice(asked)).toHaveLength(1);
});

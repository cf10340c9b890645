import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { decodeJwt } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { temporaryFolder } from '../support/instance.ts';
import { pageBlock, withValues } from '../support/page-blocks.ts';
import { newClientKey, OAuthClient, type Answer } from '../support/oauth-client.ts';
import {
  DEMO,
  EXCHANGE,
  MCP_CLIENT,
  OTHER,
  PODS,
  RESOURCE,
  RIGHTS,
  rights,
  startExchangeStage,
  type ExchangeStage,
} from '../support/exchange-stage.ts';

const tokenOf = ({ status, body }: Answer): string => {
  expect(status, JSON.stringify(body)).toBe(200);
  return String(body['access_token']);
};
const sessionOf = (answer: Answer): string => String(decodeJwt(tokenOf(answer))['sid']);

describe('a registered client', () => {
  let stage: ExchangeStage;

  beforeAll(async () => {
    stage = await startExchangeStage({ redis: true });
  });
  afterAll(async () => {
    await stage.stop();
  });

  const remove = (client: OAuthClient, token: string): Promise<Answer> =>
    client.send('DELETE', `${PODS}/web-1`, { headers: { authorization: `Bearer ${token}` } });

  it('exchanges a user’s token for one that is bound to its key, names both, and may do less', async () => {
    const subject = await stage.subject('alice');
    const answer = await stage.exchange(subject, { resource: DEMO });
    const token = tokenOf(answer);
    const user = decodeJwt(subject);
    expect(decodeJwt(token)).toMatchObject({ aud: DEMO, client_id: 'mcp', sub: user.sub, act: { sub: 'mcp' } });
    expect(decodeJwt(token)['psid']).toEqual([user['sid']]);
    expect(answer.body).not.toHaveProperty('refresh_token');
    expect(answer.body['authorization_details']).toMatchObject([{ type: RIGHTS, clusters: ['demo', 'other'] }]);
    expect((await stage.mcp.get(PODS, token)).status).toBe(200);
    const refused = await remove(stage.mcp, token);
    expect([refused.status, refused.body['message']]).toEqual([403, expect.stringContaining('delegated to "mcp"')]);
    expect((await stage.mcp.get(PODS.replace('default', 'kube-system'), token)).status).toBe(403);
    // With another program's key.
    expect((await stage.tls.get(PODS, token)).status).toBe(401);
    const opened = (await stage.events('delegated')).at(-1);
    expect(opened?.annotations).toMatchObject({
      'portcullis.dev/actor': 'mcp',
      'portcullis.dev/session': user['sid'],
      'portcullis.dev/delegated-session': sessionOf(answer),
    });
    const names = {
      'portcullis.dev/actor': 'mcp',
      'portcullis.dev/session': user['sid'],
      'portcullis.dev/delegated-session': sessionOf(answer),
    };
    const requests = (await stage.events(undefined)).filter(({ responseStatus }) => responseStatus?.code !== 401);
    expect(requests.map(({ annotations }) => annotations)).toMatchObject(requests.map(() => names));
    expect(requests.length).toBeGreaterThan(2);
    // As the API server sees it.
    const whoami = await stage.mcp.postJson('/apis/authentication.k8s.io/v1/selfsubjectreviews', token, {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'SelfSubjectReview',
    });
    const seen = Object.fromEntries(Object.entries(names).map(([name, value]) => [name, [value]]));
    expect(whoami.body).toMatchObject({ status: { userInfo: { extra: seen } } });
    const minted = (await stage.events('refresh')).at(-1);
    expect(minted?.annotations).toMatchObject({
      'portcullis.dev/grant-type': 'token_exchange',
      'portcullis.dev/client': 'mcp',
      'portcullis.dev/actor': 'mcp',
      'portcullis.dev/session': user['sid'],
    });
  });

  it('authenticates by its certificate, and by keys at an address', async () => {
    const byTls = tokenOf(await stage.exchangeByTls(await stage.subject('alice', 'https://mcp-tls.example.com/mcp')));
    expect((await stage.tls.get(PODS, byTls)).status).toBe(200);
    expect((await stage.mcp.get(PODS, byTls)).status).toBe(401);
    const subject = await stage.subject('alice', 'https://mcp-url.example.com/mcp');
    const byUrl = tokenOf(await stage.exchange(subject, {}, { id: 'mcp-url' }));
    expect((await stage.mcp.get(PODS, byUrl)).status).toBe(200);
  });

  it('gets the same session for the same question, another for another, and no more than a session may have', async () => {
    const subject = await stage.subject('bob');
    const same = await Promise.all(Array.from({ length: 10 }, () => stage.exchange(subject)));
    const [first = ''] = same.map(sessionOf);
    expect(new Set(same.map(sessionOf))).toEqual(new Set([first]));
    expect(sessionOf(await stage.exchange(subject, { resource: OTHER }))).toBe(first);
    const namespaces = ['default', 'shop'];
    const narrower = [{ namespaces: ['shop'] }, { clusters: ['demo'] }, { preset: 'read-only', namespaces }];
    const others: Answer[] = [];
    for (const more of narrower) others.push(await stage.exchange(subject, rights(more)));
    expect(new Set(others.slice(0, 2).map(sessionOf)).add(first).size).toBe(3);
    // Its own limit counts whatever it asks for: here its preset, where it asks for a namespace alone.
    const limits = [{ preset: 'read-only', namespaces }, { namespaces: ['shop'] }];
    expect(others[0]?.body).toMatchObject({ authorization_details: [{ limits }] });
    // What the client may have in any case, asked for once more, is the same.
    expect(sessionOf(others[2] as Answer)).toBe(first);
    const from = new OAuthClient(stage.user.endpoints, await newClientKey());
    const byOtherKey = await stage.exchange(subject, {}, { from });
    expect(byOtherKey.status).toBe(200);
    expect(sessionOf(byOtherKey)).not.toBe(first);
    await from.close();
    const fifth = await stage.exchange(subject, rights({ namespaces: ['default'], clusters: ['other'] }));
    expect(fifth).toMatchObject({ status: 400, body: { error: 'invalid_request' } });
    expect(fifth.body['error_description']).toContain('4 delegated sessions');
    const refused = (await stage.events('delegation-refused')).at(-1);
    expect(refused?.annotations).toMatchObject({ 'portcullis.dev/reason': 'delegations_too_many' });
  });

  it('keeps who acted before', async () => {
    const self = await stage.user.signIn('alice', { resource: 'urn:portcullis:self' });
    const agent = new OAuthClient(stage.user.endpoints, await newClientKey());
    const { x5t } = thumbprintOf(agent);
    const made = await stage.user.postJson('/-/delegations', self.accessToken, {
      name: 'claude',
      clusters: ['demo'],
      limits: [{ namespaces: ['default'] }],
      seconds: 600,
      thumbprint: x5t,
    });
    expect(made.status, JSON.stringify(made.body)).toBe(201);
    const own = await agent.refresh(String(made.body['refreshToken']), { resource: RESOURCE });
    const answer = await stage.exchange(tokenOf(own));
    const token = decodeJwt(tokenOf(answer));
    expect(token['act']).toEqual({ sub: 'mcp', act: { sub: 'claude' } });
    expect(token['psid']).toHaveLength(2);
    expect(answer.body['authorization_details']).toMatchObject([{ clusters: ['demo'] }]);
    expect((await stage.mcp.get(PODS, tokenOf(answer))).status).toBe(200);
    // The client may have shop, and the session above may not.
    const inShop = await stage.mcp.get(PODS.replace('default', 'shop'), tokenOf(answer));
    expect(inShop.body['message']).toContain('delegated to "claude/mcp"');
    await agent.close();
  });

  it('without a key has a token for two minutes at most, for its own addresses', async () => {
    const subject = await stage.subject('alice', 'https://mcp-bare.example.com/mcp');
    const answer = await stage.exchange(subject, {}, { id: 'mcp-bare', from: stage.bare });
    expect(Number(answer.body['expires_in'])).toBeLessThanOrEqual(90);
    expect(decodeJwt(tokenOf(answer))).not.toHaveProperty('cnf');
    expect((await stage.bare.get(PODS, tokenOf(answer))).status).toBe(200);
    expect((await remove(stage.bare, tokenOf(answer))).status).toBe(403);
    const away = await stage.subject('alice', 'https://mcp-away.example.com/mcp');
    const refused = await stage.exchange(away, {}, { id: 'mcp-away', from: stage.bare });
    expect(refused).toMatchObject({ status: 400, body: { error: 'invalid_request' } });
    expect((await stage.events('delegation-refused')).at(-1)?.annotations).toMatchObject({
      'portcullis.dev/reason': 'source_not_allowed',
    });
  });

  it('loses everything at once when the user’s session ends, an open watch as well', async () => {
    const subject = await stage.subject('alice');
    const token = tokenOf(await stage.exchange(subject));
    const session = String(decodeJwt(subject)['sid']);
    const watch = stage.mcp.get(`${PODS}?watch=true`, token).catch((error: unknown) => error);
    const flights = (): number =>
      stage.server.guard.sessionsInFlight().filter(({ keys }) => keys.ancestors !== undefined).length;
    await expect.poll(flights).toBe(1);
    await stage.server.guard.revoke({ target: { kind: 'session', session } });
    await watch;
    expect((await stage.mcp.get(PODS, token)).status).toBe(401);
    expect(await stage.exchange(subject)).toMatchObject({ status: 400, body: { error: 'invalid_request' } });
    expect((await stage.events('delegation-refused')).at(-1)?.annotations['portcullis.dev/reason']).toMatch(
      /^session_(?:revoked|unknown)$/,
    );
  });
});

describe('the guide', () => {
  it('exchanges by the request of its page', async () => {
    const stage = await startExchangeStage();
    const folder = await temporaryFolder();
    try {
      const { cert = '', key = '' } = stage.tls.key ?? {};
      const subject = await stage.subject('alice', 'https://mcp-tls.example.com/mcp');
      const files = { 'mcp.crt': cert, 'mcp.key': key, 'user-token.txt': subject, 'ca.crt': stage.tls.endpoints.ca };
      for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
      const command = withValues(pageBlock('docs/token-exchange.md', 'curl -sS --cert mcp.crt'), {
        'https://api.portcullis.example.com': stage.tls.endpoints.api,
        'client_id=mcp-server': 'client_id=mcp-tls',
        'urn:portcullis:cluster:prod': DEMO,
        '"namespaces":["shop"],"clusters":["prod"]': '"namespaces":["default"],"clusters":["demo"]',
      });
      const env = { PATH: process.env['PATH'], CURL_CA_BUNDLE: join(folder, 'ca.crt') };
      const { stdout } = await promisify(execFile)('bash', ['-euc', command], { cwd: folder, env });
      const body = JSON.parse(stdout) as Answer['body'];
      expect(body['authorization_details'], stdout).toMatchObject([{ clusters: ['demo'], rights: expect.any(String) }]);
      expect((await stage.tls.get(PODS, String(body['access_token']))).status).toBe(200);
    } finally {
      await stage.stop();
      await rm(folder, { recursive: true, force: true });
    }
  });
});

describe('a public client of an MCP server', () => {
  let stage: ExchangeStage;

  beforeAll(async () => {
    stage = await startExchangeStage();
  });
  afterAll(async () => {
    await stage.stop();
  });

  it('finds what it needs in the metadata', async () => {
    const { web } = stage.urls;
    const response = await fetch(`${web}/.well-known/oauth-authorization-server`);
    expect(await response.json()).toMatchObject({
      issuer: web,
      code_challenge_methods_supported: ['S256'],
      authorization_response_iss_parameter_supported: true,
      token_endpoint_auth_methods_supported: ['none', 'private_key_jwt', 'self_signed_tls_client_auth'],
      grant_types_supported: expect.arrayContaining(['authorization_code', 'refresh_token', EXCHANGE]),
      authorization_details_types_supported: [RIGHTS],
    });
  });

  it('gets tokens for that server alone, which exchanges them', async () => {
    // An MCP client leaves out a scope that no one has told it about.
    const extra = { client_id: MCP_CLIENT, resource: RESOURCE, scope: '' };
    const { callback, verifier } = await stage.bare.authorize('alice', { extra });
    expect(callback.searchParams.get('iss')).toBe(stage.web);
    const answer = await stage.bare.redeem(callback.searchParams.get('code') ?? '', verifier, extra);
    const token = tokenOf(answer);
    expect(decodeJwt(token)).toMatchObject({ aud: RESOURCE, client_id: MCP_CLIENT });
    for (const client of [stage.bare, stage.user]) expect((await client.get(PODS, token)).status).toBe(401);
    expect((await stage.bare.get('/-/delegations', token)).status).toBe(401);
    expect((await stage.mcp.get(PODS, tokenOf(await stage.exchange(token)))).status).toBe(200);
    const refreshToken = String(answer.body['refresh_token']);
    const elsewhere = await stage.bare.refresh(refreshToken, { client_id: MCP_CLIENT, resource: DEMO });
    expect(elsewhere).toMatchObject({ status: 400, body: { error: 'invalid_target' } });
    const idToken = String(answer.body['id_token']);
    expect((await stage.exchange(idToken)).status).toBe(400);
  });

  it('is rejected with another resource before any user signs in', async () => {
    const extra = { client_id: MCP_CLIENT, resource: DEMO };
    const { callback } = await stage.bare.authorize('alice', { extra });
    expect(callback.searchParams.get('error')).toBe('invalid_target');
  });
});

function thumbprintOf({ key }: OAuthClient): { readonly x5t: string } {
  const der = Buffer.from((key?.cert ?? '').replace(/-----[^-]+-----|\s/g, ''), 'base64');
  return { x5t: createHash('sha256').update(der).digest('base64url') };
}

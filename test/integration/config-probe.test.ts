import { describe, expect, it, onTestFinished } from 'vitest';
import { isHopeless, isSignedIn } from '../../src/commands/provider-probe.ts';
import { makeCertificates } from '../../demo/certificates.ts';
import { newClientCertificates, newKey } from '../support/client-keys.ts';
import { REJECTIONS, SUBJECT, type ClientTraits } from '../support/client-switches.ts';
import { startGithub } from '../support/github-api.ts';
import { CLIENT_ID, startHostileProvider } from '../support/hostile-provider.ts';
import { PROBED_CALLBACK, probed, probedIdp, signedIn, typed } from '../support/probe-stage.ts';
import { CLIENT } from '../support/vendor-idp.ts';

const EVERY = ['client_secret_basic', 'client_secret_post', 'private_key_jwt', 'tls_client_auth', 'none'] as const;
const CONTROLS = /(?!\n)[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u;

describe('portcullis config probe', () => {
  it('prints the checks and the URIs to register, signs no user in, and needs no store', async () => {
    const idp = await probedIdp();
    const { code, stdout, stderr } = await typed({ issuer: idp.issuer });
    expect(code).toBe(0);
    for (const row of [
      /^CHECK +RESULT +SEEN$/m,
      /^discovery +works/m,
      /^client authentication +works +by client_secret_basic$/m,
      /^redirect URI +works +looks registered/m,
      /^re-checks +unknown +a refresh token will be asked for/m,
      /^ID token signature +unknown +it lists RS256/m,
      /^clock +unknown +the Date of its web server is/m,
      /^a refused refresh +works/m,
      /^ {2}redirect URI +https:\/\/portcullis\.example\.com\/callback\/corp$/m,
      /^ {2}back-channel logout URI +https:\/\/portcullis\.example\.com\/backchannel-logout\/corp$/m,
      /^ {2}post-logout redirect URI +https:\/\/portcullis\.example\.com\/$/m,
    ]) {
      expect(stdout).toMatch(row);
    }
    expect(stdout + stderr).not.toContain(CLIENT.secret);
    // It sends no code, no password and no user, only refresh tokens that were never issued.
    expect(idp.tokenRequests.map(({ form }) => form.get('grant_type'))).toEqual(['refresh_token', 'refresh_token']);
    expect(idp.asked.some((path) => path.startsWith('/interaction/') || path === '/me')).toBe(false);
  });

  it('exits 1 when a sign-in will not work, with JSON for scripts', async () => {
    const idp = await probedIdp();
    const { code, stdout } = await typed(
      { issuer: idp.issuer },
      { args: ['--provider', 'corp', '--output', 'json'], files: { 'client-secret': 'not-the-secret' } },
    );
    expect(code).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({
      provider: 'corp',
      type: 'oidc',
      issuer: idp.issuer,
      rows: expect.arrayContaining([
        expect.objectContaining({ check: 'client authentication', outcome: 'fails', needed: true }),
      ]),
      register: [{ what: 'redirect URI', address: PROBED_CALLBACK }, expect.anything(), expect.anything()],
    });
    expect(stdout).not.toContain('not-the-secret');
  });

  it('exits 2 for a usage error', async () => {
    const { code, stdout, stderr } = await typed(
      { issuer: 'https://login.example.com' },
      { args: ['--provider', 'x'] },
    );
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain('--provider must be one of: corp');
  });

  it('stops waiting for a provider that hangs after 5 s', async () => {
    const hostile = await startHostileProvider();
    onTestFinished(() => hostile.close());
    hostile.lie({ hangs: () => true });
    const begun = performance.now();
    const { code, stdout } = await typed({ issuer: hostile.issuer, clientId: CLIENT_ID });
    expect(code).toBe(1);
    expect(stdout).toMatch(/^discovery +will not work +It did not respond within 5 seconds\.$/m);
    // Not once for each of the requests.
    expect(performance.now() - begun).toBeLessThan(30_000);
  });

  // An attacker who controls the provider rewrites the operator's terminal, or has our secret printed, so both are filtered.
  it('prints no control character of the provider, and no secret that it repeats', async () => {
    const hostile = await startHostileProvider();
    onTestFinished(() => hostile.close());
    const evil = '\u001b[2J\u202e\u009b1m\u2028';
    // Each special character is encoded differently in a header, a form and a URL.
    const secret = "a~b c!d'(zz)9876543210";
    const inForm = new URLSearchParams({ '': secret }).toString().slice(1);
    const header = btoa(`${CLIENT_ID}:${inForm}`);
    hostile.lie({
      discovery: (own) => ({
        ...own,
        scopes_supported: [evil, secret],
        token_endpoint_auth_methods_supported: ['client_secret_basic', evil],
        claims_supported: Array.from({ length: 5000 }, () => evil),
        code_challenge_methods_supported: [evil, secret, 7, null],
        end_session_endpoint: `https://${evil}`,
      }),
      client: () => true,
      token: () => ({
        status: 400,
        body: JSON.stringify({
          error: `${evil}${header}`,
          error_description: `${'x'.repeat(110)}${hostile.presented.at(-1)} ${secret}${inForm}${evil}`,
        }),
      }),
    });
    const settings = { issuer: hostile.issuer, clientId: CLIENT_ID };
    for (const args of [[], ['--output', 'json']]) {
      const { code, stdout } = await typed(settings, { args, files: { 'client-secret': secret } });
      expect(code).toBe(0);
      expect(stdout).toContain('PKCE');
      expect(stdout).not.toMatch(CONTROLS);
      expect(stdout.length).toBeLessThan(20_000);
      for (const sent of [secret, inForm, header, hostile.presented.at(-1) ?? '-']) {
        expect(stdout).not.toContain(sent.slice(0, 12));
      }
    }
  });
});

describe('client authentication', () => {
  const client: ClientTraits = { lists: EVERY };
  const check = 'client authentication';

  it.each([
    ['client_secret_basic', {}, {}],
    ['client_secret_post, after client_secret_basic: 401', { refusesBasic: REJECTIONS['401 with a challenge'] }, {}],
    ['client_secret_post', {}, { clientAuth: 'post' }],
  ] as const)(
    'works by %s when the provider rejects %j and the configuration has %j',
    async (by, switches, settings) => {
      const idp = await probedIdp({ client }, (one) => (one.client = switches));
      const { row } = await probed({ issuer: idp.issuer, ...settings });
      expect(row(check)).toMatchObject({ outcome: 'works', seen: `by ${by}` });
    },
  );

  it.each(Object.entries(REJECTIONS))(
    'is reported as rejected by %s, and only the configured method is tried',
    async (_name, rejection) => {
      const idp = await probedIdp({ client }, (one) => (one.client = { refusesBasic: rejection }));
      const { row, report } = await probed({ issuer: idp.issuer, clientAuth: 'basic' });
      expect(row(check)).toMatchObject({ outcome: 'fails', seen: expect.stringContaining(String(rejection.status)) });
      expect(row(check).action).toContain('It lists client_secret_basic, client_secret_post');
      expect(isHopeless(report)).toBe(true);
    },
  );

  it('is reported as rejected by both methods, each with its status', async () => {
    const switches = {
      refusesBasic: REJECTIONS['401 with a challenge'],
      refusesPost: REJECTIONS['400 without a challenge'],
    };
    const idp = await probedIdp({ client }, (one) => (one.client = switches));
    const { row } = await probed({ issuer: idp.issuer });
    const seen = 'by client_secret_post: it answered 400, invalid_client: who are you?, after client_secret_basic: 401';
    expect(row(check)).toMatchObject({ outcome: 'fails', seen });
  });

  it('works by a key, and is reported as rejected with another key', async () => {
    const { pem, jwk } = newKey('ec');
    const idp = await probedIdp({ client: { method: 'private_key_jwt', lists: EVERY, keys: [{ ...jwk, kty: 'EC' }] } });
    const settings = {
      issuer: idp.issuer,
      clientAuth: 'private_key_jwt',
      clientKeyFile: 'client.key',
      clientSecretFile: undefined,
    };
    const known = await probed(settings, { 'client.key': pem });
    expect(known.row(check)).toMatchObject({ outcome: 'works', seen: 'by private_key_jwt' });
    const other = await probed(settings, { 'client.key': newKey('ec').pem });
    expect(other.row(check)).toMatchObject({ outcome: 'fails', action: expect.stringContaining('clientKeyFile') });
  });

  it('works by a certificate', async () => {
    const { ca, cert, key } = await makeCertificates(['localhost'], Date.now());
    const clients = await newClientCertificates([SUBJECT]);
    const [pair] = clients.pairs;
    const tls = { server: { ca, cert, key }, clientCa: clients.ca, alias: true } as const;
    const idp = await probedIdp({ client: { method: 'tls_client_auth', lists: EVERY, tls } });
    const { row } = await probed(
      {
        issuer: idp.issuer,
        caFile: 'ca.crt',
        clientAuth: 'tls_client_auth',
        clientKeyFile: 'client.key',
        clientCertFile: 'client.crt',
        clientSecretFile: undefined,
      },
      { 'ca.crt': ca, 'client.crt': pair?.cert ?? '', 'client.key': pair?.key ?? '' },
    );
    expect(row(check)).toMatchObject({ outcome: 'works', seen: 'by tls_client_auth' });
  });

  it('reports a missing caFile without having one', async () => {
    const hostile = await startHostileProvider(await makeCertificates(['127.0.0.1'], Date.now()));
    onTestFinished(() => hostile.close());
    const { report, row } = await probed({ issuer: hostile.issuer });
    expect(row('discovery')).toMatchObject({ outcome: 'fails', seen: 'Its certificate is not trusted. Check caFile.' });
    expect(isHopeless(report)).toBe(true);
  });
});

describe('GitHub', () => {
  it.each([
    ['secret-of-the-gate', 'works', 0],
    ['another', 'fails', 1],
  ] as const)('with the secret %s: %s', async (secret, outcome, code) => {
    const github = await startGithub();
    onTestFinished(() => github.close());
    const settings = {
      type: 'github',
      host: github.host,
      clientId: github.clientId,
      organizations: ['example'],
      caFile: 'ca.crt',
    };
    const { row, report } = await probed(settings, { 'ca.crt': github.ca, 'client-secret': secret });
    expect(row('API')).toMatchObject({ outcome: 'works' });
    expect(row('client authentication')).toMatchObject({ outcome });
    expect(row('redirect URI')).toMatchObject({ outcome: 'unknown' });
    expect(isHopeless(report)).toBe(code === 1);
    expect(JSON.stringify(report)).not.toContain(secret);
  });
});

it('config probe names what works without a fresh sign-in, and freshness: none only for whom a server starts with it', async () => {
  const idp = await probedIdp({}, (one) => (one.discovery = { claims_supported: ['sub'] }));
  const { row } = await probed({ issuer: idp.issuer });
  const { action } = row('fresh sign-in');
  expect(action).toContain('portcullis revoke --config FILE and portcullis lock --config FILE');
  expect(action).toContain('freshness: none is for a provider without admins and approvers');
});

describe('portcullis config probe --sign-in at GitHub', () => {
  it('shows the user, the organisations and teams, and that GitHub proves no fresh sign-in', async () => {
    const github = await startGithub();
    onTestFinished(() => github.close());
    const organization = { id: 1, login: 'example' };
    github.visitor = {
      id: 4711,
      login: 'alice',
      emails: [],
      memberships: [{ state: 'active', organization }],
      teams: [{ id: 7, slug: 'dev', organization }],
      suspended: false,
      unauthorized: [],
    };
    const ca = { 'ca.crt': github.ca, 'client-secret': github.clientSecret };
    const { get } = await import('node:https');
    const browser = (url: URL): Promise<string> =>
      new Promise((resolve, reject) => {
        get(url, { ca: github.ca }, (response) => {
          response.resume();
          resolve(response.headers.location ?? '');
        }).on('error', reject);
      });
    const { row, report, printed } = await signedIn(
      { type: 'github', host: github.host, clientId: github.clientId, organizations: ['example'], caFile: 'ca.crt' },
      browser,
      { files: ca },
    );
    expect(isSignedIn(report)).toBe(true);
    expect(row('sign-in').seen).toBe('as corp/4711');
    expect(row('re-checks')).toMatchObject({ outcome: 'works', seen: 'the API confirms the user' });
    expect(row('fresh sign-in').outcome).toBe('fails');
    expect(row('tokens revoked')).toMatchObject({
      outcome: 'unknown',
      seen: expect.stringContaining('no revocation endpoint'),
    });
    expect(report.claims.userInfo).toEqual({
      id: 4711,
      login: 'alice',
      organizations: ['example'],
      teams: ['example/dev'],
    });
    expect(row('groups').seen).toContain('corp:example/dev');
    for (const token of github.tokens.keys()) expect(printed).not.toContain(token);
  });
});

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { isHopeless } from '../../src/commands/provider-probe.ts';
import { CLIENT_ID, startHostileProvider, type HostileProvider, type Lies } from '../support/hostile-provider.ts';
import { PROBED_CALLBACK, probed, probedIdp, type ProviderSettings } from '../support/probe-stage.ts';
import type { VendorIdp, VendorTraits } from '../support/vendor-idp.ts';

type Expected = readonly [outcome: 'works' | 'fails' | 'unknown', seen: RegExp];

describe('a row of the table', () => {
  it.each<readonly [string, string, Partial<VendorTraits>, (idp: VendorIdp) => void, ProviderSettings, ...Expected]>([
    [
      'names both issuers where they differ',
      'issuer',
      {},
      (idp) => (idp.discovery = { issuer: 'https://other.example' }),
      {},
      'fails',
      /names https:\/\/other\.example; providers\[\]\.issuer is http:\/\/localhost:/,
    ],
    [
      'names a host that hosts does not list',
      'endpoints',
      {},
      (idp) => (idp.discovery = { jwks_uri: 'https://keys.example.com/jwks' }),
      {},
      'fails',
      /keys\.example\.com is neither/,
    ],
    ['says that keys are not there', 'keys', {}, (idp) => (idp.keys = 'down'), {}, 'fails', /answered 503/],
    [
      'says that keys are lost on the way',
      'keys',
      {},
      (idp) => (idp.keys = 'lost'),
      {},
      'fails',
      /closed the connection/,
    ],
    [
      'finds no key for the algorithms',
      'keys',
      {},
      (idp) => (idp.discovery = { id_token_signing_alg_values_supported: ['ES256'] }),
      {},
      'fails',
      /of 1 key\(s\) none is for a signature of ES256/,
    ],
    [
      'knows that nobody can verify HS256',
      'ID token signature',
      {},
      (idp) => (idp.discovery = { id_token_signing_alg_values_supported: ['HS256', 'none'] }),
      {},
      'fails',
      /HS256, none/,
    ],
    [
      'misses the code flow',
      'code flow',
      {},
      (idp) => (idp.discovery = { response_types_supported: ['id_token'] }),
      {},
      'fails',
      /id_token/,
    ],
    [
      'misses S256',
      'PKCE',
      {},
      (idp) => (idp.discovery = { code_challenge_methods_supported: ['plain'] }),
      {},
      'fails',
      /plain/,
    ],
    [
      'does not take PKCE that is not listed for missing',
      'PKCE',
      {},
      (idp) => (idp.discovery = { code_challenge_methods_supported: undefined }),
      {},
      'unknown',
      /does not list/,
    ],
    [
      'finds a redirect URI that is not registered',
      'redirect URI',
      { callback: 'https://portcullis.example.com/callback/other' },
      () => undefined,
      {},
      'fails',
      /answered 400/,
    ],
    [
      'says that offline_access will not be asked for',
      're-checks',
      { scopes: ['openid', 'profile', 'email'] },
      () => undefined,
      {},
      'unknown',
      /offline_access is not asked for/,
    ],
    [
      'misses the refresh grant',
      're-checks',
      {},
      (idp) => (idp.discovery = { grant_types_supported: ['authorization_code'] }),
      {},
      'fails',
      /without refresh_token/,
    ],
    [
      'sees a refusal in other words than the standard’s',
      'a refused refresh',
      {},
      (idp) => (idp.refusesBy = 'bare'),
      {},
      'works',
      /not by the error code of the standard: it answered 400, no OAuth error code/,
    ],
    [
      'says which claims are not listed',
      'claims',
      {},
      () => undefined,
      {
        groups: 'claims["https://example.com/groups"]',
        rules: [{ expression: 'claims.?active.orValue(false)', message: 'No.' }],
      },
      'unknown',
      /lacks https:\/\/example\.com\/groups, active$/,
    ],
    [
      'says what a rule reads that could end a disabled user',
      'disabled users',
      {},
      () => undefined,
      { rules: [{ expression: 'claims.active == true', message: 'No.' }] },
      'unknown',
      /1 rule\(s\) are asked at each re-check, over active/,
    ],
    [
      'has scopes that are not listed',
      'scopes',
      {},
      () => undefined,
      { scopes: ['openid', 'roles'] },
      'unknown',
      /lacks roles/,
    ],
    [
      'finds back-channel logout',
      'back-channel logout',
      {},
      (idp) => (idp.discovery = { backchannel_logout_supported: true, backchannel_logout_session_supported: true }),
      {},
      'works',
      /ends the session/,
    ],
    [
      'asks the client in for logouts without a session',
      'back-channel logout',
      {},
      (idp) => (idp.discovery = { backchannel_logout_supported: true }),
      {},
      'unknown',
      /backchannel_logout_session_supported is not/,
    ],
    [
      'does not lead to a sign-out elsewhere',
      'sign-out there',
      {},
      (idp) => (idp.discovery = { end_session_endpoint: 'https://evil.example/logout' }),
      {},
      'fails',
      /is not used: evil\.example/,
    ],
    [
      'does not take a fresh sign-in for proven without auth_time',
      'fresh sign-in',
      {},
      (idp) => (idp.discovery = { claims_supported: ['sub'] }),
      {},
      'unknown',
      /auth_time is not among/,
    ],
  ])('%s: %s', async (_name, check, traits, change, settings, outcome, seen) => {
    const idp = await probedIdp(traits, change);
    const { report, row } = await probed({ issuer: idp.issuer, ...settings });
    expect(row(check)).toMatchObject({ outcome, seen: expect.stringMatching(seen) });
    expect(isHopeless(report)).toBe(outcome === 'fails' && row(check).needed);
    // Whatever will not work says what to do.
    expect(typeof row(check).action === 'string' || outcome !== 'fails').toBe(true);
  });
});

describe('a provider that does as it likes', () => {
  let hostile: HostileProvider;
  beforeEach(async () => {
    hostile = await startHostileProvider();
  });
  afterEach(() => hostile.close());

  const refuses = (status: number, error: string): NonNullable<Lies['token']> => {
    return () => ({ status, body: JSON.stringify({ error }) });
  };
  const unknown = refuses(400, 'invalid_grant');
  const page = { status: 200, body: '<!doctype html>', type: 'text/html' };
  const back = (
    error: string,
    when: (asks: URLSearchParams) => boolean = () => true,
  ): NonNullable<Lies['authorize']> => {
    return (asks) => (when(asks) ? `${PROBED_CALLBACK}?error=${error}` : `${hostile.issuer}/login`);
  };
  const isFresh = (asks: URLSearchParams): boolean =>
    asks.get('prompt')?.includes('login') === true || asks.get('max_age') === '10';
  const isBoth = (asks: URLSearchParams): boolean => asks.has('prompt', 'login') && asks.has('max_age', '10');

  it.each<readonly [string, string, Lies, ...Expected]>([
    ['gives tokens to anyone', 'client authentication', {}, 'fails', /to a random token/],
    [
      'says nothing of the client',
      'client authentication',
      { token: refuses(500, 'server_error') },
      'unknown',
      /500, server_error/,
    ],
    [
      'has no token endpoint that answers',
      'client authentication',
      { hangs: (path) => path === '/token' },
      'fails',
      /within 5 seconds/,
    ],
    [
      'does not let the client refresh',
      're-checks',
      { token: refuses(400, 'unauthorized_client') },
      'fails',
      /may not refresh: it answered 400, unauthorized_client/,
    ],
    [
      'takes a refused refresh for an outage',
      'a refused refresh',
      { token: refuses(403, 'access_denied') },
      'unknown',
      /taken for an outage/,
    ],
    [
      'shows the same page for any redirect URI',
      'redirect URI',
      { token: unknown, replies: { '/authorize': page } },
      'unknown',
      /not registered/,
    ],
    ['refuses our scopes', 'redirect URI', { authorize: back('invalid_scope') }, 'fails', /invalid_scope/],
    [
      'refuses everything alike',
      'redirect URI',
      { token: unknown, replies: { '/authorize': { status: 403, body: '' } } },
      'unknown',
      /answered 403, as for an address that is not registered/,
    ],
    ['knows our callback', 'redirect URI', { authorize: back('login_required') }, 'works', /our callback/],
    [
      'leads to an error page',
      'redirect URI',
      { authorize: () => 'https://login.example.com/oauth/error?authError=x' },
      'fails',
      /leads to a page of https:\/\/login\.example\.com$/,
    ],
    [
      'refuses to ask for a fresh sign-in',
      'fresh sign-in',
      { authorize: back('invalid_request', isFresh) },
      'fails',
      /invalid_request.*login alone was refused.*max_age alone was refused/,
    ],
    [
      'asks for a fresh sign-in in the second way',
      'fresh sign-in',
      { authorize: back('invalid_request', isBoth) },
      'unknown',
      /with max_age was refused \(invalid_request\); prompt=login alone is taken, but auth_time/,
    ],
    [
      'shows an error page for a fresh sign-in in the first way',
      'fresh sign-in',
      {
        authorize: (asks) =>
          isBoth(asks) ? 'https://login.example.com/oauth/error?x' : 'https://login.example.com/login',
      },
      'fails',
      /an error page.*login alone is taken/,
    ],
    ['has a clock ten minutes ahead', 'clock', { clockOff: 600_000 }, 'fails', /^600 s ahead of ours$/],
    ['has a clock ten minutes behind', 'clock', { clockOff: -600_000 }, 'fails', /^(?:599|600) s behind ours$/],
    ['is a portal', 'discovery', { portal: page }, 'fails', /no discovery document/],
    ['is not there', 'discovery', { portal: { ...page, status: 404 } }, 'fails', /answered 404/],
    [
      'leads elsewhere',
      'discovery',
      { redirectTo: 'https://login.example.com/x' },
      'fails',
      /leads to https:\/\/login/,
    ],
    [
      'has a key for encryption alone',
      'keys',
      { replies: { '/jwks': { status: 200, body: '{"keys":[{"kty":"EC","crv":"P-256","use":"enc"},7,null]}' } } },
      'fails',
      /of 3 key\(s\) none/,
    ],
  ])('%s: %s', async (_name, check, lies, outcome, seen) => {
    hostile.lie({ ...(check === 'client authentication' ? {} : { token: unknown }), ...lies });
    const { row } = await probed({ issuer: hostile.issuer, clientId: CLIENT_ID });
    expect(row(check)).toMatchObject({ outcome, seen: expect.stringMatching(seen) });
  });

  it.each([
    ['unsupported_grant_type', 're-checks', 'fails'],
    ['unauthorized_client', 're-checks', 'fails'],
    ['invalid_request', 'a refused refresh', 'works'],
  ])('is shown a code that nobody has, where it says %s of a refresh', async (error, check, outcome) => {
    let refreshes = 0;
    hostile.lie({
      token: () => {
        const isRefresh = hostile.presented.length > refreshes;
        refreshes = hostile.presented.length;
        return { status: 400, body: JSON.stringify({ error: isRefresh ? error : 'invalid_grant' }) };
      },
    });
    const { row } = await probed({ issuer: hostile.issuer, clientId: CLIENT_ID });
    expect(row('client authentication')).toMatchObject({ outcome: 'works', seen: 'by client_secret_basic' });
    expect(row(check)).toMatchObject({ outcome, needed: false });
  });
});

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { isHopeless } from '../../src/commands/provider-probe.ts';
import { CLIENT_ID, startHostileProvider, type HostileProvider, type Lies } from '../support/hostile-provider.ts';
import { PROBED_CALLBACK, probed, probedIdp, type ProviderSettings } from '../support/probe-stage.ts';
import type { VendorIdp, VendorTraits } from '../support/vendor-idp.ts';

type Expected = readonly [outcome: 'works' | 'fails' | 'unknown', seen: RegExp];

describe('the table of config probe', () => {
  it.each<readonly [string, string, Partial<VendorTraits>, (idp: VendorIdp) => void, ProviderSettings, ...Expected]>([
    [
      'names both issuers when they differ',
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
    ['reports that the keys are not available', 'keys', {}, (idp) => (idp.keys = 'down'), {}, 'fails', /answered 503/],
    [
      'reports that the connection for the keys is closed',
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
      'reports that HS256 cannot be verified',
      'ID token signature',
      {},
      (idp) => (idp.discovery = { id_token_signing_alg_values_supported: ['HS256', 'none'] }),
      {},
      'fails',
      /HS256, none/,
    ],
    [
      'does not report the code flow as missing when it is only not listed',
      'code flow',
      {},
      (idp) => (idp.discovery = { response_types_supported: ['id_token'] }),
      {},
      'unknown',
      /id_token/,
    ],
    [
      'does not report S256 as missing when it is only not listed',
      'PKCE',
      {},
      (idp) => (idp.discovery = { code_challenge_methods_supported: ['plain'] }),
      {},
      'unknown',
      /plain/,
    ],
    [
      'does not report PKCE as missing when it is only not listed',
      'PKCE',
      {},
      (idp) => (idp.discovery = { code_challenge_methods_supported: undefined }),
      {},
      'unknown',
      /does not list/,
    ],
    [
      'reports a redirect URI that is not registered',
      'redirect URI',
      { callback: 'https://portcullis.example.com/callback/other' },
      () => undefined,
      {},
      'fails',
      /answered 400/,
    ],
    [
      'reports that offline_access will not be requested',
      're-checks',
      { scopes: ['openid', 'profile', 'email'] },
      () => undefined,
      {},
      'unknown',
      /offline_access is not asked for/,
    ],
    [
      'does not report the refresh grant as missing when it is only not listed',
      're-checks',
      {},
      (idp) => (idp.discovery = { grant_types_supported: ['authorization_code'] }),
      {},
      'unknown',
      /without refresh_token/,
    ],
    [
      'recognizes a rejection with an error code that is not the standard one',
      'a refused refresh',
      {},
      (idp) => (idp.refusesBy = 'bare'),
      {},
      'works',
      /not by the error code of the standard: it answered 400, no OAuth error code/,
    ],
    [
      'names the claims that are not listed',
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
      'names the claims with which a rule could reject a disabled user',
      'disabled users',
      {},
      () => undefined,
      { rules: [{ expression: 'claims.active == true', message: 'No.' }] },
      'unknown',
      /1 rule\(s\) are asked at each re-check, over active/,
    ],
    [
      'names the scopes that are not listed',
      'scopes',
      {},
      () => undefined,
      { scopes: ['openid', 'roles'] },
      'unknown',
      /lacks roles/,
    ],
    [
      'reports back-channel logout',
      'back-channel logout',
      {},
      (idp) => (idp.discovery = { backchannel_logout_supported: true, backchannel_logout_session_supported: true }),
      {},
      'works',
      /ends the session/,
    ],
    [
      'reports back-channel logout without a session as unknown',
      'back-channel logout',
      {},
      (idp) => (idp.discovery = { backchannel_logout_supported: true }),
      {},
      'unknown',
      /backchannel_logout_session_supported is not/,
    ],
    [
      'does not know the algorithm of the client',
      'ID token signature',
      {},
      () => undefined,
      {},
      'unknown',
      /RS256; which/,
    ],
    [
      'does not know whether claims come that are listed',
      'claims',
      {},
      () => undefined,
      {},
      'unknown',
      /all are listed$/,
    ],
    ['does not know whether a refresh token comes', 're-checks', {}, () => undefined, {}, 'unknown', /was not seen$/],
    [
      'does not know scopes that are not listed',
      'scopes',
      {},
      (idp) => (idp.discovery = { scopes_supported: undefined }),
      { scopes: ['openid', 'email'] },
      'unknown',
      /lists no scopes_supported/,
    ],
    [
      'does not know which sign-in auth_time is of',
      'fresh sign-in',
      {},
      (idp) => (idp.discovery = { claims_supported: ['sub', 'auth_time'] }),
      {},
      'unknown',
      /is taken, and auth_time is among claims_supported/,
    ],
    ...(
      [
        ['back-channel logout', { backchannel_logout_supported: undefined }],
        ['sign-out there', { end_session_endpoint: undefined }],
        ['iss at the callback', { authorization_response_iss_parameter_supported: undefined }],
        ['UserInfo', { userinfo_endpoint: undefined }],
      ] as const
    ).map(
      ([check, discovery]) =>
        [
          'does not take for missing what is only not listed',
          check,
          {},
          (idp: VendorIdp) => (idp.discovery = discovery),
          {},
          'unknown',
          /not list|lists no/,
        ] as const,
    ),
    [
      'does not use a sign-out page of another host',
      'sign-out there',
      {},
      (idp) => (idp.discovery = { end_session_endpoint: 'https://evil.example/logout' }),
      {},
      'fails',
      /is not used: evil\.example/,
    ],
    [
      'does not accept a fresh sign-in as proven without auth_time',
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
    // Each row that fails names the action to take.
    expect(typeof row(check).action === 'string' || outcome !== 'fails').toBe(true);
  });
});

describe('the table of config probe for an unusual provider that', () => {
  let hostile: HostileProvider;
  beforeEach(async () => {
    hostile = await startHostileProvider();
  });
  afterEach(() => hostile.close());

  const rejectsWith = (status: number, error: string): NonNullable<Lies['token']> => {
    return () => ({ status, body: JSON.stringify({ error }) });
  };
  const unknown = rejectsWith(400, 'invalid_grant');
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
    ['issues tokens to anyone', 'client authentication', {}, 'fails', /to a random token/],
    [
      'returns an error that does not concern the client',
      'client authentication',
      { token: rejectsWith(500, 'server_error') },
      'unknown',
      /500, server_error/,
    ],
    [
      'has a token endpoint that does not respond',
      'client authentication',
      { hangs: (path) => path === '/token' },
      'fails',
      /within 5 seconds/,
    ],
    [
      'does not let the client refresh',
      're-checks',
      { token: rejectsWith(400, 'unauthorized_client') },
      'fails',
      /may not refresh: it answered 400, unauthorized_client/,
    ],
    [
      'rejects a refresh with an error that means an outage',
      'a refused refresh',
      { token: rejectsWith(403, 'access_denied') },
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
    ['rejects our scopes', 'redirect URI', { authorize: back('invalid_scope') }, 'fails', /invalid_scope/],
    [
      'rejects every request in the same way',
      'redirect URI',
      { token: unknown, replies: { '/authorize': { status: 403, body: '' } } },
      'unknown',
      /answered 403, as for an address that is not registered/,
    ],
    ['knows our callback', 'redirect URI', { authorize: back('login_required') }, 'works', /our callback/],
    [
      'redirects to an error page',
      'redirect URI',
      { authorize: () => 'https://login.example.com/oauth/error?authError=x' },
      'fails',
      /leads to a page of https:\/\/login\.example\.com$/,
    ],
    [
      'rejects every request for a fresh sign-in',
      'fresh sign-in',
      { authorize: back('invalid_request', isFresh) },
      'fails',
      /invalid_request.*login alone was refused.*max_age alone was refused/,
    ],
    [
      'accepts a fresh sign-in by prompt alone',
      'fresh sign-in',
      { authorize: back('invalid_request', isBoth) },
      'unknown',
      /with max_age was refused \(invalid_request\); prompt=login alone is taken, but auth_time/,
    ],
    [
      'shows an error page for a fresh sign-in by prompt and max_age',
      'fresh sign-in',
      {
        authorize: (asks) =>
          isBoth(asks) ? 'https://login.example.com/oauth/error?x' : 'https://login.example.com/login',
      },
      'fails',
      /an error page.*login alone is taken/,
    ],
    [
      'has a web server ten minutes ahead',
      'clock',
      { clockOff: 600_000 },
      'unknown',
      /^the Date .* 600 s ahead of ours;/,
    ],
    ['has a web server ten minutes behind', 'clock', { clockOff: -600_000 }, 'unknown', /(?:599|600) s behind ours;/],
    ['is hidden behind a captive portal', 'discovery', { portal: page }, 'fails', /no discovery document/],
    ['does not exist at that address', 'discovery', { portal: { ...page, status: 404 } }, 'fails', /answered 404/],
    [
      'redirects to another host',
      'discovery',
      { redirectTo: 'https://login.example.com/x' },
      'fails',
      /leads to https:\/\/login/,
    ],
    [
      'has a key for encryption only',
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
  ])('is sent an unknown code when it rejects a refresh with %s', async (error, check, outcome) => {
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

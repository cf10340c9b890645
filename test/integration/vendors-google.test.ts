import { decodeProtectedHeader, exportPKCS8, generateKeyPair, jwtVerify, type CryptoKey } from 'jose';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { ClaimsProvider } from '../../src/core/identity/types.ts';
import type { IdentityProvider } from '../../src/idp/idp.ts';
import { directoryAnswer, startVendorApi, type VendorApi } from '../support/vendor-api.ts';
import { startVendorIdp, type VendorIdp } from '../support/vendor-idp.ts';
import { rejection, signIn, vendor } from '../support/vendors.ts';

/** @see https://developers.google.com/identity/openid-connect/openid-connect#an-id-tokens-payload */
const CLAIMS = { email: 'alice@example.com', email_verified: true, hd: 'example.com', name: 'Alice' };
const ADMIN = 'admin@example.com';

/** `hd` is absent from the token of an account that belongs to no company. */
const COMPANY: ClaimsProvider['rules'] = [
  { expression: 'has(claims.hd) && claims.hd == "example.com"', message: 'Sign in with your example.com account.' },
];

describe('a provider of type google', () => {
  let idp: VendorIdp;
  let directory: VendorApi;
  let publicKey: CryptoKey;
  let keyFile: string;

  beforeAll(async () => {
    directory = await startVendorApi();
    const pair = await generateKeyPair('RS256', { extractable: true });
    publicKey = pair.publicKey;
    keyFile = JSON.stringify({
      type: 'service_account',
      client_email: 'portcullis@project.iam.gserviceaccount.com',
      private_key_id: 'key-1',
      private_key: await exportPKCS8(pair.privateKey),
      token_uri: 'https://evil.example/token',
    });
  });
  afterAll(() => directory.close());
  beforeEach(async () => {
    idp = await startVendorIdp({
      // Google lists no offline_access, and gives a refresh token by its own parameter.
      scopes: ['openid', 'profile', 'email'],
      claims: CLAIMS,
      refreshTokenFor: ({ access_type, prompt }) => access_type === 'offline' && prompt === 'consent',
    });
    directory.asked.length = 0;
    directory.answer = directoryAnswer(Array.from({ length: 250 }, (_, index) => `team-${index}@example.com`));
  });
  afterEach(() => idp.close());

  const google = (
    options: { groups?: boolean; key?: () => string; clock?: { nowMs(): number } } = {},
  ): IdentityProvider => {
    const { groups = true, key = () => keyFile, clock = { nowMs: Date.now } } = options;
    return vendor(
      idp.issuer,
      {
        type: 'google',
        ca: () => directory.ca,
        ...(groups ? { directory: { serviceAccount: key, admin: ADMIN } } : {}),
      },
      { mapping: { rules: COMPANY }, clock },
      { graph: 'https://localhost:1', googleApi: directory.origin, googleToken: `${directory.origin}/token` },
    );
  };

  it('signs a user in by sub and verified address, with a refresh token and without groups', async () => {
    const provider = google({ groups: false });
    const user = await signIn(idp, provider);
    expect(user).toMatchObject({
      subject: 'subject-of-alice',
      identity: { username: 'corp:alice@example.com', groups: [] },
    });
    const again = await provider.recheck(user.subject, user.refreshToken ?? '');
    expect(again.identity).toEqual(user.identity);
    expect(directory.asked).toEqual([]);
  });

  it('asks for no scope that Google rejects, and does not claim that a sign-in was a fresh one', async () => {
    const provider = google();
    expect(provider.provesFreshness).toBe(false);
    const { url, challenge } = await provider.begin({ fresh: true });
    expect(url.searchParams.get('scope')).toBe('openid profile email');
    expect(url.searchParams.get('prompt')).toBe('select_account consent');
    expect(url.searchParams.get('max_age')).toBeNull();
    expect(challenge.freshSince).toBeUndefined();
  });

  it.each([
    ['of another company', { hd: 'evil.example' }],
    ['of none', { hd: undefined }],
  ])('rejects a user %s by a rule over hd', async (_name, claims) => {
    idp.claims = { ...CLAIMS, ...claims };
    expect(await rejection(signIn(idp, google({ groups: false })))).toMatchObject({
      code: 'sign_in_refused',
      reason: 'rule_refused',
      message: 'Sign in with your example.com account.',
    });
  });

  it('rejects an address that Google has not verified', async () => {
    idp.claims = { ...CLAIMS, email_verified: false };
    expect(await rejection(signIn(idp, google()))).toMatchObject({ reason: 'email_unverified' });
  });

  // @see https://developers.google.com/workspace/admin/directory/reference/rest/v1/groups/list
  it('reads all pages of groups from the directory, by the immutable id', async () => {
    const { identity } = await signIn(idp, google());
    expect(identity.groups).toHaveLength(250);
    expect(identity.groups).toContain('corp:team-249@example.com');
    const pages = directory.asked.filter(({ url }) => url.pathname.endsWith('/groups'));
    expect(pages.map(({ url }) => url.searchParams.get('userKey'))).toEqual(['subject-of-alice', 'subject-of-alice']);
    expect(new Set(pages.map(({ authorization }) => authorization))).toEqual(new Set(['Bearer service-token']));
  });

  // @see https://developers.google.com/identity/protocols/oauth2/service-account#authorizingrequests
  it('asks in the admin’s name, by an assertion that the service account has signed, once for many requests', async () => {
    const provider = google();
    await signIn(idp, provider);
    await signIn(idp, provider);
    const redeemed = directory.asked.filter(({ url }) => url.pathname === '/token');
    expect(redeemed).toHaveLength(1);
    const form = redeemed[0]?.form;
    expect(form?.get('grant_type')).toBe('urn:ietf:params:oauth:grant-type:jwt-bearer');
    const assertion = form?.get('assertion') ?? '';
    expect(decodeProtectedHeader(assertion)).toMatchObject({ alg: 'RS256', kid: 'key-1' });
    const { payload } = await jwtVerify(assertion, publicKey, {
      issuer: 'portcullis@project.iam.gserviceaccount.com',
      audience: `${directory.origin}/token`,
      subject: ADMIN,
    });
    expect(payload['scope']).toBe('https://www.googleapis.com/auth/admin.directory.group.readonly');
  });

  it('distinguishes a user without groups from one whose groups are unknown', async () => {
    directory.answer = directoryAnswer([]);
    expect((await signIn(idp, google())).identity.groups).toEqual([]);
    directory.answer = ({ url }) =>
      url.pathname === '/token'
        ? directoryAnswer([])({ url, authorization: '', form: new URLSearchParams() })
        : { status: 404, body: {} };
    expect(await rejection(signIn(idp, google()))).toMatchObject({
      code: 'sign_in_refused',
      reason: 'groups_unresolved',
    });
  });

  it.each([
    ['does not take the assertion', { status: 400, body: { error: 'unauthorized_client' } }],
    ['is broken', { status: 503, body: {} }],
    ['answers nonsense', { body: { groups: 'all', access_token: 7 } }],
  ])('rejects no user permanently where Google %s', async (_name, answer) => {
    directory.answer = () => answer;
    expect(await rejection(signIn(idp, google()))).toMatchObject({
      code: 'provider_unavailable',
      reason: 'groups_unresolved',
    });
  });

  it('uses a new key of the service account without a restart', async () => {
    let key = keyFile;
    const provider = google({ key: () => key });
    await signIn(idp, provider);
    key = keyFile.replace('key-1', 'key-2');
    await signIn(idp, provider);
    expect(directory.asked.filter(({ url }) => url.pathname === '/token')).toHaveLength(2);
  });

  it('asks for another token where the clock was set back, by which the old one would never end', async () => {
    let now = Date.now();
    const provider = google({ clock: { nowMs: () => now } });
    await signIn(idp, provider);
    // Less than the difference for which a provider is rejected, however late the machine is.
    now -= 30_000;
    await signIn(idp, provider);
    expect(directory.asked.filter(({ url }) => url.pathname === '/token')).toHaveLength(2);
  });

  it('does not start with a file that holds no key, and does not show its content', () => {
    const start = (): unknown => google({ key: () => '{"private_key":"canary"' });
    expect(start).toThrow('serviceAccountFile does not hold the JSON key of a service account');
    expect(start).not.toThrow(/canary/);
  });
});

import { describe, expect, it, onTestFinished } from 'vitest';
import { isHopeless, isSignedIn } from '../../src/commands/provider-probe.ts';
import { CLIENT_ID, startHostileProvider, type HostileProvider, type Lies } from '../support/hostile-provider.ts';
import { probedIdp, signedIn, typed } from '../support/probe-stage.ts';
import { CLIENT, type VendorIdp } from '../support/vendor-idp.ts';

const now = (): number => Math.floor(Date.now() / 1000);

/** What the operator copies from the browser of this provider. */
const browserOf = (idp: VendorIdp) => async (url: URL) => (await idp.visit(url)).href;

const claims = { email: 'alice@example.com', email_verified: true, groups: ['dev', 'ops'] };
const settings = ({ issuer }: { readonly issuer: string }) => ({ issuer, groups: 'claims.groups' });

describe('portcullis config probe --sign-in', () => {
  it('shows what came and who comes out, refreshes, revokes what came, and prints no token or code', async () => {
    const idp = await probedIdp({ claims, revokes: true });
    let code = '';
    const {
      code: exit,
      stdout,
      stderr,
    } = await typed(settings(idp), {
      args: ['--sign-in', 'corp'],
      async browser(shown) {
        const callback = await idp.visit(shown);
        code = callback.searchParams.get('code') ?? '';
        return callback.href;
      },
    });
    expect(exit, stderr).toBe(0);
    for (const row of [
      /^sign-in +works +as corp\/subject-of-alice$/m,
      /^client authentication +works +by client_secret_basic$/m,
      /^ID token signature +works +RS256, by the key vendor; verified$/m,
      /^clock +works +iat of its ID token is /m,
      /^fresh sign-in +works +prompt=login with max_age: auth_time is \d+ s old$/m,
      /^claims +works +read: email, email_verified, groups; all came$/m,
      /^groups +works +2: corp:dev, corp:ops$/m,
      /^re-checks +works +a refresh works, with an ID token$/m,
      /^disabled users +unknown/m,
      /^tokens revoked +works +1 refresh token\(s\), at its revocation endpoint/m,
      /^ {2}email: "alice@example.com"$/m,
      /^ {2}username +corp:alice@example.com$/m,
      /^ {2}uid +corp\/subject-of-alice$/m,
    ]) {
      expect(stdout).toMatch(row);
    }
    expect(stderr).toContain('30 to 60 seconds');
    expect(code).not.toBe('');
    const sent = idp.tokenRequests.flatMap(({ form }) => [form.get('refresh_token') ?? '', form.get('code') ?? '']);
    for (const secret of [...sent.filter(Boolean), CLIENT.secret, 'eyJ']) expect(stdout + stderr).not.toContain(secret);
    expect(idp.asked.filter((path) => path === '/token/revocation')).toHaveLength(1);
    // The session at the provider is over for this client: its newest refresh token is no longer taken.
    expect(idp.tokenRequests.map(({ form }) => form.get('grant_type'))).toEqual([
      'authorization_code',
      'refresh_token',
    ]);
  });

  it('exits 1 where no address comes, and says in JSON what was seen', async () => {
    const idp = await probedIdp();
    const { code, stdout } = await typed(settings(idp), { args: ['--sign-in', '--output', 'json'] });
    expect(code).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({
      provider: 'corp',
      claims: { idToken: {}, userInfo: {} },
      rows: [
        { check: 'sign-in', outcome: 'unknown' },
        { check: 'tokens revoked', outcome: 'works' },
      ],
    });
  });

  it('exits 2 where two providers are named', async () => {
    const { code, stderr } = await typed(
      { issuer: 'https://login.example.com' },
      { args: ['--sign-in', 'corp', '--provider', 'other'] },
    );
    expect(code).toBe(2);
    expect(stderr).toContain('--sign-in and --provider name different providers');
  });

  // An attacker has the operator paste the callback of the attacker's own sign-in, whose user would be reported.
  it('refuses the callback of another sign-in without sending anything of it, and asks again', async () => {
    const idp = await probedIdp({ claims });
    let tries = 0;
    const { row, told, printed } = await signedIn(settings(idp), async (url) => {
      tries += 1;
      const callback = await idp.visit(url);
      if (tries === 1) return callback.href.replace('portcullis.example.com', 'portcullis.example.net');
      if (tries > 2) return callback.href;
      callback.searchParams.set('state', 'of-the-attacker');
      return callback.href;
    });
    expect(tries).toBe(3);
    expect(told.join('\n')).toMatch(/its address begins with https:\/\/portcullis.*\n.*of another sign-in/);
    expect(idp.tokenRequests.filter(({ form }) => form.get('grant_type') === 'authorization_code')).toHaveLength(1);
    expect(row('sign-in').outcome).toBe('works');
    expect(printed).not.toContain('of-the-attacker');
  });

  it('names the rule that rejects the user, and revokes what came all the same', async () => {
    const idp = await probedIdp({ claims: { ...claims, hd: 'other.example' }, revokes: true });
    const rules = [{ expression: 'claims.hd == "example.com"', message: 'Only example.com.' }];
    const { report, row, printed } = await signedIn({ ...settings(idp), rules }, browserOf(idp));
    expect(isSignedIn(report)).toBe(false);
    expect(row('sign-in')).toMatchObject({ outcome: 'fails', seen: 'Only example.com.' });
    expect(report.verdict).toMatchObject({ allowed: false, refusal: { place: 'providers[0].rules[0]' } });
    expect(printed).toMatch(/^ {2}hd: "other.example"$/m);
    expect(row('ID token signature').outcome).toBe('works');
    expect(row('tokens revoked')).toMatchObject({ outcome: 'works', seen: expect.stringContaining('1 refresh token') });
  });

  it.each([
    ['a wrong secret', 'another-secret', (url: string) => url, /corp/, 'provider_client_refused'],
    [
      'a code that was used',
      CLIENT.secret,
      (url: string) => url.replace(/code=[^&]+/, 'code=of-another-sign-in'),
      /too old or was already used/,
      'provider_code_refused',
    ],
    [
      'a user who declines',
      CLIENT.secret,
      (url: string) => url.replace(/code=[^&]+/, 'error=access_denied'),
      /You declined at corp/,
      'provider_refused',
    ],
  ])('says %s as a sign-in does', async (_name, secret, change, message, reason) => {
    const idp = await probedIdp({ claims });
    const answers = async (url: URL): Promise<string> => change((await idp.visit(url)).href);
    const { report, row } = await signedIn(settings(idp), answers, { files: { 'client-secret': secret } });
    const { outcome, seen, action } = row('sign-in');
    expect(outcome).toBe('fails');
    expect(seen).toMatch(message);
    expect(action).toContain(reason);
    expect(JSON.stringify(report)).not.toContain('another-secret');
    expect(isSignedIn(report)).toBe(false);
    expect(isHopeless(report)).toBe(true);
  });

  it.each([
    ['goes on for them', true, 'fails', /refreshed after they were disabled/],
    ['rejects them', false, 'works', /ends at the next re-check: provider_refresh_refused/],
  ] as const)(
    'shows of a user who is disabled meanwhile that the provider %s',
    async (_name, refreshes, outcome, seen) => {
      const idp = await probedIdp({ claims });
      const { row } = await signedIn(settings(idp), browserOf(idp), {
        disables() {
          idp.gone = true;
          idp.refreshesDisabled = refreshes;
          return 'disabled';
        },
      });
      expect(row('disabled users')).toMatchObject({ outcome, seen: expect.stringMatching(seen) });
      // It has no revocation endpoint.
      expect(row('tokens revoked')).toMatchObject({
        outcome: 'unknown',
        seen: expect.stringContaining('revocation_endpoint'),
      });
    },
  );

  it('says what a refresh token is worth that comes without offline_access', async () => {
    const idp = await probedIdp({ claims, scopes: ['openid', 'profile', 'email'] });
    const { row } = await signedIn(settings(idp), browserOf(idp));
    expect(row('re-checks')).toMatchObject({
      outcome: 'works',
      seen: expect.stringContaining('as long as the single sign-on session there'),
      action: expect.stringContaining('Set scopes: [openid, profile, email, offline_access]'),
    });
  });
});

describe('portcullis config probe --sign-in at an unusual provider that', () => {
  const stage = async (lies: Lies): Promise<HostileProvider> => {
    const hostile = await startHostileProvider();
    onTestFinished(() => hostile.close());
    hostile.lie(lies);
    return hostile;
  };
  /** Signed in at once, without a page. */
  const browser = async (url: URL): Promise<string> => {
    const { headers } = await fetch(url, { redirect: 'manual' });
    return headers.get('location') ?? '';
  };
  const configured = ({ issuer }: HostileProvider) => ({
    issuer,
    clientId: CLIENT_ID,
    username: 'claims.preferred_username',
  });
  const authTime = (value: unknown): Lies => ({ idToken: (honest) => ({ ...honest, auth_time: value }) });

  it.each<readonly [string, Lies, 'works' | 'fails' | 'unknown', RegExp, number]>([
    ['says when the user authenticated', {}, 'works', /^prompt=login with max_age: auth_time is \d s old$/, 1],
    ['always says 0', authTime(0), 'fails', /auth_time is 0, which is no time/, 4],
    ['says nothing', authTime(undefined), 'fails', /the ID token has no auth_time/, 2],
    ['says that of an hour ago', authTime(now() - 3600), 'fails', /auth_time is 36\d\d s old/, 4],
    ['says a time in the future', authTime(now() + 7200), 'fails', /auth_time is 7\d\d\d s ahead of our clock/, 4],
  ])('of a fresh sign-in %s', async (_name, lies, outcome, seen, most) => {
    const hostile = await stage(lies);
    const { row, report, visits } = await signedIn(configured(hostile), browser);
    expect(row('fresh sign-in')).toMatchObject({ outcome, needed: false, seen: expect.stringMatching(seen) });
    // The rest is seen as well.
    expect(row('sign-in')).toMatchObject({ outcome: 'works', seen: 'as corp/42' });
    expect(isSignedIn(report)).toBe(true);
    expect(visits).toBeLessThanOrEqual(most);
  });

  it.each<readonly [string, string, Lies, 'works' | 'fails' | 'unknown', RegExp]>([
    ['signs by ES256', 'ID token signature', {}, 'works', /^ES256, by the key k1; verified$/],
    [
      'signs by a key that it does not publish',
      'ID token signature',
      { unknownKey: true },
      'unknown',
      /^ES256, by the key k2; the ID token was rejected$/,
    ],
    [
      'signs by the secret',
      'ID token signature',
      { token: (own) => signedBy('HS256', own) },
      'fails',
      /^HS256, .*not listed/,
    ],
    [
      'has ID tokens ten minutes ahead',
      'clock',
      { clock: 600 },
      'fails',
      /^iat of its ID token is (?:599|600) s ahead of ours$/,
    ],
    [
      'has ID tokens half a minute behind',
      'clock',
      { clock: -30 },
      'works',
      /^iat of its ID token is (?:30|31) s behind ours$/,
    ],
    [
      'has ID tokens ten minutes behind',
      'clock',
      { clock: -600 },
      'fails',
      /^iat of its ID token is (?:600|601) s behind ours$/,
    ],
    ['has a web server ten minutes ahead', 'clock', { clockOff: 600_000 }, 'works', /^iat of its ID token is/],
    ['puts no sid into the ID token', 'sid', {}, 'unknown', /did not come/],
    [
      'puts a sid into the ID token',
      'sid',
      { idToken: (own) => ({ ...own, sid: 's-1' }) },
      'works',
      /came in the ID token/,
    ],
  ])('%s: %s', async (_name, check, lies, outcome, seen) => {
    const hostile = await stage(lies);
    const { row } = await signedIn(configured(hostile), browser);
    expect(row(check)).toMatchObject({ outcome, seen: expect.stringMatching(seen) });
  });

  // An attacker who changes its metadata would be sent our secret and the tokens, so no other host is asked.
  it('names a revocation endpoint of another host: nothing is sent there', async () => {
    const revocation_endpoint = 'https://revocation.example/';
    const hostile = await stage({ discovery: (own) => ({ ...own, revocation_endpoint }) });
    const { report, row } = await signedIn(configured(hostile), browser);
    expect(row('tokens revoked')).toMatchObject({
      outcome: 'fails',
      seen: expect.stringContaining('revocation.example is neither'),
      action: expect.stringContaining('may stay valid there'),
    });
    expect(isSignedIn(report)).toBe(true);
  });

  it('rejects each refresh: no session would last', async () => {
    const hostile = await stage({
      token: (own) =>
        hostile.presented.length === 0
          ? { status: 200, body: JSON.stringify(own) }
          : { status: 400, body: '{"error":"invalid_grant"}' },
    });
    const { report, row } = await signedIn(configured(hostile), browser);
    expect(row('re-checks')).toMatchObject({
      outcome: 'fails',
      needed: true,
      action: expect.stringContaining('provider_refresh_refused'),
    });
    expect(isSignedIn(report)).toBe(false);
  });

  it('gives no refresh token: a session ends after an hour', async () => {
    const hostile = await stage({
      token: (own) => ({ status: 200, body: JSON.stringify({ ...own, refresh_token: undefined }) }),
    });
    const { row } = await signedIn(configured(hostile), browser);
    expect(row('re-checks')).toMatchObject({ outcome: 'fails', needed: false, seen: 'no refresh token came' });
    expect(row('tokens revoked').outcome).toBe('works');
  });

  it('sends fewer groups with a refresh: each session would lose them', async () => {
    const hostile = await stage({
      userinfo: (own) => ({ ...own, groups: hostile.presented.length === 0 ? ['dev', 'ops'] : ['dev'] }),
    });
    const { report, row } = await signedIn({ ...configured(hostile), groups: 'claims.groups' }, browser);
    expect(row('re-checks')).toMatchObject({
      outcome: 'fails',
      needed: true,
      seen: expect.stringContaining('lost the groups corp:ops'),
    });
    expect(isSignedIn(report)).toBe(false);
  });

  it('sends groups as one text, which counts as one', async () => {
    const hostile = await stage({ userinfo: (own) => ({ ...own, groups: 'dev; ops' }) });
    const { row } = await signedIn({ ...configured(hostile), groups: 'claims.groups' }, browser);
    expect(row('groups')).toMatchObject({
      outcome: 'unknown',
      seen: '1: corp:dev; ops',
      action: expect.stringContaining('split it in providers[].groups'),
    });
  });

  // A hostile provider repeats a token as a claim, or rewrites the operator's terminal; both are removed.
  it('repeats its tokens as claims, and sends claims without end', async () => {
    const token = 'access-token-0123456789';
    const hostile = await stage({
      token: (own) => ({
        status: 200,
        body: JSON.stringify({ ...own, access_token: token, refresh_token: `refresh-${token}` }),
      }),
      userinfo: (own) => ({
        ...own,
        repeated: `${hostile.presented.at(-1) ?? ''}Bearer ${token} refresh-${token}`,
        [`named-${token}`]: 'by a token',
        other: 'eyJhbGciOiJub25lIn0.eyJzdWIiOiI0MiJ9.c2lnbmF0dXJl',
        screen: '\u001b[2J\u202e',
        long: 'x'.repeat(100_000),
        many: Array.from({ length: 10_000 }, (_, index) => index),
        ...Object.fromEntries(Array.from({ length: 500 }, (_, index) => [`claim-${index}`, index])),
      }),
    });
    const settings = { ...configured(hostile), extra: { 'example.com/note': 'claims.repeated' } };
    const { printed } = await signedIn(settings, browser);
    for (const shown of ['repeated', 'named-…', 'extra example.com/note']) expect(printed).toContain(shown);
    for (const secret of [token, 'eyJ']) expect(printed).not.toContain(secret);
    expect(printed).not.toMatch(/(?!\n)[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
    expect(printed.length).toBeLessThan(40_000);
  });
});

/** The same claims, under a header that names another algorithm. */
function signedBy(alg: string, own: Record<string, unknown>) {
  const [, payload = ''] = String(own['id_token']).split('.');
  const header = Buffer.from(JSON.stringify({ alg })).toString('base64url');
  return { status: 200, body: JSON.stringify({ ...own, id_token: `${header}.${payload}.c2lnbmF0dXJl` }) };
}

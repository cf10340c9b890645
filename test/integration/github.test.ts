import { afterEach, describe, expect, it } from 'vitest';
import type { ProviderSignIn } from '../../src/idp/idp.ts';
import { createRecheck, type RecheckOutcome } from '../../src/oauth/recheck.ts';
import { ACME, CALLBACK, githubStage, OTHER, rejection, tokenOf } from '../unit/idp/github-stage.ts';
import { annotation, browserAt, closeStages, locationOf, openStage, PUBLIC_URL } from '../unit/web/harness.ts';

const on = githubStage();

describe('a sign-in', () => {
  it('uses PKCE and state, requests the scopes that the mapping needs, and returns the numeric id, the login and the teams', async () => {
    const gh = on.provider();
    const { url, challenge, callback } = await on.callbackOf(gh);
    expect(Object.fromEntries(url.searchParams)).toMatchObject({
      client_id: on.github.clientId,
      redirect_uri: CALLBACK,
      scope: 'read:org',
      state: challenge.state,
      code_challenge_method: 'S256',
      allow_signup: 'false',
    });
    expect(url.searchParams.get('code_challenge')).toMatch(/^[\w-]{43}$/);
    const user = await gh.finish(callback, challenge);
    expect(user.subject).toBe('583231');
    expect(user.identity).toEqual({
      username: 'gh:alice',
      uid: 'gh/583231',
      groups: ['gh:Acme/platform'],
      extra: {},
    });
    expect(gh.provesFreshness).toBe(false);
    expect(user.authTime).toBeUndefined();
  });

  it('uses new values for each login transaction, and lets the user choose the account where a fresh sign-in is required', async () => {
    const gh = on.provider();
    const [first, second] = [await gh.begin(), await gh.begin({ fresh: true })];
    for (const key of ['state', 'nonce', 'codeVerifier'] as const) {
      expect(first.challenge[key]).not.toBe(second.challenge[key]);
    }
    expect(first.url.searchParams.get('prompt')).toBeNull();
    expect(second.url.searchParams.get('prompt')).toBe('select_account');
  });

  it('returns the verified primary address where the mapping reads it', async () => {
    const gh = on.provider({}, { username: 'claims.email' });
    const { url, challenge, callback } = await on.callbackOf(gh);
    expect(url.searchParams.get('scope')).toBe('read:org user:email');
    expect((await gh.finish(callback, challenge)).identity.username).toBe('gh:alice@example.com');
  });

  it.each(['claim', 'trusted'] as const)(
    'is rejected where the address is the username and is not verified, whatever is trusted: %s',
    async (emailVerified) => {
      on.alice.emails = [{ email: 'victim@example.com', primary: true, verified: false }];
      const gh = on.provider({}, { username: 'claims.email', emailVerified });
      expect(await rejection(on.signIn(gh))).toMatchObject({ code: 'sign_in_refused', reason: 'email_unverified' });
    },
  );

  it('provides every claim by id and by name to the mapping', async () => {
    const gh = on.provider(
      { organizations: [ACME.id, 'other'] },
      {
        username: 'string(claims.id)',
        groups:
          'claims.organizations.map(o, o.login + "#" + string(o.id)) + claims.teams.map(t, string(t.organization_id) + "/" + string(t.id))',
      },
    );
    expect((await on.signIn(gh)).identity).toMatchObject({
      username: 'gh:583231',
      groups: ['gh:Acme#501', 'gh:other#502', 'gh:501/7001', 'gh:502/7002'],
    });
  });

  it('reads all pages: 250 teams', async () => {
    on.alice.teams = Array.from({ length: 250 }, (_, index) => ({
      id: index + 1,
      slug: `team-${index}`,
      organization: ACME,
    }));
    const { identity } = await on.signIn(on.provider());
    expect(identity.groups).toHaveLength(250);
    expect(identity.groups).toContain('gh:Acme/team-249');
    expect(on.github.news().filter((line) => line.includes('/user/teams'))).toEqual([
      '200 /user/teams?per_page=100',
      '200 /user/teams?per_page=100&page=2',
      '200 /user/teams?per_page=100&page=3',
    ]);
  });

  it('counts teams of the configured organisations only, because any user can create an organisation with a team of any name', async () => {
    const gh = on.provider({}, { groups: 'claims.teams.map(t, t.slug) + claims.organizations.map(o, o.login)' });
    expect((await on.signIn(gh)).identity.groups).toEqual(['gh:platform', 'gh:Acme']);
    const everywhere = on.provider({ organizations: 'all' });
    expect((await on.signIn(everywhere)).identity.groups).toEqual(['gh:Acme/platform', 'gh:other/admins']);
  });

  const NOT_MEMBERS: readonly { who: string; organizations: readonly (string | number)[]; change: () => unknown }[] = [
    {
      who: 'who is in none of the organisations',
      organizations: ['acme'],
      change: () => (on.alice.memberships = [{ state: 'active', organization: OTHER }]),
    },
    {
      // The filter of GitHub is not trusted: here it does not filter, and the team is in the list.
      who: 'whose invitation is pending',
      organizations: ['acme'],
      change: () => (on.alice.memberships = [{ state: 'pending', organization: ACME }]),
    },
    { who: 'whose organisation has only the name', organizations: [9999], change: () => undefined },
  ];
  it.each(NOT_MEMBERS)('is denied to a user $who', async ({ change, organizations }) => {
    change();
    const error = await rejection(on.signIn(on.provider({ organizations })));
    expect(error).toMatchObject({ code: 'sign_in_refused', reason: 'organization_missing' });
    expect(error.message).toContain('Accept your invitation');
  });

  it('is rejected where less was granted than requested', async () => {
    on.github.grantedScopes = [];
    const error = await rejection(on.signIn(on.provider()));
    expect(error).toMatchObject({ code: 'sign_in_refused', reason: 'provider_scope_missing' });
    on.github.grantedScopes = ['admin:org'];
    expect((await on.signIn(on.provider())).subject).toBe('583231');
  });
});

describe('a re-check', () => {
  it('of a user without changes costs no quota: every response is a 304', async () => {
    const { first, recheck } = await on.signedIn();
    expect((await recheck()).identity).toEqual(first.identity);
    expect(on.github.news().toSorted()).toEqual([
      '304 /user',
      '304 /user/memberships/orgs?state=active&per_page=100',
      '304 /user/teams?per_page=100',
    ]);
  });

  it('detects a lost team, a new one and a new login', async () => {
    const { recheck } = await on.signedIn();
    on.alice.teams = [];
    expect((await recheck()).identity.groups).toEqual([]);
    on.alice.teams = [{ id: 7003, slug: 'oncall', organization: ACME }];
    on.alice.login = 'alice-new';
    expect((await recheck()).identity).toMatchObject({ username: 'gh:alice-new', groups: ['gh:Acme/oncall'] });
  });

  it('detects a team that begins a new page, although the page before is unchanged', async () => {
    on.alice.teams = Array.from({ length: 100 }, (_, index) => ({
      id: index + 1,
      slug: `team-${index}`,
      organization: ACME,
    }));
    const { recheck } = await on.signedIn();
    on.alice.teams.push({ id: 101, slug: 'team-100', organization: ACME });
    expect((await recheck()).identity.groups).toHaveLength(101);
    on.alice.teams.length = 99;
    expect((await recheck()).identity.groups).toHaveLength(99);
  });

  it.each([
    [
      'whose token was revoked',
      (user: ProviderSignIn) => on.github.tokens.delete(tokenOf(user)),
      'provider_refresh_refused',
    ],
    ['who left the organisation', () => (on.alice.memberships = []), 'organization_missing'],
    ['who was suspended', () => (on.alice.suspended = true), 'provider_account_suspended'],
    ['whose single sign-on has ended', () => (on.alice.unauthorized = [ACME]), 'organization_sso_required'],
  ])('rejects a user %s', async (_name, change, reason) => {
    const { first, recheck } = await on.signedIn();
    change(first);
    expect(await rejection(recheck())).toMatchObject({ code: 'sign_in_refused', reason });
  });

  it('rejects a token of another user, and one that it never packed, without echoing it', async () => {
    const { gh, first } = await on.signedIn();
    expect((await rejection(gh.recheck('1', first.refreshToken ?? ''))).reason).toBe('subject_changed');
    const error = await rejection(gh.recheck('583231', 'gho_canary'));
    expect(error).toMatchObject({ code: 'sign_in_refused', reason: 'provider_refresh_refused' });
    expect(`${error.message} ${String(error.cause)}`).not.toContain('canary');
  });

  it('never uses the cached responses of another user', async () => {
    const { gh, first } = await on.signedIn();
    const bob = { ...on.alice, id: 2, login: 'bob', teams: [] };
    on.github.visitor = bob;
    expect((await on.signIn(gh)).identity).toMatchObject({ username: 'gh:bob', groups: [] });
    expect((await gh.recheck('583231', first.refreshToken ?? '')).identity.groups).toEqual(['gh:Acme/platform']);
    on.github.instead.set('/user', { status: 304 });
    on.github.visitor = { ...bob, id: 3 };
    expect(await rejection(on.signIn(gh))).toMatchObject({ code: 'provider_unavailable', reason: 'provider_error' });
  });
});

describe('tokens that expire', () => {
  it('are refreshed in time, and the new ones are kept before anything else can fail', async () => {
    on.github.tokenLife = 8 * 3600;
    const { gh, first } = await on.signedIn();
    on.now += 7 * 3600 * 1000;
    await gh.recheck('583231', first.refreshToken ?? '');
    expect(on.github.news().join()).not.toContain('access_token');
    on.now += 3600 * 1000 - 30_000;
    let kept = '';
    on.github.instead.set('/user', { status: 502, body: '<html>unicorn</html>' });
    const keep = async (newest: string): Promise<void> => void (kept = newest);
    const error = await rejection(gh.recheck('583231', first.refreshToken ?? '', keep));
    expect(error).toMatchObject({ code: 'provider_unavailable', reason: 'provider_error' });
    expect(kept).not.toBe('');
    on.github.instead.clear();
    const second = await gh.recheck('583231', kept, keep);
    expect(second.refreshToken).toBe(kept);
    expect(second.identity).toEqual(first.identity);
  });

  it('are not lost where the store could not save them, although each can be used only once', async () => {
    on.github.tokenLife = 8 * 3600;
    const { gh, first } = await on.signedIn();
    const held = first.refreshToken ?? '';
    on.now += 8 * 3600 * 1000;
    const unavailable = (): Promise<void> => Promise.reject(new Error('the store is unavailable'));
    await expect(gh.recheck('583231', held, unavailable)).rejects.toThrow('the store is unavailable');
    const second = await gh.recheck('583231', held);
    expect(second.identity).toEqual(first.identity);
    expect(second.refreshToken).not.toBe(held);
    expect(on.github.news().filter((line) => line.includes('access_token'))).toHaveLength(1);
  });

  it('end the session where the refresh token has been used', async () => {
    on.github.tokenLife = 8 * 3600;
    const { gh, first } = await on.signedIn();
    on.now += 9 * 3600 * 1000;
    on.github.refreshTokens.clear();
    expect(await rejection(gh.recheck('583231', first.refreshToken ?? ''))).toMatchObject({
      code: 'sign_in_refused',
      reason: 'provider_refresh_refused',
    });
  });
});

describe('an organisation with single sign-on that the token is not authorised for', () => {
  it('is named where it counts, with the next step', async () => {
    on.alice.unauthorized = [ACME];
    const error = await rejection(on.signIn(on.provider({ organizations: ['Acme', 'other'] })));
    expect(error).toMatchObject({ code: 'sign_in_refused', reason: 'organization_sso_required' });
    expect(error.message).toContain(`https://${on.github.host}/orgs/Acme/sso`);
    expect(error.message).not.toContain('authorization_request');
  });

  it('is named by its id where the configuration has the id', async () => {
    on.alice.unauthorized = [ACME];
    const error = await rejection(on.signIn(on.provider({ organizations: [ACME.id, 'other'] })));
    expect(error.reason).toBe('organization_sso_required');
    expect(error.message).toContain('501');
  });

  it('is named too where only its teams are hidden, and is left out completely where the configuration does not name it', async () => {
    on.github.showsAllMemberships = true;
    on.alice.unauthorized = [ACME];
    const error = await rejection(on.signIn(on.provider()));
    expect(error).toMatchObject({ code: 'sign_in_refused', reason: 'organization_sso_required' });
    expect(error.message).toContain('/orgs/Acme/sso');
    const open = on.provider({ organizations: 'all' }, { groups: 'claims.organizations.map(o, o.login)' });
    expect((await on.signIn(open)).identity.groups).toEqual(['gh:other']);
  });

  it('does not matter where it does not count', async () => {
    on.alice.unauthorized = [OTHER];
    expect((await on.signIn(on.provider({ organizations: ['Acme', 'nowhere'] }))).identity.groups).toEqual([
      'gh:Acme/platform',
    ]);
    expect(on.logged).toEqual([]);
  });

  it('is left out and logged where the configuration names no organisations', async () => {
    on.alice.unauthorized = [OTHER];
    const gh = on.provider({ organizations: 'all' }, { groups: 'claims.organizations.map(o, o.login)' });
    expect((await on.signIn(gh)).identity.groups).toEqual(['gh:Acme']);
    expect(on.logged).toEqual([expect.objectContaining({ subject: '583231', organizations: [OTHER.id] })]);
  });
});

describe('at the pages of Portcullis', () => {
  afterEach(closeStages);

  /**
   * The pages with this provider and another, and a browser that has signed in at GitHub and has not yet followed
   * the callback.
   */
  async function visit(options?: Parameters<typeof on.provider>[0]) {
    const gh = on.provider({ ...options, redirectUri: `${PUBLIC_URL}/callback/gh` });
    const providers = new Map([['gh', gh]]);
    const stage = await openStage({
      change: (deps) => ({ ...deps, providers: new Map([...deps.providers, ...providers]) }),
    });
    const browser = browserAt(stage);
    const started = await browser.get('/login/start?provider=gh&to=me').expect(303);
    const back = await on.follow(new URL(locationOf(started)));
    return { stage, browser, back, providers };
  }

  it('a session is opened for the numeric id, and the token is stored with it for re-checks', async () => {
    const { stage, browser, back } = await visit();
    const there = await browser.get(back.pathname + back.search).expect(303);
    await browser.get(locationOf(there)).expect(303).expect('Location', '/me');
    const id = annotation(stage.named('sign-in')[0], 'session') ?? '';
    const record = await stage.store.sessions.read(id);
    expect(record).toMatchObject({ account: 'gh/583231', identity: { username: 'gh:alice' } });
    const secret = await stage.store.sessions.readSecret(id);
    expect(secret?.refreshToken).toContain('gho_');
    expect(JSON.stringify([stage.events, stage.logged])).not.toContain('gho_');
  });

  it('a re-check changes the identity of the session where a team is lost, keeps it where GitHub is unavailable, and rejects a user who left', async () => {
    on.github.tokenLife = 8 * 3600;
    const { stage, browser, back, providers } = await visit();
    const there = await browser.get(back.pathname + back.search).expect(303);
    await browser.get(locationOf(there)).expect(303);
    const id = annotation(stage.named('sign-in')[0], 'session') ?? '';
    const { sessions } = stage.store;
    const recheck = (): Promise<RecheckOutcome> =>
      createRecheck({ sessions, providers, workloads: new Set(), clock: stage.clock })(id);
    expect(await recheck()).toMatchObject({ kind: 'same' });
    stage.clock.advance(60);
    on.alice.teams = [];
    expect(await recheck()).toMatchObject({ kind: 'changed', record: { identity: { groups: [] } } });
    // The token is refreshed, and then GitHub fails: the new token is stored with the session nevertheless.
    on.now += 8 * 3600 * 1000;
    on.github.instead.set('/user', { status: 503 });
    stage.clock.advance(60);
    expect((await rejection(recheck())).code).toBe('provider_unavailable');
    on.github.instead.clear();
    expect(await recheck()).toMatchObject({ kind: 'same' });
    stage.clock.advance(60);
    on.alice.memberships = [];
    expect(await recheck()).toMatchObject({ kind: 'refused', reason: 'organization_missing' });
  });

  it('a state that was used is rejected the second time', async () => {
    const { stage, browser, back } = await visit();
    const there = await browser.get(back.pathname + back.search).expect(303);
    await browser.get(locationOf(there)).expect(303);
    on.github.news();
    const again = await browser.get(back.pathname + back.search);
    if (again.status === 303) await browser.get(locationOf(again)).expect(400);
    expect(on.github.news()).toEqual([]);
    expect(stage.named('sign-in')).toHaveLength(1);
  });

  it('its callback at the path of another provider opens no session, and no code is redeemed', async () => {
    const { stage, browser, back } = await visit();
    on.github.news();
    const there = await browser.get(`/callback/corp${back.search}`);
    if (there.status === 303) await browser.get(locationOf(there)).expect(400);
    expect(on.github.news()).toEqual([]);
    expect(stage.corp.finished).toEqual([]);
    expect(stage.named('sign-in')).toEqual([]);
  });

  it('a rejection is a page with the next step, and an audit event that names the rule', async () => {
    on.alice.memberships = [];
    const { stage, browser, back } = await visit();
    const there = await browser.get(back.pathname + back.search).expect(303);
    const page = await browser.get(locationOf(there)).expect(403);
    expect(page.text).toContain('Accept your invitation');
    expect(annotation(stage.named('sign-in-refused')[0], 'reason')).toBe('organization_missing');
  });
});

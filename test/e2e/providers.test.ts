import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AuditEvent } from '../../src/core/audit/event.ts';
import { auditedBy } from '../support/audit-log.ts';
import { ageTokens, cachedSession } from '../support/cli-cache.ts';
import type { Finished } from '../support/kubectl.ts';
import { startProvidersStage, type TestUser, type ProvidersStage, type VendorName } from './providers-stage.ts';

/** For what follows at the server without another command. */
const SOON = { timeout: 30_000, interval: 100 };
/** Milliseconds. A provider's response is taken for fresh for 10 s; the store keeps whole seconds of when it was asked. */
const NO_LONGER_FRESH = 11_000;
/** Seconds: more than a token lives. */
const TOKEN_LIFE = 30;
const SUBJECT = 'subject-of-alice';
type ProviderName = VendorName | 'github';

let stage: ProvidersStage;

beforeAll(async () => {
  stage = await startProvidersStage();
  const signedIn = await stage.root.portcullis('login', '--provider', 'demo');
  if (signedIn.code !== 0) throw new Error(signedIn.all);
});
afterAll(() => stage.stop());

const getPods = ({ unattended }: TestUser): Promise<Finished> => unattended.kubectl('get', 'pods', '--output', 'name');

async function whoami({ unattended }: TestUser): Promise<Who> {
  const said = await unattended.portcullis('whoami', '--output', 'json');
  if (said.code !== 0) throw new Error(said.all);
  return JSON.parse(said.stdout) as Who;
}

interface Who {
  readonly account: string;
  readonly username: string;
  readonly groups: readonly string[];
  readonly session: { readonly id: string };
}

const sessionOf = async ({ cacheDir }: TestUser): Promise<string> => (await cachedSession(cacheDir)).person.sessionId;

async function signedIn(name: string, provider: string): Promise<TestUser> {
  const user = stage.user(name);
  await user.login(provider);
  return user;
}

const recorded = async (session: string): Promise<readonly AuditEvent[]> =>
  (await auditedBy(stage.instance)).filter(({ annotations }) => annotations['portcullis.dev/session'] === session);

const named = (events: readonly AuditEvent[], name: string): readonly AuditEvent[] =>
  events.filter(({ annotations }) => annotations['portcullis.dev/event'] === name);

const isLive = async (session: string): Promise<boolean> =>
  (await stage.instance.server.store.sessions.read(session)) !== undefined;

const USERS = [
  ['oidc', `oidc/${SUBJECT}`, 'oidc:alice'],
  ['okta', `okta/${SUBJECT}`, 'okta:alice'],
  ['keycloak', `keycloak/${SUBJECT}`, 'keycloak:alice'],
  [
    'entra',
    'entra/11111111-2222-3333-4444-555555555555.aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee',
    'entra:alice@example.com',
  ],
  ['google', `google/${SUBJECT}`, 'google:alice@example.com'],
  ['github', 'github/583231', 'github:alice'],
] as const;

interface SignedIn {
  readonly user: TestUser;
  readonly session: string;
  readonly account: string;
  readonly username: string;
}

/** Who has signed in by the table. */
const users = new Map<ProviderName, SignedIn>();

function signedInBefore(provider: ProviderName): SignedIn {
  const found = users.get(provider);
  if (found === undefined) throw new Error(`no user has signed in at ${provider}`);
  return found;
}

/** As time would: the token ends, and the next command has to renew it, about which the provider is asked. */
async function untilTokenEnds({ user, session }: SignedIn): Promise<void> {
  const age = async (): Promise<number> =>
    Date.now() - ((await stage.instance.server.store.sessions.read(session))?.checkedAt ?? 0) * 1000;
  await expect.poll(age, SOON).toBeGreaterThan(NO_LONGER_FRESH);
  await ageTokens(user.cacheDir, TOKEN_LIFE);
}

describe.each(USERS)('a user of type %s, one of seven providers of one server', (provider, account, username) => {
  let user: TestUser;
  let askedAtSignIn = 0;

  const asked = (): number =>
    provider === 'github'
      ? stage.github.asked.length
      : stage.vendors[provider].asked.filter((path) => path === '/token').length;

  it('signs in, and is to the cluster the user that the provider names', async () => {
    user = await signedIn(`table-${provider}`, provider);
    askedAtSignIn = asked();
    const said = await user.unattended.kubectl('auth', 'whoami', '--output', 'json');
    const { status } = JSON.parse(said.stdout) as {
      status: { userInfo: { username: string; groups: string[]; uid: string } };
    };
    expect(status.userInfo).toMatchObject({ username, uid: account });
    expect(status.userInfo.groups.toSorted()).toEqual(['demo:developers', 'system:authenticated']);
  });

  it('is asked about at a refresh, and goes on without another sign-in', async () => {
    const who = await whoami(user);
    expect(who).toMatchObject({ account, username, groups: ['demo:developers'] });
    const session = who.session.id;
    users.set(provider, { user, session, account, username });
    expect(asked()).toBeGreaterThan(askedAtSignIn);
    const got = await getPods(user);
    expect(got.code, got.all).toBe(0);
    expect(named(await recorded(session), 'refresh').length).toBeGreaterThan(0);
    expect(await isLive(session)).toBe(true);
  });
});

const WITH_GROUPS = ['oidc', 'okta', 'keycloak', 'entra', 'github'] as const;

// What else there is to see comes between these, so that little time is left to wait until the provider is asked again.
describe('what happens at the provider', () => {
  it('cuts the shell and the watch that a disabled user has open, no other user’s, and has it in the audit log', async () => {
    const user = await signedIn('open-keycloak', 'keycloak');
    const colleague = await signedIn('open-okta', 'okta');
    const { session, account } = await whoami(user);
    const terminal = user.unattended.kubectlAtTerminal('exec', '-i', '-t', 'web-1', '--', 'sh');
    const watch = user.unattended.openKubectl('get', 'pods', '--watch');
    const other = colleague.unattended.openKubectl('get', 'pods', '--watch');
    await Promise.all([terminal.until(/\/ # /), watch.until(/web-2/), other.until(/web-2/)]);
    await disabled('keycloak', async () => {
      await Promise.all([terminal.finished, watch.finished]);
      expect(other.child.exitCode).toBeNull();
      // In the audit log once every replica has confirmed that it is over.
      await expect
        .poll(async () => named(await recorded(session.id), 'session-ended'), SOON)
        .toMatchObject([
          { annotations: { 'portcullis.dev/account': account, 'portcullis.dev/reason': 'provider_refresh_refused' } },
        ]);
      const cut = (await recorded(session.id))
        .filter(({ annotations }) => annotations['portcullis.dev/reason'] === 'session_revoked')
        .map(({ verb, objectRef }) => objectRef?.subresource ?? verb);
      expect(cut).toEqual(expect.arrayContaining(['exec', 'watch']));
      expect(await isLive(session.id)).toBe(false);
    });
    other.child.kill();
  });

  it('reaches kubectl: a user who loses a group there loses the right with the next token, at each type that has groups, and the session stays', async () => {
    await Promise.all(
      WITH_GROUPS.map(async (provider) => {
        const signedInUser = signedInBefore(provider);
        const { user, session, account, username } = signedInUser;
        const before = named(await recorded(session), 'refresh').length;
        await untilTokenEnds(signedInUser);
        await withoutGroups(provider, async () => {
          expect((await getPods(user)).stderr).toContain(
            `pods is forbidden: User "${username}" cannot list resource "pods"`,
          );
          const refreshes = named(await recorded(session), 'refresh');
          expect(refreshes.slice(before).map((event) => event.user)).toEqual([{ username, uid: account }]);
          expect(named(await recorded(session), 'identity-changed')).toHaveLength(1);
          expect(await isLive(session)).toBe(true);
        });
      }),
    );
  });

  it('keeps no user out who has a token: an unavailable provider is reported later, and the session goes on when it is back', async () => {
    const user = await signedIn('waits-okta', 'okta');
    const session = await sessionOf(user);
    const vendor = stage.vendors.okta;
    vendor.down = true;
    try {
      const got = await getPods(user);
      expect(got.code, got.all).toBe(0);
      await ageTokens(user.cacheDir, TOKEN_LIFE);
      expect((await getPods(user)).stderr).toMatch(/is unavailable \(503\)[^]*you stay signed in/);
      expect(await isLive(session)).toBe(true);
    } finally {
      vendor.down = false;
    }
    const back = await getPods(user);
    expect(back.code, back.all).toBe(0);
    expect((await whoami(user)).session.id).toBe(session);
  });
});

// One of OpenID and the one that is not: what a sign-out does with a session is not up to its provider.
describe.each(USERS.filter(([provider]) => provider === 'oidc' || provider === 'github'))(
  'a user of type %s who signs out',
  (provider, account, username) => {
    it('has no session at the server any more, and kubectl says how to sign in', async () => {
      const user = await signedIn(`out-${provider}`, provider);
      const session = await sessionOf(user);
      expect(await isLive(session)).toBe(true);
      const out = await user.unattended.portcullis('logout');
      expect(out.code, out.all).toBe(0);
      expect(await isLive(session)).toBe(false);
      const refused = await getPods(user);
      expect(refused.code).not.toBe(0);
      expect(refused.stderr).toContain('portcullis login --server');
      const [logout] = named(await recorded(session), 'logout');
      expect(logout).toMatchObject({ user: { username }, annotations: { 'portcullis.dev/account': account } });
    });
  },
);

describe('what happens at the provider later', () => {
  it('reaches kubectl: a user who is in the group again has the right with the next token, at each of these types', async () => {
    await Promise.all(
      WITH_GROUPS.map(async (provider) => {
        const signedInUser = signedInBefore(provider);
        await untilTokenEnds(signedInUser);
        const again = await getPods(signedInUser.user);
        expect(again.code, again.all).toBe(0);
      }),
    );
  });

  it('reaches kubectl: a user who is disabled there is rejected with the next token, at each type', async () => {
    await Promise.all(
      USERS.map(async ([provider]) => {
        const signedInUser = signedInBefore(provider);
        const { user, session, account } = signedInUser;
        await untilTokenEnds(signedInUser);
        const before = named(await recorded(session), 'refresh').length;
        await disabled(provider, async () => {
          expect((await getPods(user)).stderr).toMatch(/Next: portcullis login --server/);
          expect(await isLive(session)).toBe(false);
          expect(named(await recorded(session), 'refresh')).toHaveLength(before);
          const reason = provider === 'github' ? 'provider_account_suspended' : 'provider_refresh_refused';
          const why = async () =>
            (await recorded(session)).find(({ annotations }) => annotations['portcullis.dev/reason'] === reason);
          await expect.poll(why, SOON).toMatchObject({ annotations: { 'portcullis.dev/account': account } });
        });
      }),
    );
  });
});

describe('alice of Okta and alice of Keycloak', () => {
  it('are two users to RBAC, and the end of one is not the end of the other', async () => {
    const ours = await signedIn('two-okta', 'okta');
    const vendor = stage.vendors.keycloak;
    const { claims } = vendor;
    vendor.claims = { ...claims, groups: [] };
    const theirs = await signedIn('two-keycloak', 'keycloak');
    vendor.claims = claims;
    const refused = await getPods(theirs);
    expect(refused.stderr).toContain('User "keycloak:alice" cannot list resource "pods"');
    const got = await getPods(ours);
    expect(got.code, got.all).toBe(0);
    const allowed = (await auditedBy(stage.instance)).findLast(
      ({ verb, responseStatus }) => verb === 'list' && responseStatus?.code === 200,
    );
    expect(allowed?.user).toMatchObject({ username: 'okta:alice', uid: `okta/${SUBJECT}` });

    const revoked = await stage.root.portcullis('revoke', '--account', `okta/${SUBJECT}`, '--reason', 'INC-1');
    expect(revoked.code, revoked.all).toBe(0);
    const out = await getPods(ours);
    expect(out.code).not.toBe(0);
    expect((await whoami(theirs)).username).toBe('keycloak:alice');
  });
});

/** While the user is in no group there. */
async function withoutGroups(provider: Exclude<ProviderName, 'google'>, meanwhile: () => Promise<void>): Promise<void> {
  if (provider === 'github') {
    const user = stage.githubUser;
    const { teams } = user;
    user.teams = [];
    return meanwhile().finally(() => (user.teams = teams));
  }
  const vendor = stage.vendors[provider];
  const { claims } = vendor;
  vendor.claims = { ...claims, groups: [] };
  return meanwhile().finally(() => (vendor.claims = claims));
}

/** While the user's account there is disabled. */
async function disabled(provider: ProviderName, meanwhile: () => Promise<void>): Promise<void> {
  const change = (gone: boolean): void => {
    if (provider === 'github') stage.githubUser.suspended = gone;
    else stage.vendors[provider].gone = gone;
  };
  change(true);
  return meanwhile().finally(() => change(false));
}

import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { join } from 'node:path';
import type { Visit } from '../../demo/visitor.ts';
import { probeBySignIn } from '../../src/commands/provider-probe.ts';
import { loadConfig } from '../../src/config/load.ts';
import type { AuditEvent } from '../../src/core/audit/event.ts';
import { auditedBy } from '../support/audit-log.ts';
import { SECRET, startDjangoStage, type DjangoProvider, type DjangoStage, type SignedIn } from './django-stage.ts';
import { ageTokens } from '../support/cli-cache.ts';
import type { Finished } from '../support/kubectl.ts';

/** Milliseconds. A provider's response is taken for fresh for 10 s; the store keeps whole seconds of when it was asked. */
const NO_LONGER_FRESH = 11_000;
/** Seconds: more than a token lives. */
const TOKEN_LIFE = 30;
const SOON = { timeout: 30_000, interval: 100 };
/** Keys are taken for known for 30 s, and a sign-in takes its time as well. */
const KEYS = { timeout: 45_000, interval: 1_000 };

let stage: DjangoStage;
beforeAll(async () => {
  stage = await startDjangoStage();
});
afterAll(() => stage?.stop());

const getPods = ({ cli }: SignedIn): Promise<Finished> => cli.kubectl('get', 'pods', '--output', 'name');

const isLive = async ({ session }: SignedIn): Promise<boolean> =>
  (await stage.instance.server.store.sessions.read(session)) !== undefined;

async function audited({ session }: SignedIn, event: string): Promise<readonly AuditEvent[]> {
  const events = await auditedBy(stage.instance);
  return events.filter(
    ({ annotations }) =>
      annotations['portcullis.dev/session'] === session && annotations['portcullis.dev/event'] === event,
  );
}

/** As time would: the token ends, and the next command has to renew it, about which the provider is asked. */
async function untilTokenEnds({ session, cacheDir }: SignedIn): Promise<void> {
  const age = async (): Promise<number> =>
    Date.now() - ((await stage.instance.server.store.sessions.read(session))?.checkedAt ?? 0) * 1000;
  await expect.poll(age, SOON).toBeGreaterThan(NO_LONGER_FRESH);
  await ageTokens(cacheDir, TOKEN_LIFE);
}

/** The provider is asked once more, by a refresh, and says yes. */
async function refreshedAgain(user: SignedIn): Promise<void> {
  await untilTokenEnds(user);
  const before = (await audited(user, 'refresh')).length;
  await getPods(user);
  expect(await audited(user, 'refresh')).toHaveLength(before + 1);
}

describe('Django OAuth Toolkit as the provider', () => {
  let alice: SignedIn;
  let vera: SignedIn;

  it('signs users in by its own form and its page of consent, with a client secret of letters and marks', async () => {
    alice = await stage.signIn('alice', 'django');
    const said = await alice.cli.kubectl('auth', 'whoami', '--output', 'json');
    const { status } = JSON.parse(said.stdout) as { status: { userInfo: { username: string; groups: string[] } } };
    expect(status.userInfo.username).toBe('django:alice');
    expect(status.userInfo.groups.toSorted()).toEqual(['demo:developers', 'system:authenticated']);
    const got = await getPods(alice);
    expect(got.code, got.all).toBe(0);
  });

  it('is probed by a sign-in: the server leaves the code in the address, and a disabled user is refreshed', async () => {
    const loaded = await loadConfig({ file: join(stage.instance.files.directory, 'changed.yaml'), env: {} });
    if (!loaded.ok) throw new Error(JSON.stringify(loaded.reason));
    const browser = stage.browser('bob');
    const ends: Visit[] = [];
    let shown = '';
    const outcome = await probeBySignIn(loaded.value.config, 'django', () => ({
      open: (url) => void (shown = url.href),
      tell: () => undefined,
      async ask(question) {
        if (!question.startsWith('Address')) return stage.django.setActive('bob', false).then(() => 'disabled');
        ends.push(await browser.visit(shown));
        return ends.at(-1)?.url;
      },
      attended: true,
    }));
    await stage.django.setActive('bob', true);
    if (!outcome.ok) throw new Error(outcome.reason);
    // The server knows no such sign-in: it redirects nowhere, and redeems nothing.
    expect(ends).toHaveLength(1);
    expect(ends[0]?.url).toMatch(/\/callback\/django\?.*code=/);
    expect(ends[0]?.status).toBe(400);
    const { rows, verdict } = outcome.value;
    const seen = Object.fromEntries(rows.map((row) => [row.check, `${row.outcome}: ${row.seen}`]));
    expect(seen).toMatchObject({
      'sign-in': expect.stringMatching(/^works: as django\/\d+$/),
      'client authentication': 'works: by client_secret_basic',
      'ID token signature': expect.stringMatching(/^works: RS256, .*verified$/),
      clock: expect.stringMatching(/^works: /),
      'fresh sign-in': expect.stringMatching(/^works: prompt=login with max_age: auth_time is \d+ s old$/),
      groups: 'works: 1: demo:developers',
      're-checks': 'works: a refresh works, without an ID token',
      'disabled users': 'fails: this user was refreshed after they were disabled',
    });
    expect(verdict).toMatchObject({ allowed: true, identity: { username: 'django:bob' } });
  });

  it('asks a browser that it knows for the password, where a revocation wants a new sign-in', async () => {
    const browser = stage.browser('alice');
    const start = `${stage.instance.urls.web}/login/start?provider=django&to=me`;
    expect(await browser.visit(start)).toMatchObject({ status: 200, url: `${stage.instance.urls.web}/me` });
    const admin = await stage.root.portcullis('login', '--provider', 'demo');
    expect(admin.code, admin.all).toBe(0);
    const revoked = await stage.root.portcullis('revoke', '--account', 'django/1', '--reason', 'INC-1');
    expect(revoked.code, revoked.all).toBe(0);
    expect((await getPods(alice)).code).not.toBe(0);
    await stage.django.signedInBefore('alice', 3600);
    expect(await browser.visit(start)).toMatchObject({ status: 200, url: `${stage.instance.urls.web}/me` });
    // Django's session is alive, so its form was shown because it was asked to: by `prompt=login` alone, the second way, since it ignores
    // `login` in addition to `consent`, and `max_age`.
    expect(await stage.django.secondsSinceLogin('alice')).toBeLessThan(60);
    alice = await stage.signIn('alice', 'django');
    const got = await getPods(alice);
    expect(got.code, got.all).toBe(0);
  });

  it('is asked at each refresh: a lost group, a disabled user with and without a rule, a client secret that has changed; also after a change of its key', async () => {
    const [disabled, ruled, third] = await Promise.all([
      stage.signIn('bob', 'django'),
      stage.signIn('bob', 'ruled'),
      stage.signIn('vera', 'secret'),
    ]);
    vera = third;
    for (const got of await Promise.all([disabled, ruled, vera].map(getPods))) expect(got.code, got.all).toBe(0);
    await stage.django.rotateKey(true);
    await stage.django.setGroups('alice', []);
    await stage.django.setActive('bob', false);
    await stage.django.setSecret('secret', `${SECRET}-another`);
    await Promise.all([losesRight(alice), goesOn(disabled), isEnded(ruled), waitsForSecret(vera)]);
  });

  async function losesRight(user: SignedIn): Promise<void> {
    await untilTokenEnds(user);
    expect((await getPods(user)).stderr).toContain(
      'pods is forbidden: User "django:alice" cannot list resource "pods"',
    );
    expect(await audited(user, 'identity-changed')).toHaveLength(1);
    expect(await isLive(user)).toBe(true);
  }

  /** It gives tokens to disabled users, and UserInfo answers for them: without a rule nothing ends their session. */
  async function goesOn(user: SignedIn): Promise<void> {
    await refreshedAgain(user);
    const got = await getPods(user);
    expect(got.code, got.all).toBe(0);
  }

  async function isEnded(user: SignedIn): Promise<void> {
    await untilTokenEnds(user);
    expect((await getPods(user)).stderr).toContain('Your account is disabled.');
    expect(await isLive(user)).toBe(false);
    expect(await audited(user, 'refresh-refused')).toMatchObject([
      { user: { username: 'ruled:bob' }, annotations: { 'portcullis.dev/reason': 'rule_refused' } },
    ]);
  }

  async function waitsForSecret(user: SignedIn): Promise<void> {
    const log = vi.spyOn(process.stderr, 'write');
    await untilTokenEnds(user);
    expect((await getPods(user)).stderr).toMatch(/is unavailable \(503\)[^]*you stay signed in/);
    const refused = await audited(user, 'refresh-refused');
    const reason = { 'portcullis.dev/provider': 'secret', 'portcullis.dev/reason': 'provider_client_refused' };
    expect(refused[0]).toMatchObject({ user: { username: 'secret:vera' }, annotations: reason });
    const written = log.mock.calls.map(([text]) => String(text)).join('');
    log.mockRestore();
    expect(written).toMatch(
      /"provider":"secret","reason":"provider_client_refused".*"status":401,"error":"invalid_client"/,
    );
    expect(written).not.toContain(SECRET);
    await stage.django.setSecret('secret', SECRET);
    await expect.poll(async () => (await getPods(user)).code, KEYS).toBe(0);
    expect(await isLive(user)).toBe(true);
  }

  it('accepts users by its new key within 30 seconds, and when the previous key is gone; users who are signed in stay signed in', async () => {
    const signsIn = (provider: DjangoProvider) =>
      expect.poll(() => stage.signIn('root', provider).then(() => 'signed in', String), KEYS).toBe('signed in');
    await stage.django.setGroups('alice', ['developers']);
    await signsIn('django');
    await stage.django.rotateKey(false);
    await Promise.all([signsIn('secret'), refreshedAgain(alice), refreshedAgain(vera)]);
    for (const got of await Promise.all([alice, vera].map(getPods))) expect(got.code, got.all).toBe(0);
  });
});

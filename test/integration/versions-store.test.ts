/**
 * What an earlier version left in Redis, read by this one: as it was left, and with all that a later version may have added to it. This is what
 * holds "a key never changes its meaning" (docs/upgrade.md): a change of the meaning of a stored value, without a new name, fails here.
 */
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { verifyAudit } from '../../src/commands/audit-commands.ts';
import { ADMIN_AUDIENCE } from '../../src/core/core.ts';
import type { LogEntry } from '../../src/core/credential/revocation.ts';
import { unpackTokens } from '../../src/idp/github/tokens.ts';
import { sessionDigest } from '../../src/store/redis/keys.ts';
import { startFrozenStage, type FrozenStage } from '../fixtures/frozen-stage.ts';
import { PREFIX } from '../fixtures/frozen-store.ts';
import { asNextVersion, NEXT } from '../fixtures/next-version.ts';
import { replica } from '../conformance/fixtures.ts';
import { CookieBrowser } from '../support/cookie-browser.ts';
import { allowLinkIn, fieldIn, visitor } from '../support/device-stage.ts';
import { newClientKey, OAuthClient, type Answer } from '../support/oauth-client.ts';

const PODS = '/api/v1/namespaces/default/pods';
const DEVICE_GRANT = 'urn:ietf:params:oauth:grant-type:device_code';
const FIXTURES = join(import.meta.dirname, '../fixtures');

const versions = (await readdir(FIXTURES)).filter((name) => name.startsWith('store-'));
const cases = versions.flatMap((folder) => [
  { folder, how: 'as it was left', change: undefined },
  { folder, how: 'with what a later version may add', change: asNextVersion },
]);

/** What may be done again: a busy machine may not respond within the 250 ms that a replica has. */
const soon = <T>(attempt: () => Promise<T>): Promise<T> => vi.waitFor(attempt);

describe.each(cases)('$folder, $how', ({ folder, change }) => {
  let stage: FrozenStage;
  let admin: string;
  const id = (which: keyof FrozenStage['known']['sessions']): string => stage.known.sessions[which].id;
  const renewal = (which: 'goesOn' | 'revoked' | 'locked'): string => stage.known.sessions[which].renewal ?? '';

  beforeAll(async () => {
    stage = await startFrozenStage(join(FIXTURES, folder), change);
    await vi.waitFor(() => stage.store.ping());
  });
  afterAll(() => stage.stop());

  const ask = (method: 'GET' | 'POST' | 'DELETE', path: string, body?: object): Promise<Answer> =>
    stage.client.send(method, `/-/admin/api/v1/${path}`, {
      headers: { authorization: `Bearer ${admin}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });

  const servedWith = async ({ status, body }: Answer): Promise<number> => {
    expect(status, JSON.stringify(body)).toBe(200);
    return (await stage.client.get(PODS, String(body['access_token']))).status;
  };

  it('a code that was not redeemed yet can still be redeemed', async () => {
    const { value, verifier } = stage.known.code;
    expect(await servedWith(await stage.client.redeem(value, verifier))).toBe(200);
  });

  it('nothing starts again: the epoch is the same, and the whole log is read', async () => {
    const { log } = stage.store;
    const joined = await log.join(300);
    const { id: epoch = '', n: number } = await stage.bare.hgetall(`${PREFIX}epoch`);
    expect(joined.position).toEqual({ epoch, number: Number(number) });
    const revoked = joined.live.map(({ change: { kind }, number: at }) => `${at} ${kind}`);
    expect(revoked).toEqual(['1 revoked', '2 revoked', '3 revoked', '4 revoked', '5 revoked']);
    const renewed = await log.renew(replica({ incarnation: 'reader' }), { epoch, number: 0 });
    await log.leave('reader');
    if (!renewed.ok) throw new Error(renewed.reason);
    const said = renewed.entries.slice(0, 8).map(({ change: what }: LogEntry) => what.kind);
    expect(said).toEqual([...Array<string>(5).fill('revoked'), 'unlocked', 'identity-changed', 'drill']);
    expect(renewed.replicas.map(({ name }) => name)).toContain('gate-0');
    // 0.1.0 registers no lease, so one of its replicas may have the longest that there is.
    expect(renewed.longestLeaseMs).toBe(folder === 'store-0.1.0' ? 30_000 : 2000);
  });

  it('a session goes on: its refresh token renews it, with its own key only', async () => {
    const { sessions } = stage.store;
    const record = await sessions.read(id('goesOn'));
    const secret = await sessions.readSecret(id('goesOn'));
    expect(record).toMatchObject({ account: 'demo/alice', thumbprint: expect.any(String), version: 1 });
    expect(secret?.refreshToken).toEqual(expect.any(String));
    // The provider of that time is gone with all that it issued: today's has its own subject for the same user.
    await stage.client.signIn('alice');
    const [newest] = (await sessions.list({ account: 'demo/alice', limit: 1 })).sessions;
    const today = await sessions.readSecret(newest?.id ?? '');
    if (record === undefined || today === undefined) throw new Error('there is nothing to go on with');
    await sessions.update(record.id, { identity: record.identity, secret: today, checked: false });
    expect(await servedWith(await stage.client.refresh(renewal('goesOn')))).toBe(200);
    const thief = new OAuthClient(stage.client.endpoints, await newClientKey());
    expect(await thief.refresh(renewal('goesOn'))).toMatchObject({ status: 400, body: { error: 'invalid_grant' } });
    await thief.close();
  });

  it('a revoked user stays revoked', async () => {
    expect(await stage.store.sessions.read(id('revoked'))).toBeUndefined();
    const answer = await stage.client.refresh(renewal('revoked'));
    expect(answer).toMatchObject({ status: 400, body: { error: 'invalid_grant' } });
  });

  it('a locked user stays locked until an admin unlocks the account, and must then sign in again', async () => {
    admin = (await stage.client.signIn('root', { resource: ADMIN_AUDIENCE })).accessToken;
    expect(await stage.client.refresh(renewal('locked'))).toMatchObject({ status: 400 });
    await expect(stage.client.signIn('bob')).rejects.toThrow('no code came back');
    const { body } = await ask('GET', 'locks');
    expect(body['locks']).toEqual([
      { account: 'demo/bob', reason: 'left the company', by: 'demo:root', at: expect.any(String) },
    ]);
    const user = await stage.store.sessions.open(
      {
        id: 'bob-again',
        account: 'demo/bob',
        provider: 'demo',
        subject: 'bob',
        client: 'portcullis-cli',
        identity: { username: 'demo:bob', uid: '', groups: [], extra: {} },
        createdAt: Math.floor(Date.now() / 1000),
        expiresAt: Math.floor(Date.now() / 1000) + 600,
        idleSeconds: 600,
        address: '',
        userAgent: '',
        startedAt: await stage.store.log.position(),
      },
      {},
    );
    expect(user).toEqual({ ok: false, reason: 'account_locked' });
    expect(await ask('DELETE', 'locks/demo%2Fbob?reason=came+back')).toMatchObject({ status: 200 });
    expect((await stage.client.signIn('bob')).session).not.toBe(id('locked'));
  });

  it('the result of a revocation is returned again, and the same request has no other effect', async () => {
    const { revocation } = stage.known;
    expect((await ask('GET', `revocations/${revocation}`)).body).toMatchObject({ id: revocation, complete: true });
    const before = await stage.store.log.position();
    const target = { kind: 'session', session: id('revoked') } as const;
    const again = await stage.store.log.append({ requestId: revocation, target });
    expect(again).toMatchObject({ position: { number: 3 }, sessions: 1 });
    expect(await stage.store.log.position()).toEqual(before);
  });

  it('what waits for a second admin is known still', async () => {
    const { approval } = stage.known;
    const asked = await ask('POST', 'revocations', { provider: 'demo', reason: 'it was broken into', approval });
    expect(asked).toMatchObject({ status: 403, body: { code: 'same_admin' } });
  });

  it('the audit log of that time is verified by its anchors, and a shorter one is not', async () => {
    const at = (name: string): string => join(stage.instance.files.directory, name);
    const lines = (await readFile(stage.auditLog, 'utf8')).trimEnd().split('\n');
    await writeFile(at('shorter.log'), lines.slice(0, 10).join('\n'));
    await writeFile(at('anchors'), (await stage.store.anchors.list()).join('\n'));
    const verified = async (file: string): Promise<number> => {
      const write = vi.spyOn(process.stdout, 'write').mockReturnValue(true);
      // Today's server writes its own audit log, and has anchors there.
      const options = { keys: stage.auditKeys, anchors: at('anchors'), replica: 'gate-0' };
      return verifyAudit([file], options, {}).finally(() => write.mockRestore());
    };
    expect(await verified(stage.auditLog)).toBe(0);
    expect(await verified(at('shorter.log'))).toBe(1);
  });

  it('recent requests are listed', async () => {
    const { body } = await ask('GET', `sessions/${id('goesOn')}/requests`);
    const [newest, before] = (body['requests'] as { readonly uri: string }[])
      .filter(({ uri }) => uri.startsWith(PODS))
      .slice(-2);
    expect([newest?.uri, before?.uri]).toEqual([`${PODS}?limit=1`, PODS]);
  });

  it('a device that waited for its code is signed in by it, and one that had been allowed gets its tokens', async () => {
    const { web } = stage.instance.urls;
    const poll = (which: 'waiting' | 'allowed'): Promise<Answer> =>
      stage.client.token({ grant_type: DEVICE_GRANT, device_code: stage.known.devices[which].deviceCode });
    expect(await servedWith(await poll('allowed'))).toBe(200);
    expect(await poll('waiting')).toMatchObject({ body: { error: 'authorization_pending' } });
    const user = visitor('alice');
    const type = async (userCode: string): Promise<string | undefined> => {
      const csrf = fieldIn(await user.visit(`${web}/device`), 'csrf');
      return allowLinkIn(await user.visit(`${web}/device`, new URLSearchParams({ csrf, user_code: userCode })));
    };
    expect(await type(stage.known.devices.allowed.userCode)).toBeUndefined();
    const link = await type(stage.known.devices.waiting.userCode);
    expect((await user.visit(`${web}${link ?? ''}`)).url).toBe(`${web}/device/done`);
    await expect.poll(async () => (await poll('waiting')).status, { interval: 1000 }).toBe(200);
  });

  it('a browser is still signed in, and one that was about to sign in still is', async () => {
    const { web } = stage.instance.urls;
    const open = (path: string, cookie: string): Promise<Response> =>
      fetch(`${web}${path}`, { headers: { cookie }, redirect: 'manual' });
    const page = await open('/me', stage.known.cookies.browser);
    expect(page.status).toBe(200);
    expect(await page.text()).toContain('demo:alice');
    const pending = await open(`${stage.known.pendingPage}/start?provider=demo`, stage.known.cookies.pending);
    expect(pending.status).toBe(303);
    expect(pending.headers.get('location')).toContain(new URL(stage.instance.urls.issuer).host);
    expect((await new CookieBrowser().get(`${web}${stage.known.pendingPage}`)).status).toBe(400);
    const { artefacts } = stage.store;
    const transaction = { provider: 'demo', way: { for: 'client' }, challenge: { state: stage.known.state } };
    expect(await artefacts.take('SignIn', stage.known.state)).toMatchObject(transaction);
    // Taken once.
    expect(await artefacts.take('SignIn', stage.known.state)).toBeUndefined();
  });

  it('a session that belongs to a provider’s session, with a changed identity, is found in every list', async () => {
    const { sessions } = stage.store;
    const ids = async (query: Omit<Parameters<typeof sessions.list>[0], 'limit'>): Promise<readonly string[]> =>
      (await sessions.list({ ...query, limit: 100 })).sessions.map((session) => session.id);
    const ofProvider = { provider: 'demo', sid: 'provider-session' };
    expect(await ids({ providerSession: ofProvider })).toEqual([id('ofProvider')]);
    expect(await ids({ username: 'demo:carol' })).toEqual([id('ofProvider')]);
    expect(await ids({ account: 'demo/carol' })).toEqual([id('ofProvider')]);
    const all = [id('goesOn'), id('browser'), id('device'), id('ofProvider'), id('olderKey')];
    for (const order of ['newest', 'oldest', 'last-used', 'least-used'] as const) {
      expect(await ids({ order })).toEqual(expect.arrayContaining(all));
    }
    expect(await sessions.count()).toBeGreaterThanOrEqual(all.length);
    const record = await sessions.read(id('ofProvider'));
    expect(record).toMatchObject({ version: 2, identity: { groups: ['demo:operators'], extra: { mail: ['a', 'b'] } } });
    expect(await sessions.readSecret(id('ofProvider'))).toMatchObject({ refreshToken: 'a newer one of the provider' });
    expect(await sessions.claimRecheck(id('ofProvider'), 'another', 30)).toBe(false);
    if (record === undefined) throw new Error('it is gone');
    const { version: _version, lastUsedAt: _used, checkedAt: _checked, ...like } = record;
    const closed = { ...like, id: 'too-late', providerSid: 'closed-provider-session' };
    expect(await sessions.open({ ...closed, startedAt: await stage.store.log.position() }, {})).toEqual({
      ok: false,
      reason: 'session_revoked',
    });
  });

  it('what can be used once can still be used once', async () => {
    const { artefacts } = stage.store;
    expect(await artefacts.consume('ReplayDetection', 'turn')).toBe(false);
    expect(await artefacts.find('ReplayDetection', 'turn')).toMatchObject({ consumed: expect.any(Number) });
    expect(await artefacts.take('ConsoleCode', 'console-code')).toMatchObject({ console: 'headlamp', state: 'state' });
    expect(await artefacts.take('ConsoleCode', 'console-code')).toBeUndefined();
    const at = { position: { number: expect.any(Number) }, session: id('ofProvider') };
    expect(await artefacts.find('ConsoleCookie', 'console-cookie')).toMatchObject(at);
    expect(await artefacts.find('Drill', 'drill')).toMatchObject({ cluster: 'demo', session: id('ofProvider') });
  });

  it('the live audit log is read, and the subscription to it', async () => {
    const { entries } = await stage.store.live.read('0-0', 100);
    const lines = entries.filter(({ text }) => text !== undefined);
    expect(lines.length).toBeGreaterThan(0);
    for (const { text = '' } of lines) expect(JSON.parse(text)).toMatchObject({ kind: 'Event' });
    // The tail of that time is over by Redis' own clock, which is today's: it is given another hour.
    const [[tail, subscription] = ['', '']] = Object.entries(await stage.bare.hgetall(`${PREFIX}tails`));
    const [, ...rest] = subscription.split(' ');
    const [seconds] = await stage.bare.time();
    await stage.bare.hset(`${PREFIX}tails`, tail, [(Number(seconds) + 3600) * 1000, ...rest].join(' '));
    expect(JSON.stringify(await stage.store.live.subscriptions('test'))).toContain('"user":"demo:alice"');
  });

  it('what the previous key encrypted is read, and re-encrypted', async () => {
    const { sessions, sealed } = stage.store;
    expect(await sessions.read(id('olderKey'))).toMatchObject({ account: 'demo/dave' });
    const secret = { refreshToken: 'sealed by the key before' };
    expect(await sessions.readSecret(id('olderKey'))).toMatchObject(secret);
    await stage.bare.del(`${PREFIX}reseal`);
    expect(await sealed.reencrypt('test', async () => {})).toMatchObject({ kind: 'done', found: 2 });
    expect(await sealed.reencrypt('test', async () => {})).toEqual({ kind: 'done', found: 0 });
    expect(await sessions.readSecret(id('olderKey'))).toMatchObject(secret);
  });

  it('a field of a session that this version does not know is kept, and deleted with the session', async () => {
    if (change === undefined) return;
    const { sessions, log } = stage.store;
    const record = await soon(() => sessions.read(id('olderKey')));
    if (record === undefined) throw new Error('it is gone');
    const identity = { ...record.identity, groups: ['demo:others'] };
    await soon(() => sessions.update(record.id, { identity, secret: {} }));
    await soon(() => sessions.mint(record.id, {}));
    expect(await soon(() => sessions.read(record.id))).toMatchObject({
      [NEXT]: expect.anything(),
      version: 2,
      identity,
    });
    expect(await stage.bare.hget(`${PREFIX}session:${sessionDigest(record.id)}`, NEXT)).toBe('anything');
    const artefact = `${PREFIX}artefact:${NEXT}:of-a-session`;
    expect(await stage.bare.exists(artefact)).toBe(1);
    for (const session of Object.values(stage.known.sessions)) {
      const target = { kind: 'session', session: session.id } as const;
      await soon(() => log.append({ requestId: `end-${session.id}`, target }));
    }
    expect(await stage.bare.exists(artefact)).toBe(0);
  });

  it('there is nothing that cannot be read', () => {
    expect(stage.unreadable).toEqual([]);
  });
});

it('what a session stores of GitHub may have more fields than this version knows', () => {
  const packed = JSON.stringify({ accessToken: 'of GitHub', expiresAt: 1, ofNextVersion: { any: 'thing' } });
  expect(unpackTokens('github', packed)).toEqual({ accessToken: 'of GitHub', expiresAt: 1 });
});

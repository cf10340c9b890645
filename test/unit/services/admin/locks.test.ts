import { afterEach, describe, expect, test } from 'vitest';
import { alsoAt, API, post, remove } from '../../web/admin-at.ts';
import { revokedBy } from '../../web/admin/admin-pages-at.ts';
import { annotation, beginAt, browserAt, closeStages, openSession, PUBLIC_URL, signedInAs } from '../../web/harness.ts';

afterEach(closeStages);

const ALICE = 'corp/sub-alice';
const ENCODED = encodeURIComponent(ALICE);

describe('locks', () => {
  test('end the account’s sessions and reject its sign-ins until it is unlocked', async () => {
    const at = await signedInAs('root');
    await openSession(at.stage, 'alice-1', 'alice');
    const { body } = await post(at, 'locks', { account: ALICE, reason: 'INC-1' }).expect(200);
    expect(body).toMatchObject({ complete: true, sessions: 1, canSignInAgain: false });
    await expect(openSession(at.stage, 'alice-2', 'alice')).rejects.toThrow('account_locked');
    const { body: listed } = await at.browser.get(`${API}/locks`).expect(200);
    const lock = { account: ALICE, reason: 'INC-1', by: 'corp:root@example.com', at: '2026-11-25T12:00:00Z' };
    expect(listed).toEqual({ locks: [lock] });
    const gone = await remove(at, `locks/${ENCODED}?reason=INC-1%20closed`).expect(200);
    expect(gone.body).toEqual({ account: ALICE, locked: false });
    expect(await at.stage.store.locks.list()).toEqual([]);
    for (const event of ['revocation', 'lock'] as const) {
      const [line] = at.stage.named(event);
      expect([annotation(line, 'target'), annotation(line, 'reason')]).toEqual([`account:${ALICE}`, 'INC-1']);
    }
    const [unlocked] = at.stage.named('unlock');
    expect(unlocked).toMatchObject({ user: { username: 'corp:root@example.com' }, responseStatus: { code: 200 } });
    expect(annotation(unlocked, 'reason')).toBe('INC-1 closed');
    expect(annotation(unlocked, 'target')).toBe(`account:${ALICE}`);
  });

  test('are set by a revocation, also by one of a username', async () => {
    const at = await signedInAs('root');
    await openSession(at.stage, 'alice-1', 'alice');
    await post(at, 'revocations', { username: 'corp:alice@example.com', lock: true, reason: 'x' }).expect(200);
    expect(await at.stage.store.locks.find(ALICE)).toMatchObject({ reason: 'x' });
  });

  test('an admin may lock themself, and another admin unlocks them', async () => {
    const at = await signedInAs('root');
    const ann = await alsoAt(at.stage, 'ann');
    await post(at, 'locks', { account: 'corp/sub-root', reason: 'my laptop is gone' }).expect(200);
    await at.browser.get(`${API}/locks`).expect(401);
    await remove(ann, `locks/${encodeURIComponent('corp/sub-root')}?reason=found`).expect(200);
    expect(await at.stage.store.locks.list()).toEqual([]);
  });

  test.each([
    ['an account that is not locked', `locks/${ENCODED}?reason=x`, 404, 'lock_not_found', 'x'],
    ['no reason', `locks/${ENCODED}`, 400, 'bad_request', 'reason_malformed'],
    ['what is no account', 'locks/alice?reason=x', 400, 'bad_request', 'account_malformed'],
  ])('unlocking %s is rejected and audited', async (_what, path, status, code, reason) => {
    const at = await signedInAs('root');
    const { body } = await remove(at, path).expect(status);
    expect(body).toMatchObject({ code });
    const [event] = at.stage.named('unlock');
    expect(event?.responseStatus?.code).toBe(status);
    expect(annotation(event, 'reason')).toBe(reason);
  });

  test.each([
    ['a session', { session: 'x', reason: 'x' }],
    ['an account without a reason', { account: ALICE }],
    ['an account that has no provider', { account: 'alice', reason: 'x' }],
  ])('locking %s is 400 and audited as a lock', async (_what, body) => {
    const at = await signedInAs('root');
    await post(at, 'locks', body).expect(400);
    expect(annotation(at.stage.named('lock')[0], 'reason')).toBe('request_malformed');
    expect(await at.stage.store.locks.list()).toEqual([]);
  });

  test('are shown to auditors, who cannot change them', async () => {
    const at = await signedInAs('auditor');
    const root = await alsoAt(at.stage, 'root');
    await post(root, 'locks', { account: ALICE, force: true, reason: 'x' }).expect(200);
    expect((await at.browser.get(`${API}/locks`).expect(200)).body).toMatchObject({ locks: [{ account: ALICE }] });
    await post(at, 'locks', { account: ALICE, reason: 'x' }).expect(403);
    await remove(at, `locks/${ENCODED}?reason=x`).expect(403);
    expect(at.stage.named('admin-refused')).toHaveLength(2);
    expect((await at.browser.get('/admin/locks').expect(200)).text).not.toContain('/admin/unlock');
  });

  test('are shown on the page, which unlocks with a reason', async () => {
    const at = await signedInAs('root');
    await post(at, 'locks', { account: ALICE, force: true, reason: 'INC-<1>' }).expect(200);
    expect((await at.browser.get('/admin/locks').expect(200)).text).toContain('INC-&lt;1&gt;');
    const send = (body: object) =>
      at.browser
        .post('/admin/unlock')
        .type('form')
        .set('Origin', PUBLIC_URL)
        .send({ csrf: at.csrf, ...body });
    await send({ account: ALICE, reason: 'x', csrf: 'wrong' }).expect(403);
    await send({ account: ALICE, reason: '' }).expect(400);
    expect(await at.stage.store.locks.find(ALICE)).toBeDefined();
    await send({ account: ALICE, reason: 'INC-1 closed' }).expect(303);
    expect(await at.stage.store.locks.find(ALICE)).toBeUndefined();
    expect(at.stage.named('unlock').map((event) => event.responseStatus?.code)).toEqual([400, 200]);
  });

  test('are set by the page of a revocation when the box is ticked', async () => {
    const at = await signedInAs('root');
    const ask = await at.browser.get(`/admin/revoke?kind=account&value=${ENCODED}`).expect(200);
    expect(ask.text).toContain('name="lock"');
    expect((await at.browser.get('/admin/revoke?kind=all').expect(200)).text).not.toContain('name="lock"');
    await revokedBy(at, { kind: 'account', value: ALICE, lock: 'on', force: 'on' });
    expect(await at.stage.store.locks.find(ALICE)).toBeDefined();
  });
});

test('a user who is locked while at the provider’s page cannot sign in', async () => {
  const at = await signedInAs('root');
  const browser = browserAt(at.stage);
  const state = await beginAt(browser);
  await post(at, 'locks', { account: ALICE, force: true, reason: 'x' }).expect(200);
  const back = await browser.get(`/callback/corp?code=alice&state=${state}`).expect(303);
  const { status } = await browser.get(back.headers['location'] ?? '');
  expect(status).toBeGreaterThanOrEqual(400);
  expect(await at.stage.store.sessions.count()).toBe(1);
});

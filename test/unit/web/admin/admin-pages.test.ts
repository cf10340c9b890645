/** Which user sees which admin page, and that hostile names stay text. */
import { afterEach, describe, expect, test } from 'vitest';
import { AppError } from '../../../../src/core/errors.ts';
import { alsoAt, post } from '../admin-at.ts';
import { annotation, browserAt, closeStages, openStage, openSession, signedInAs, signIn } from '../harness.ts';
import { postForm, sendRevocation } from './admin-pages-at.ts';

afterEach(closeStages);

/**
 * Each page's path, the reason of its audit event (none where it shows no user), and a text that an admin finds on
 * it.
 */
const PAGES = [
  ['/admin', 'sessions', '/admin/revoke'],
  ['/admin/overview', 'overview', 'Needs attention'],
  ['/admin/accounts/corp%2Fsub-alice', 'account', '/admin/revoke'],
  ['/admin/sessions/alice-1', 'session', '/admin/revoke'],
  ['/admin/locks', 'locks', '/admin/unlock'],
  ['/admin/audit', 'audit_events', '<h1>Audit log</h1>'],
  ['/admin/drill', undefined, 'action="/admin/drill"'],
] as const;

describe.each(PAGES)('%s', (path, reason, found) => {
  test('sends an unknown user to sign in', async () => {
    const stage = await openStage();
    const { status, headers } = await browserAt(stage).get(path);
    expect([status, headers['location']]).toEqual([303, '/login?to=admin']);
  });

  test('is rejected and audited for a user without a role', async () => {
    const at = await signedInAs('alice');
    const page = await at.browser.get(path).expect(403);
    expect(page.text).not.toContain('corp/sub-');
    expect(annotation(at.stage.named('admin-refused')[0], 'reason')).toBe('no_role');
  });

  test('has nothing on it that an auditor could change, and says so', async () => {
    const at = await signedInAs('auditor');
    await openSession(at.stage, 'alice-1', 'alice');
    await post(await alsoAt(at.stage, 'root'), 'locks', { account: 'corp/locked', force: true, reason: 'x' }).expect(
      200,
    );
    const { text } = await at.browser.get(path).expect(200);
    expect(text).toContain('change nothing');
    const forms = [...text.matchAll(/<form[^>]*method="post"[^>]*>/g)].map(([form]) => form);
    expect(forms).toHaveLength(1);
    expect(forms[0]).toContain('action="/logout"');
    expect(text).not.toContain('/admin/revoke');
  });

  test('is complete for an admin, and the read is audited', async () => {
    const at = await signedInAs('root');
    await openSession(at.stage, 'alice-1', 'alice');
    await post(at, 'locks', { account: 'corp/locked', force: true, reason: 'x' }).expect(200);
    const { text } = await at.browser.get(path).expect(200);
    expect(text).toContain('aria-current="page"');
    expect(text).not.toContain('change nothing');
    expect(text).toContain(found);
    const reads = at.stage.named('admin-read').map((event) => annotation(event, 'reason'));
    expect(reads).toEqual(reason === undefined ? [] : [reason]);
  });
});

test.each([
  ['/admin/replicas', '/admin/overview#replicas'],
  ['/admin/health', '/admin/overview#clusters'],
])('%s, where a page once was, leads to %s', async (path, to) => {
  const at = await signedInAs('auditor');
  const { headers } = await at.browser.get(path).expect(303);
  expect(headers['location']).toBe(to);
  expect((await at.browser.get('/admin/overview')).text).toContain(`id="${to.split('#')[1]}"`);
});

test('a read that fails is audited with the status of its response, once', async () => {
  const at = await signedInAs('auditor');
  await at.browser.get('/admin/sessions/unknown').expect(404);
  at.stage.store.locks.list = () => Promise.reject(new AppError('store_unavailable', 'away'));
  await at.browser.get('/admin/overview').expect(503);
  const reads = at.stage.named('admin-read').map((read) => [read.responseStatus?.code, annotation(read, 'reason')]);
  expect(reads).toEqual([
    [404, 'session_not_found'],
    [503, 'store_unavailable'],
  ]);
});

test('a client that is not known cannot fill the audit log with reads that fail', async () => {
  const at = await signedInAs('auditor');
  const before = at.stage.events.length;
  // Any value of a cookie will do for that.
  at.stage.store.artefacts.find = () => Promise.reject(new AppError('store_unavailable', 'away'));
  at.stage.store.sessions.read = () => Promise.reject(new AppError('store_unavailable', 'away'));
  await at.browser.get('/admin').expect(503);
  expect(at.stage.events).toHaveLength(before);
});

describe('what changes something', () => {
  const changes = [
    ['/admin/revoke', { kind: 'session', value: 'alice-1', requestId: '1b4e28ba-2fa1-41d2-883f-0016d3cca427' }],
    ['/admin/unlock', { account: 'corp/sub-alice' }],
    ['/admin/lift-fresh-sign-in', { account: 'corp/sub-alice', since: '9999999999' }],
    ['/admin/drill', { cluster: 'staging' }],
  ] as const;

  test.each(changes)('%s is rejected and audited for an auditor', async (path, fields) => {
    const at = await signedInAs('auditor');
    await openSession(at.stage, 'alice-1', 'alice');
    await postForm(at, path, { reason: 'x', ...fields }).expect(403);
    expect(annotation(at.stage.named('admin-refused')[0], 'reason')).toBe('auditor_may_not_act');
    expect(await at.stage.store.sessions.read('alice-1')).toBeDefined();
  });

  test.each(changes)(
    '%s is rejected from a page of an earlier sign-in, and from another site',
    async (path, fields) => {
      const at = await signedInAs('root');
      await openSession(at.stage, 'alice-1', 'alice');
      await postForm({ ...at, csrf: 'of-an-earlier-sign-in' }, path, { reason: 'x', ...fields }).expect(403);
      await postForm(at, path, { reason: 'x', ...fields })
        .set('Origin', 'https://evil.example')
        .expect(403);
      const reasons = at.stage.named('admin-refused').map((event) => annotation(event, 'reason'));
      expect(reasons).toEqual(['csrf_token', 'foreign_origin']);
      expect(await at.stage.store.sessions.read('alice-1')).toBeDefined();
    },
  );

  test.each(changes)(
    '%s asks who has signed in too long ago to sign in again, and changes nothing',
    async (path, fields) => {
      const at = await signedInAs('root');
      await openSession(at.stage, 'alice-1', 'alice');
      at.stage.clock.advance(1000);
      const { text } = await postForm(at, path, { reason: 'x', ...fields }).expect(401);
      expect(text).toContain('href="/login/fresh?to=%2Fadmin%2F');
      expect(annotation(at.stage.named('admin-refused')[0], 'reason')).toBe('fresh_sign_in_needed');
      expect(await at.stage.store.sessions.read('alice-1')).toBeDefined();
    },
  );

  test('the confirmation page sends such an admin to sign in first, and keeps everything that was chosen', async () => {
    const at = await signedInAs('root');
    at.stage.clock.advance(1000);
    const asked = '/admin/revoke?kind=account&value=corp%2Fsub-alice&lock=on';
    const { headers } = await at.browser.get(asked).expect(303);
    const location = new URL(String(headers['location']), 'http://localhost');
    expect(location.pathname).toBe('/login/fresh');
    expect(location.searchParams.get('to')).toBe(asked);
  });
});

const SCRIPT = '<script>alert(1)</script>';

describe('names from outside', () => {
  test('a user agent with a script stays text', async () => {
    const at = await signedInAs('root');
    await signIn(browserAt(at.stage).set('User-Agent', SCRIPT), 'brief');
    const [session] = (await at.stage.store.sessions.list({ account: 'corp/sub-brief', limit: 1 })).sessions;
    for (const path of ['/admin', '/admin/accounts/corp%2Fsub-brief', `/admin/sessions/${session?.id}`]) {
      const { text } = await at.browser.get(path).expect(200);
      expect(text).not.toContain(SCRIPT);
      expect(text).toContain('&lt;script&gt;');
    }
  });

  test.each([
    ['/admin?search=', 'sessions'],
    ['/admin/audit?user=', 'record'],
    ['/admin/accounts/corp%2F', 'account'],
    ['/admin/drill?path=', 'drill'],
  ])('%s shows the parameter as text', async (path) => {
    const at = await signedInAs('root');
    const { text } = await at.browser.get(path + encodeURIComponent(`"'><b>x</b>`)).expect(200);
    expect(text).not.toContain('<b>x');
    expect(text).toContain('&lt;b&gt;');
  });

  test('a username that is written from right to left does not reverse the text around it', async () => {
    const at = await signedInAs('root');
    await openSession(at.stage, 'alice-1', 'alice');
    const session = await at.stage.store.sessions.read('alice-1');
    const username = `corp:\u202E${'x'.repeat(500)}`;
    const identity = { ...session?.identity, username, uid: '', groups: [], extra: {} };
    await at.stage.store.sessions.update('alice-1', { identity, secret: {} });
    for (const path of ['/admin', '/admin/accounts/corp%2Fsub-alice', '/admin/sessions/alice-1']) {
      expect((await at.browser.get(path).expect(200)).text).toContain(`<bdi>${username}</bdi>`);
    }
  });

  test.each([
    ['/admin/sessions/unknown', 404],
    ['/admin/sessions/..%2F..%2Fetc', 404],
    ['/admin/accounts/no-provider', 404],
    ['/admin/accounts/corp%2Fnever-seen', 200],
    ['/admin/revocations/00000000-0000-4000-8000-000000000000', 404],
    ['/admin?cursor=of-another-order', 400],
    ['/admin?idle=yesterday', 400],
    ['/admin?provider=nowhere', 400],
    ['/admin?sort=random', 400],
    ['/admin/locks?page=-1', 200],
    [`/admin?search=${'x'.repeat(201)}`, 400],
  ])('%s is %d', async (path, status) => {
    const at = await signedInAs('root');
    expect((await at.browser.get(path)).status).toBe(status);
  });

  test('the error for a value that cannot be revoked says what is wrong, without repeating it', async () => {
    const at = await signedInAs('root');
    const { text } = await sendRevocation(at, { kind: 'session', value: SCRIPT }).expect(400);
    expect(text).not.toContain('alert(1)');
    expect(annotation(at.stage.named('revocation')[0], 'reason')).toBe('revocation_malformed');
  });
});

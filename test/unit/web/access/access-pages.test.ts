/** What users and approvers see of access requests, and what a form of these pages changes. */
import { afterEach, describe, expect, test } from 'vitest';
import { termsOf } from '../../../../src/core/access/role.ts';
import { alsoAt } from '../admin-at.ts';
import { annotation, beginAt, browserAt, closeStages, locationOf, signedInAs } from '../harness.ts';
import { askedByAlice } from '../../../support/admin-access.ts';
import { only, ORDER, pageAt, post, requested, ROLE, startAccess, storedAt, textOf } from './access-at.ts';

afterEach(closeStages);

test('a user asks with the form of a role, for the terminal that they used last', async () => {
  const at = await startAccess('alice');
  const form = await pageAt(at, '/access?role=shop-admins');
  expect(textOf(form)).toContain('All of it must match INC-[0-9]+.*');
  expect(form).toMatch(/name="session" value="laptop" checked/);
  const path = await requested(at);
  expect(path).toMatch(/^\/access\/[\w-]{22}$/);
  expect(await only(at)).toMatchObject({ session: 'laptop', seconds: 1800, reason: 'INC-4711' });
  expect(textOf(await pageAt(at, path))).toMatch(/Your request for shop-admins Waiting 0 of 1 approvals/);
  expect(textOf(await pageAt(at, '/access'))).toContain('Waiting 0 of 1 approvals');
});

test('what is rejected is said on the form, with what was typed', async () => {
  const at = await startAccess('alice');
  const { text } = await post(at, '/access', { ...ORDER, reason: '"><script>no ticket' }).expect(400);
  expect(text).toMatch(
    /value="&quot;&gt;&lt;script&gt;no ticket"[^>]*aria-describedby="reason-error reason-hint" aria-invalid="true" autofocus/,
  );
  expect(textOf(text)).toContain(
    'This role needs a reason that matches “INC-[0-9]+.*”, from its beginning to its end.',
  );
  await post(at, '/access', { ...ORDER, session: '' }).expect(400);
  await post(at, '/access', { ...ORDER, seconds: '1e9' }).expect(400);
  expect(await storedAt(at)).toEqual([]);
  expect(at.stage.named('access-refused').map((event) => event.responseStatus?.code)).toEqual([400, 400, 400]);
});

test('an approver finds the request, sees all of it, and approves it', async () => {
  const alice = await startAccess('alice');
  const path = await requested(alice, { reason: 'INC-4711 <b>now</b>' });
  const root = await alsoAt(alice.stage, 'root');
  expect(textOf(await pageAt(root, '/access'))).toMatch(/For you to decide .*corp:alice@example.com.*Review/);
  const page = await pageAt(root, path);
  expect(textOf(page)).toMatch(/Reason, as they gave it INC-4711 &lt;b&gt;now&lt;\/b&gt;/);
  expect(textOf(page)).toMatch(/Groups granted:shop-admins Clusters prod For how long 30 min/);
  await post(root, `${path}/approve`).expect(303).expect('Location', path);
  expect((await only(alice)).state).toBe('granted');
  expect(textOf(await pageAt(root, path))).toContain('Granted 30 min left');
  alice.stage.clock.advance(1741);
  expect(textOf(await pageAt(alice, path))).toContain('Granted less than 1 min left');
  alice.stage.clock.advance(60);
  expect(textOf(await pageAt(alice, path))).toContain('Over its time was over');
});

test('what a colleague has decided meanwhile is shown, and changes nothing twice', async () => {
  const alice = await startAccess('alice');
  const path = await requested(alice);
  const [root, ann] = [await alsoAt(alice.stage, 'root'), await alsoAt(alice.stage, 'ann')];
  await post(root, `${path}/deny`, { reason: 'ask tomorrow' }).expect(303);
  const { text } = await post(ann, `${path}/approve`).expect(409);
  expect(textOf(text)).toMatch(
    /Denied This request was denied\. It must be asked for again\..*Denied by corp:root@example.com.*ask tomorrow/,
  );
  expect(text).not.toContain('/approve"');
  await post(root, `${path}/deny`, { reason: 'again' }).expect(409);
  expect(await only(alice)).toMatchObject({ state: 'denied', decisions: [{ reason: 'ask tomorrow' }] });
});

test('an approver whose sign-in is old is led to a fresh one, and back to the request', async () => {
  const alice = await startAccess('alice');
  const path = await requested(alice);
  const root = await alsoAt(alice.stage, 'root');
  const { stage, browser } = root;
  stage.clock.advance(1000);
  const fresh = `/login/fresh?to=${encodeURIComponent(path)}`;
  const page = await pageAt(root, path);
  expect(page).toContain(`href="${fresh}"`);
  expect(page).not.toContain('/approve"');
  const { text } = await post(root, `${path}/approve`).expect(401);
  expect(text).toContain(`href="${fresh}"`);
  expect((await only(alice)).state).toBe('open');
  stage.corp.authTime = Math.floor(stage.clock.nowMs() / 1000);
  const started = await browser.get(fresh).expect(303);
  expect(stage.corp.begun.at(-1)).toBe(true);
  const state = new URL(locationOf(started)).searchParams.get('state') ?? '';
  const back = await browser.get(`/callback/corp?code=root&state=${state}`).expect(303);
  await browser.get(locationOf(back)).expect(303).expect('Location', path);
  // Nothing was approved on the way.
  expect((await only(alice)).state).toBe('open');
  expect(await pageAt(root, path)).toContain('/approve"');
});

describe('signing in', () => {
  test('leads back to the request that a link was for', async () => {
    const alice = await startAccess('alice');
    const path = await requested(alice);
    const browser = browserAt(alice.stage);
    const target = path.replace('/access/', 'access:');
    await browser.get(path).expect(303).expect('Location', `/login?to=${target}`);
    const state = await beginAt(browser, 'corp', target);
    const back = await browser.get(`/callback/corp?code=root&state=${state}`).expect(303);
    expect(locationOf(await browser.get(locationOf(back)).expect(303))).toBe(path);
  });

  test.each([
    'access:short',
    `access:${'A'.repeat(23)}`,
    'access:../../evil.test/AAAAAA',
    `access://evil.test/${'A'.repeat(11)}`,
    'access:',
    'access/x',
  ])('leads to no other page: %s', async (to) => {
    const { stage } = await startAccess('alice');
    const browser = browserAt(stage);
    const state = await beginAt(browser, 'corp', encodeURIComponent(to));
    const back = await browser.get(`/callback/corp?code=root&state=${state}`).expect(303);
    expect(locationOf(await browser.get(locationOf(back)).expect(303))).toBe('/me');
  });
});

test('a grant is ended with a receipt, and an open request is withdrawn', async () => {
  const alice = await startAccess('alice');
  const root = await alsoAt(alice.stage, 'root');
  const path = await requested(alice);
  await post(root, `${path}/approve`).expect(303);
  const { text } = await post(alice, `${path}/end`).expect(200);
  expect(textOf(text)).toMatch(
    /Access ended .*Complete\. The grant gives nothing any more, at no replica\. Streams cut/,
  );
  await post(alice, `${path}/end`).expect(409);
  expect(textOf(await pageAt(alice, path))).toContain('Over ended by its user');
  const second = await requested(alice);
  await post(alice, `${second}/end`).expect(303).expect('Location', second);
  expect(textOf(await pageAt(alice, second))).toContain('Withdrawn');
});

test('others see nothing of it, auditors may only read, and no one decides about their own', async () => {
  const alice = await startAccess('alice');
  const path = await requested(alice);
  const brief = await alsoAt(alice.stage, 'brief');
  await pageAt(brief, path, 404);
  const auditor = await alsoAt(alice.stage, 'auditor');
  const page = await pageAt(auditor, path);
  expect(page).not.toMatch(/action="\/access\//);
  expect(annotation(alice.stage.named('admin-read').at(-1), 'target')).toBe(`grant:${path.slice('/access/'.length)}`);
  for (const action of ['approve', 'deny']) {
    await post(brief, `${path}/${action}`, { reason: 'x' }).expect(404);
    await post(auditor, `${path}/${action}`, { reason: 'x' }).expect(403);
  }
  const root = await alsoAt(alice.stage, 'root');
  const own = await requested(root, { session: 'desk' });
  expect(await pageAt(root, own)).not.toContain('/approve"');
  await post(root, `${own}/approve`).expect(403);
  expect((await storedAt(alice)).map(({ state }) => state)).toEqual(['open', 'open']);
});

test('a reason is shown as its user’s own text, whatever it contains', async () => {
  const alice = await startAccess('alice');
  // As no form lets it in: what is stored was let in by another version.
  const reason = `<script>alert(1)</script>\u{202E}devorppa\nApproved by corp:root ${'w'.repeat(440)}`;
  const path = `/access/${await askedByAlice(alice.stage, 'laptop', { terms: termsOf(ROLE), reason })}`;
  const root = await alsoAt(alice.stage, 'root');
  for (const page of [await pageAt(root, path), await pageAt(root, '/access')]) {
    expect(page).toContain(
      '<q class="quoted"><bdi>&lt;script&gt;alert(1)&lt;/script&gt;devorppaApproved by corp:root www',
    );
    expect(page).not.toMatch(/<script>alert|\u{202E}/v);
  }
});

test('nothing is decided by a GET, from another site, or without the token of the page', async () => {
  const alice = await startAccess('alice');
  const path = await requested(alice);
  const root = await alsoAt(alice.stage, 'root');
  for (const [action, fields] of [
    [`${path}/approve`, {}],
    [`${path}/deny`, { reason: 'x' }],
    [`${path}/end`, {}],
    ['/access', ORDER],
  ] as const) {
    if (action !== '/access') await root.browser.get(action).expect(404);
    await root.browser
      .post(action)
      .type('form')
      .send({ csrf: root.csrf, ...fields })
      .expect(403);
    await post({ ...root, csrf: 'A'.repeat(22) }, action, fields).expect(403);
  }
  expect(await storedAt(alice)).toHaveLength(1);
  expect((await only(alice)).state).toBe('open');
  expect(new Set(alice.stage.named('access-refused').map((event) => annotation(event, 'reason')))).toEqual(
    new Set(['foreign_origin', 'csrf_token']),
  );
});

test('where no roles are configured there is no link, and the page says so', async () => {
  const at = await signedInAs('alice');
  expect(await pageAt(at, '/me')).not.toContain('href="/access"');
  expect(textOf(await pageAt(at, '/access'))).toContain('There are no roles to ask for here');
  const without = await startAccess('alice', []);
  expect(textOf(await pageAt(without, '/access'))).toContain('There are no roles to ask for here');
  await post(without, '/access', ORDER).expect(200);
  expect(await storedAt(without)).toEqual([]);
  expect(await pageAt(await startAccess('alice'), '/me')).toContain('href="/access"');
});

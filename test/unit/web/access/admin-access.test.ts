/** What admins and auditors see of access requests. */
import { afterEach, expect, test } from 'vitest';
import { MOST_DAILY_OF_ACCOUNT } from '../../../../src/core/access/request.ts';
import { EXTRA_DOMAIN } from '../../../../src/core/core.ts';
import type { AuditEvent } from '../../../../src/core/audit/event.ts';
import { receiptBody } from '../../../../src/web/admin/receipt-page.ts';
import { eventLine } from '../../../../src/web/admin/audit-lines.ts';
import { SHOP_ADMINS } from '../../../support/admin-access.ts';
import { alsoAt } from '../admin-at.ts';
import { annotation, closeStages, signedInAs } from '../harness.ts';
import { only, pageAt, post, requested, startAccess, textOf } from './access-at.ts';

afterEach(closeStages);

test('the history has every request, by account, role and state, and each read is audited', async () => {
  const alice = await startAccess('alice');
  await requested(alice);
  for (const who of ['root', 'auditor']) {
    const at = await alsoAt(alice.stage, who);
    expect(textOf(await pageAt(at, '/admin/access'))).toMatch(
      /corp:alice@example.com corp\/sub-alice shop-admins .* Waiting/,
    );
    const none = ['account=corp%2Fsub-root', 'role=other', 'state=denied'];
    for (const query of none) expect(await pageAt(at, `/admin/access?${query}`)).toContain('No request matches.');
    await pageAt(at, '/admin/access?state=unknown', 400);
    await pageAt(at, '/admin/access?account=alice', 400);
  }
  const read = alice.stage.named('admin-read').findLast((event) => annotation(event, 'reason') === 'access_requests');
  expect(annotation(read, 'filter')).toBe('{"state":"denied"}');
  const { browser } = alice;
  await browser.get('/admin/access').expect(403);
});

test('the page of a user has their grants and what waits, and nothing that is over', async () => {
  const alice = await startAccess('alice', [SHOP_ADMINS]);
  const path = await requested(alice);
  const auditor = await alsoAt(alice.stage, 'auditor');
  const shown = async (account: string): Promise<string> =>
    textOf(await pageAt(auditor, `/admin/accounts/corp%2F${account}`));
  expect(await shown('sub-alice')).toMatch(/waiting requests: 1 .* Waiting/);
  const root = await alsoAt(alice.stage, 'root');
  expect(textOf(await pageAt(root, '/admin/accounts/corp%2Fsub-alice'))).toContain(
    ' with 1 grant or request, and cuts',
  );
  expect(await shown('sub-root')).toContain('No grant is active, and no request waits.');
  const { access } = alice.stage.store;
  const stored = await access.find((await only(alice)).id);
  if (stored === undefined) throw new Error('nothing was requested');
  await access.begin(stored, { ...stored.request, state: 'granted' }, 60);
  // As many as they may ask for in a day.
  for (let more = 1; more < MOST_DAILY_OF_ACCOUNT; more += 1) {
    const id = `${'A'.repeat(19)}${String(more).padStart(3, '0')}`;
    const made = await access.create({ ...stored.request, id });
    if (!made.ok) throw new Error(`${more}: ${made.reason}`);
    await access.change(made.stored, { ...made.stored.request, state: 'withdrawn' });
  }
  expect(await shown('sub-alice')).toMatch(/waiting requests: 1 .* Granted/);
  await post(alice, `${path}/end`).expect(200);
  expect(await shown('sub-alice')).toContain('No grant is active, and no request waits.');
});

test('where there are no access requests, there is no tab for them', async () => {
  const root = await signedInAs('root');
  expect(await pageAt(root, '/admin')).not.toContain('/admin/access');
  await pageAt(root, '/admin/access', 404);
});

test('an admin who is no approver ends a grant, and does not approve', async () => {
  const alice = await startAccess('alice', [SHOP_ADMINS]);
  const path = await requested(alice);
  const root = await alsoAt(alice.stage, 'root');
  expect(await pageAt(root, path)).not.toMatch(/action="\/access\//);
  await post(root, `${path}/approve`).expect(403);
  const { access } = alice.stage.store;
  const stored = await access.find((await only(alice)).id);
  if (stored === undefined) throw new Error('nothing was requested');
  await access.begin(stored, { ...stored.request, state: 'granted' }, 60);
  expect(await pageAt(root, path)).toContain(`action="${path}/end"`);
  const { text } = await post(root, `${path}/end`, { reason: 'INC-4712' }).expect(200);
  expect(textOf(text)).toContain('Complete.');
});

test('the receipt of a grant’s end says what was granted', async () => {
  const alice = await startAccess('alice');
  await requested(alice);
  const now = new Date(alice.stage.clock.nowMs()).toISOString();
  const result = { id: 'r-1', epoch: 'e', number: 1, complete: true, sessions: 0, streamsClosed: 1, elapsedMs: 3 };
  const receipt = { ...result, at: now, canSignInAgain: true, replicas: [] };
  const page = receiptBody(receipt, { followed: false, mayAct: true, granted: await only(alice) }).toString();
  expect(textOf(page)).toMatch(
    /What was granted Role shop-admins User corp:alice@example.com Groups granted:shop-admins/,
  );
  expect(page).not.toContain('They can sign in again');
});

test('a request that was made with grants is marked with each of them', () => {
  const event = (facts: Readonly<Record<string, string>>): AuditEvent =>
    ({
      auditID: 'a-1',
      stage: 'ResponseComplete',
      stageTimestamp: '2026-11-25T12:00:00.000000Z',
      verb: 'get',
      requestURI: '/api',
      user: {},
      sourceIPs: [],
      annotations: Object.fromEntries(Object.entries(facts).map(([name, value]) => [`${EXTRA_DOMAIN}/${name}`, value])),
    }) as unknown as AuditEvent;
  const line = eventLine(event({ 'grant-id': `${'A'.repeat(22)} "><b>` })).toString();
  expect(line).toContain(`<a class="badge" href="/access/${'A'.repeat(22)}">granted AAAAAAAA</a>`);
  expect(line).toContain('href="/access/%22%3E%3Cb%3E">granted &quot;&gt;&lt;b&gt;</a>');
  expect(eventLine(event({ event: 'access-begun', 'grant-id': 'x' })).toString()).not.toContain('granted');
});

/** What the pages of sessions say of grants. */
import { afterEach, expect, test } from 'vitest';
import { OPEN_SECONDS, type AccessRequest } from '../../../../src/core/access/request.ts';
import { termsOf } from '../../../../src/core/access/role.ts';
import { alsoAt } from '../admin-at.ts';
import { closeStages } from '../harness.ts';
import { pageAt, startAccess, textOf, type AccessAt } from './access-at.ts';
import { ROLE } from './access-in-memory.ts';

afterEach(closeStages);

const ID = 'G'.repeat(22);

/** alice's session at a terminal has the role for half an hour. */
async function granted(): Promise<AccessAt> {
  const alice = await startAccess('alice');
  const { store, clock } = alice.stage;
  const now = Math.floor(clock.nowMs() / 1000);
  const request: AccessRequest = {
    id: ID,
    session: 'laptop',
    account: 'corp/sub-alice',
    provider: 'corp',
    username: 'corp:alice@example.com',
    knownAs: ['alice@example.com'],
    terms: termsOf({ ...ROLE, approval: 'none' }),
    reason: 'INC-4711',
    seconds: 1800,
    requestedAt: now,
    openUntil: now + OPEN_SECONDS,
    address: '203.0.113.7',
    state: 'granted',
    decisions: [],
  };
  const written = await store.access.create(request, { grantSeconds: 1800 });
  if (!written.ok) throw new Error(`not granted: ${written.reason}`);
  alice.access.requests.set(ID, written.stored.request);
  return alice;
}

test('My sessions has each grant, the time left, and a button that ends it', async () => {
  const alice = await granted();
  alice.stage.clock.advance(61);
  const page = await pageAt(alice, '/me');
  expect(textOf(page)).toMatch(
    /Granted to you for a while Access requests Role .* shop-admins access:shop-admins prod kubectl portcullis on Linux 29 min left End/,
  );
  expect(page).toContain(`action="/access/${ID}/end"`);
  expect(page).toMatch(/title="granted for a while">shop-admins</);
  alice.stage.clock.advance(1800);
  expect(await pageAt(alice, '/me')).not.toContain('Granted to you for a while');
});

test('the page of a session names its grants, to its user and to admins', async () => {
  const alice = await granted();
  const root = await alsoAt(alice.stage, 'root');
  for (const page of [await pageAt(alice, '/me/sessions/laptop'), await pageAt(root, '/admin/sessions/laptop')]) {
    expect(textOf(page)).toContain('Granted for a while shop-admins 30 min left');
    expect(page).toContain(`href="/access/${ID}"`);
  }
});

test('another user’s session has no grant, and so says nothing of any', async () => {
  const alice = await granted();
  const root = await alsoAt(alice.stage, 'root');
  expect(textOf(await pageAt(root, '/me'))).not.toContain('shop-admins');
});

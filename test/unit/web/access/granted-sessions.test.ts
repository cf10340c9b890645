/** What the pages of sessions say of grants. */
import { afterEach, expect, test } from 'vitest';
import { termsOf } from '../../../../src/core/access/role.ts';
import { alsoAt } from '../admin-at.ts';
import { askedByAlice } from '../../../support/admin-access.ts';
import { closeStages, type AdminAt } from '../harness.ts';
import { pageAt, ROLE, startAccess, textOf } from './access-at.ts';

afterEach(closeStages);

const ID = 'G'.repeat(22);

/** alice's session at a terminal has the role for half an hour. */
async function granted(): Promise<AdminAt> {
  const alice = await startAccess('alice');
  await askedByAlice(alice.stage, 'laptop', { id: ID, terms: termsOf({ ...ROLE, approval: 'none' }) }, 1800);
  return alice;
}

test('My sessions has each grant, the time left, and a button that ends it', async () => {
  const alice = await granted();
  alice.stage.clock.advance(61);
  const page = await pageAt(alice, '/me');
  expect(textOf(page)).toMatch(
    /Granted to you for a while Access requests Role .* shop-admins granted:shop-admins prod kubectl portcullis on Linux 29 min left End/,
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

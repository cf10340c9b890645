/** What the pages of sessions say of grants. */
import { afterEach, expect, test, vi } from 'vitest';
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

test('Now says to an admin which break-glass role is in use and what waits for them, and Access leads to all', async () => {
  const alice = await granted();
  await askedByAlice(alice.stage, 'laptop', { id: 'W'.repeat(22) });
  const root = await alsoAt(alice.stage, 'root');
  const now = async (): Promise<string> => {
    const page = await pageAt(root, '/admin/overview');
    return textOf(page.slice(page.indexOf('Needs attention'), page.indexOf('class="figures"')));
  };
  const waits = 'For you 1 access request waits for you to decide.';
  expect(await now()).toContain(`${waits} Break-glass corp:alice@example.com has shop-admins now, without approval.`);
  const auditor = textOf(await pageAt(await alsoAt(alice.stage, 'auditor'), '/admin/overview'));
  expect(auditor).toContain('Break-glass corp:alice@example.com');
  expect(auditor).not.toContain('For you 1');
  const { access } = alice.stage.store;
  const page = { ...(await access.activePage()), cursor: 'more' };
  const endless = vi.spyOn(access, 'activePage').mockResolvedValue(page);
  expect(await now()).toContain('Not finished More grants are active than were looked at');
  // And one for what waits for root, with the grants that they may end.
  expect(endless).toHaveBeenCalledTimes(4 + 1);
  endless.mockRestore();
  alice.stage.clock.advance(1801);
  expect(await now()).toContain(waits);
  expect(await now()).not.toContain('Break-glass');
  expect(await pageAt(root, '/access')).toContain('href="/admin/access"');
  expect(await pageAt(alice, '/access')).not.toContain('href="/admin/access"');
});

test('another user’s session has no grant, and so says nothing of any', async () => {
  const alice = await granted();
  const root = await alsoAt(alice.stage, 'root');
  expect(textOf(await pageAt(root, '/me'))).not.toContain('shop-admins');
});

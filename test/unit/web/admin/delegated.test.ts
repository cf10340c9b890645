/** What admins see of delegated sessions. */
import { DELEGATION } from '../../../support/delegation-settings.ts';
import { afterEach, expect, test } from 'vitest';
import { openDelegated } from '../delegated.ts';
import { closeStages, openSession, signedInAs, type AdminAt, type StageOptions } from '../harness.ts';

afterEach(closeStages);

/** alice's laptop has claude beneath it, with a reviewer beneath that, and her desktop has nothing. */
async function startDelegations(options: StageOptions = {}): Promise<AdminAt> {
  const at = await signedInAs('root', options);
  for (const id of ['laptop', 'desktop']) await openSession(at.stage, id, 'alice');
  await openDelegated(at.stage, 'claude-1', 'laptop');
  await openDelegated(at.stage, 'reviewer-1', 'claude-1', { actor: { name: 'reviewer' }, sourceCidrs: ['10.0.0.0/8'] });
  return at;
}

const textAt = async ({ browser }: AdminAt, path: string): Promise<string> =>
  (await browser.get(path).expect(200)).text;

/** The sessions of the tables, in their order, with how deep each is beneath another one. */
const listed = (text: string): readonly string[] =>
  [...text.matchAll(/<tr(?: class="beneath beneath-(\d)")?>\s*<td[^]*?<\/tr>/g)].map(
    ([row, level = '']) => `${/href="\/admin\/sessions\/([\w-]+)"[^>]*>(?!delegated)/.exec(row)?.[1] ?? ''}${level}`,
  );

test('the list has them beneath what they are from, and narrows to them', async () => {
  const at = await startDelegations();
  expect(listed(await textAt(at, '/admin?search=alice'))).toEqual(['desktop', 'laptop', 'claude-11', 'reviewer-12']);
  const narrowed = await textAt(at, '/admin?delegated=true&actor=reviewer&ancestor=laptop');
  expect(listed(narrowed)).toEqual(['reviewer-1']);
  // The next search keeps the session, which has no field to type it in.
  expect(narrowed).toContain('<input type="hidden" name="ancestor" value="laptop" />');
  for (const chip of ['Delegated: <strong>Yes<', 'Actor: <strong>reviewer<', 'Beneath session: <strong>laptop<']) {
    expect(narrowed).toContain(chip);
  }
  expect(narrowed).toContain('href="/admin/sessions/claude-1">delegated</a>');
  expect(listed(await textAt(at, '/admin?delegated=false&search=alice'))).toEqual(['desktop', 'laptop']);
});

test('a user’s page counts them apart, and as many as there are never displace the user’s own', async () => {
  const at = await startDelegations();
  for (let number = 0; number < 30; number += 1) await openDelegated(at.stage, `agent-${number}`, 'desktop');
  const text = await textAt(at, '/admin/accounts/corp%2Fsub-alice');
  expect(text).toContain('Sessions: 2 sessions, 20 delegated');
  expect(listed(text)[0]).toBe('desktop');
  expect(listed(text).at(-1)).toBe('laptop');
  expect(text).toContain('href="/admin?search=corp%2Fsub-alice&amp;delegated=true"');
});

test('a session’s page has its actors, rights and parents, and what is beneath it', async () => {
  const at = await startDelegations();
  const own = await textAt(at, '/admin/sessions/laptop');
  expect(own).toContain('Delegated from it: 2 sessions');
  expect(listed(own)).toEqual(['claude-1', 'reviewer-11']);
  expect(own).toContain('href="/admin?ancestor=laptop"');
  const text = await textAt(at, '/admin/sessions/reviewer-1');
  expect(text).toContain('Delegated to <bdi>claude/reviewer</bdi>');
  expect(text).toContain('- preset: read-only\n  namespaces: [shop]\n- preset: read-only');
  for (const id of ['laptop', 'claude-1']) expect(text).toContain(`href="/admin/sessions/${id}"><code>${id}</code>`);
  expect(text).toContain('<dd>10.0.0.0/8</dd>');
  expect(text).not.toContain('Delegated from it');
});

test('a session may use only the clusters that it was delegated for', async () => {
  const at = await startDelegations();
  await openSession(at.stage, 'of-root', 'root');
  await openDelegated(at.stage, 'prod-agent', 'of-root', { clusters: ['prod', 'unknown'] });
  const clusters = /May use<\/dt>\s*<dd>([^]*?)<\/dd>/.exec(await textAt(at, '/admin/sessions/prod-agent'))?.[1] ?? '';
  expect([...clusters.matchAll(/badge">([^<]+)</g)].map(([, name]) => name)).toEqual(['prod']);
});

test('the confirmation of a revocation names what ends with a session', async () => {
  const at = await startDelegations();
  const text = await textAt(at, '/admin/revoke?kind=session&value=laptop');
  expect(text).toContain('<strong>3 sessions</strong>, 2 of them delegated');
  expect(text).toMatch(/Delegated sessions that end with it:\s*<strong><bdi>claude\/reviewer<.*<bdi>claude</);
  expect(listed(text)).toEqual(['laptop', 'claude-11', 'reviewer-12']);
  expect(await textAt(at, '/admin/revoke?kind=session&value=desktop')).not.toContain('elegated');
});

test.each([
  [{ enabled: false }, /class="state quiet">off<(?![^]*<dl)/],
  [{ groups: [] }, /class="state quiet">off<[^]*Who may delegate<\/dt>\s*<dd>no one</],
  [{ most: 'read-only', lifetime: 5400 }, /class="state ok">on<[^]*read-only, without Secrets[^]*90 min at most/],
  [{ groups: ['<b>'], clusters: ['prod'] }, /class="state ok">on<[^]*&lt;b&gt;[^]*badge">prod</],
] as const)('the page Now shows %j', async (change, shown) => {
  const delegation = { ...DELEGATION, ...change };
  const at = await startDelegations({ config: { delegation } });
  expect(/<h2 id="delegation">[^]*?<\/section>/.exec(await textAt(at, '/admin/overview'))?.[0]).toMatch(shown);
});

test.each([
  ['claude-1', 'They can sign in again by themselves.'],
  ['laptop', 'Their next sign-in must be a fresh one.'],
])('the page that asks before %s is revoked says what that asks of its user', async (session, says) => {
  const at = await startDelegations();
  expect(await textAt(at, `/admin/revoke?kind=session&value=${session}`)).toContain(says);
});

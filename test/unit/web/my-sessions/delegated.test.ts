/** What users see of their delegated sessions. */
import { afterEach, expect, test } from 'vitest';
import { openDelegated } from '../delegated.ts';
import { annotation, closeStages, openSession, PUBLIC_URL, signedInAs, type AdminAt } from '../harness.ts';

afterEach(closeStages);

/** alice's laptop has claude beneath it, with a registered reviewer beneath that. */
async function startDelegations(): Promise<AdminAt> {
  const at = await signedInAs('alice');
  await openSession(at.stage, 'laptop', 'alice');
  await openDelegated(at.stage, 'claude-1', 'laptop');
  await openDelegated(at.stage, 'reviewer-1', 'claude-1', { actor: { name: 'reviewer', registered: true } });
  return at;
}

const textAt = async ({ browser }: AdminAt, path: string): Promise<string> =>
  (await browser.get(path).expect(200)).text;

const post = ({ browser, csrf }: AdminAt, path: string) =>
  browser.post(path).type('form').set('Origin', PUBLIC_URL).send({ csrf });

/** The rows of the first table as a reader has them. */
const rowsOf = (text: string): readonly string[] =>
  [...(/<tbody>[^]*?<\/tbody>/.exec(text)?.[0] ?? '').matchAll(/<tr[^]*?<\/tr>/g)].map(([row]) =>
    row
      .replaceAll(/<[^>]*>/g, ' ')
      .replaceAll(/\s+/g, ' ')
      .trim(),
  );

test('delegated sessions are beneath the session that they are from, with actor, rights, clusters and end', async () => {
  const at = await startDelegations();
  const rows = rowsOf(await textAt(at, '/me'));
  expect(rows).toEqual([
    expect.stringMatching(/^portcullis on Linux .* Sign out…$/),
    expect.stringMatching(
      /^Delegated from portcullis on Linux: claude delegated read-only in shop, on staging; ends 25 Nov .* End…$/,
    ),
    expect.stringMatching(/^Delegated from claude: claude\/reviewer registered client read-only in shop.* End$/),
    expect.stringMatching(/this browser .* Sign out$/),
  ]);
});

test('more delegated sessions than are shown never take the places of the user’s own', async () => {
  const at = await signedInAs('alice');
  await openSession(at.stage, 'laptop', 'alice');
  for (let number = 0; number < 60; number += 1) await openDelegated(at.stage, `agent-${number}`, 'laptop');
  const text = await textAt(at, '/me');
  expect(rowsOf(text)[0]).toMatch(/^portcullis on Linux .* Sign out…$/);
  expect(rowsOf(text).at(-1)).toContain('this browser');
  expect(text).toContain('There are more delegated sessions');
  const page = await textAt(at, '/me/sessions/laptop');
  expect(page).toContain('and 40 more');
  expect(page).toContain('There are more than these beneath it; all of them end.');
});

test('a session’s page names what ends with it, and its end ends all of it', async () => {
  const at = await startDelegations();
  const page = await textAt(at, '/me/sessions/laptop');
  expect(page).toMatch(/These delegated sessions end with it:\s*<strong><bdi>claude\/reviewer<.*<bdi>claude</);
  expect(page).toContain('>Sign out of 3 sessions</button>');
  const { text } = await post(at, '/me/sessions/laptop/end').expect(200);
  expect(text).toContain('Complete.');
  expect(text).toMatch(
    /Delegated sessions among them<\/dt>\s*<dd>(?:claude, claude\/reviewer|claude\/reviewer, claude)</,
  );
  for (const id of ['laptop', 'claude-1', 'reviewer-1']) expect(await at.stage.store.sessions.read(id)).toBeUndefined();
});

test('a delegated session’s page has its rights and requests; its end asks for no fresh sign-in', async () => {
  const at = await startDelegations();
  const request = { auditId: 'r-1', cluster: 'staging', verb: 'list', uri: '/api/v1/pods', resource: 'pods' };
  const recent = { ...request, at: at.stage.clock.nowMs(), code: 403, reason: 'beyond_delegation', address: '' };
  await at.stage.store.recent.add('claude-1', [recent]);
  for (const path of ['/me', '/me/sessions/claude-1']) {
    expect(await textAt(at, path)).toMatch(/by <strong><bdi>claude<\/bdi><\/strong\s*>:/);
  }
  const page = await textAt(at, '/me/sessions/claude-1');
  expect(page).toContain('- preset: read-only\n  namespaces: [shop]');
  expect(page).toContain('href="/me/sessions/laptop"');
  await post(at, '/me/sessions/claude-1/end').expect(200);
  expect(annotation(at.stage.named('logout').at(-1), 'target')).toBe('session:claude-1');
  expect(await at.stage.store.sessions.read('reviewer-1')).toBeUndefined();
  expect(await at.stage.store.sessions.read('laptop')).toBeDefined();
  expect(await at.stage.store.freshSignIns.find('corp/sub-alice')).toBeUndefined();
});

test('all other sessions are ended once each: those beneath another one with it', async () => {
  const at = await startDelegations();
  const asked = await textAt(at, '/me/end-others');
  expect(asked).toContain('<strong>3 sessions</strong>, 2 of them delegated');
  const { text } = await post(at, '/me/end-others').expect(200);
  expect(text).toContain('3 ended');
  expect(at.stage.named('logout').map((event) => annotation(event, 'target'))).toEqual(['session:laptop']);
});

test('the page of another user’s session is not found', async () => {
  const at = await startDelegations();
  await openSession(at.stage, 'of-root', 'root');
  await openDelegated(at.stage, 'agent-of-root', 'of-root');
  for (const id of ['of-root', 'agent-of-root', 'unknown']) {
    const { status, text } = await at.browser.get(`/me/sessions/${id}`);
    expect([status, text.includes('There is no such session of yours')]).toEqual([404, true]);
  }
});

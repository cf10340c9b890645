/** The list of sessions, whose whole state is in its URL. */
import { afterEach, describe, expect, test } from 'vitest';
import type { SessionRecord } from '../../../../src/store/store.ts';
import { annotation, closeStages, openSession, signedInAs, type AdminAt } from '../harness.ts';

afterEach(closeStages);

async function textAt(at: AdminAt, path: string): Promise<string> {
  return (await at.browser.get(path).expect(200)).text;
}

/** Returns the ids of the listed sessions, in their order. */
const listed = (text: string): readonly string[] =>
  [...text.matchAll(/href="\/admin\/sessions\/([\w-]+)"/g)].map(([, id]) => id ?? '');

const linkNamed = (text: string, label: string): string => {
  const link = new RegExp(`href="([^"]+)"[^>]*>${label}<`).exec(text)?.[1] ?? '';
  return link.replaceAll('&amp;', '&');
};

async function openMany(at: AdminAt, count: number): Promise<void> {
  for (let number = 0; number < count; number += 1) {
    at.stage.clock.advance(1);
    await openSession(at.stage, `s-${String(number).padStart(3, '0')}`, 'alice', `corp/many-${number}`);
  }
}

describe('the list of sessions', () => {
  test('finds a text in upper or lower case, and has a link that removes the search', async () => {
    const at = await signedInAs('root');
    await openSession(at.stage, 'alice-1', 'alice');
    await openSession(at.stage, 'brief-1', 'brief');
    const text = await textAt(at, '/admin?search=ALICE');
    expect(listed(text)).toEqual(['alice-1']);
    expect(text).toContain('value="ALICE"');
    expect(text).toContain('1 on this page; 3 sessions in all.');
    expect(annotation(at.stage.named('admin-read')[0], 'filter')).toBe('{"search":"ALICE"}');
  });

  test('filters by provider, cluster and idle time, and each filter can be removed by itself', async () => {
    const at = await signedInAs('root');
    await openSession(at.stage, 'alice-1', 'alice');
    expect(listed(await textAt(at, '/admin?cluster=prod'))).not.toContain('alice-1');
    expect(listed(await textAt(at, '/admin?cluster=staging'))).toContain('alice-1');
    expect(listed(await textAt(at, '/admin?provider=lab'))).toEqual([]);
    at.stage.clock.advance(1000);
    const text = await textAt(at, '/admin?search=alice&idle=15m&sort=oldest');
    expect(listed(text)).toEqual(['alice-1']);
    expect(text).toContain('href="/admin?idle=15m&amp;sort=oldest"');
    expect(text).toContain('href="/admin?search=alice&amp;sort=oldest"');
    expect(linkNamed(text, 'Clear all')).toBe('/admin?sort=oldest');
  });

  test('shows one page at a time, and keeps the filters on the next page', async () => {
    const at = await signedInAs('root');
    await openMany(at, 30);
    const first = await textAt(at, '/admin?search=many&sort=oldest');
    expect(listed(first)).toHaveLength(25);
    expect(listed(first)[0]).toBe('s-000');
    const next = linkNamed(first, 'More');
    expect(next).toContain('search=many');
    expect(next).toContain('sort=oldest');
    const second = await textAt(at, next);
    expect(listed(second)).toEqual(['s-025', 's-026', 's-027', 's-028', 's-029']);
    expect(linkNamed(second, 'First page')).toBe('/admin?search=many&sort=oldest');
    await at.browser.get(next.replace('oldest', 'newest')).expect(400);
  });

  test('says that there is more where a page is empty', async () => {
    const at = await signedInAs('root', {
      change: (deps) => {
        deps.store.sessions.list = async () => ({ sessions: [] as readonly SessionRecord[], cursor: 'further' });
        return deps;
      },
    });
    const text = await textAt(at, '/admin?search=rare');
    expect(text).toContain('There are more.');
    expect(linkNamed(text, 'Continue')).toBe('/admin?search=rare&cursor=further');
  });

  test('tells a search without a match from a server without sessions', async () => {
    const at = await signedInAs('root');
    expect(await textAt(at, '/admin?search=unknown')).toContain('None of the 1 live session matches.');
    const empty = await signedInAs('root', {
      change: (deps) => {
        deps.store.sessions.list = async () => ({ sessions: [] as readonly SessionRecord[] });
        deps.store.sessions.count = async () => 0;
        return deps;
      },
    });
    expect(await textAt(empty, '/admin')).toContain('No user is signed in: there is no live session.');
  });

  test('ignores empty fields, as a form sends them', async () => {
    const at = await signedInAs('root');
    expect(await textAt(at, '/admin?search=&provider=&cluster=&idle=&sort=')).toContain('1 session in all.');
  });
});

describe('a user’s page', () => {
  test('has all their sessions and the lock, and an unlock leads back to it', async () => {
    const at = await signedInAs('root');
    await openSession(at.stage, 'alice-1', 'alice');
    await openSession(at.stage, 'alice-2', 'alice');
    const text = await textAt(at, '/admin/accounts/corp%2Fsub-alice');
    expect(listed(text).toSorted()).toEqual(['alice-1', 'alice-2']);
    expect(text).toContain('name="value" value="corp/sub-alice"');
    expect(text).toContain('name="lock" value="on" checked');
    expect(annotation(at.stage.named('admin-read')[0], 'target')).toBe('account:corp/sub-alice');
  });

  test('is shown when the latest requests cannot be read', async () => {
    const at = await signedInAs('root', {
      change: (deps) => {
        deps.store.recent.read = () => Promise.reject(new Error('away'));
        return deps;
      },
    });
    await openSession(at.stage, 'alice-1', 'alice');
    expect(await textAt(at, '/admin/accounts/corp%2Fsub-alice')).toContain('cannot be read right now');
  });

  test('shows the latest requests of all their sessions', async () => {
    const at = await signedInAs('root');
    await openSession(at.stage, 'alice-1', 'alice');
    const request = {
      at: at.stage.clock.nowMs(),
      auditId: 'a-1',
      cluster: 'staging',
      verb: 'delete',
      uri: '/api/v1/namespaces/payments/pods/web-0',
      resource: 'pods',
      namespace: 'payments',
      name: 'web-0',
      code: 403,
      address: '203.0.113.7',
    };
    await at.stage.store.recent.add('alice-1', [request, { ...request, auditId: 'a-2', code: 200, open: true }]);
    for (const path of ['/admin/accounts/corp%2Fsub-alice', '/admin/sessions/alice-1']) {
      const text = await textAt(at, path);
      expect(text).toContain('web-0');
      expect(text).toContain('403');
      expect(text).toMatch(/200<\/span>\s*<span class="small muted">open</);
      expect(text).toContain('href="/admin/audit?auditId=a-2"');
    }
  });
});

test('the sessions of a user are beneath one another, their name is said once, and an order that was chosen is kept', async () => {
  const at = await signedInAs('root');
  for (const [id, user] of [
    ['alice-1', 'alice'],
    ['root-1', 'root'],
    ['alice-2', 'alice'],
  ] as const) {
    at.stage.clock.advance(1);
    await openSession(at.stage, id, user);
  }
  const order = async (path: string): Promise<readonly string[]> =>
    [...(await textAt(at, path)).matchAll(/href="\/admin\/sessions\/((?:alice|root)-\d)"/g)].map(([, id = '']) => id);
  expect(await order('/admin')).toEqual(['alice-2', 'alice-1', 'root-1']);
  expect(await order('/admin?sort=oldest')).toEqual(['alice-1', 'root-1', 'alice-2']);
  expect((await textAt(at, '/admin')).match(/class="strong" href="\/admin\/accounts\/corp%2Fsub-alice"/g)).toHaveLength(
    1,
  );
});

test('the search is on every page, and leads on where no session matches', async () => {
  const at = await signedInAs('auditor');
  for (const path of ['/me', '/admin/audit', '/admin/sessions/unknown']) {
    expect(await at.browser.get(path).then(({ text }) => text)).toMatch(/class="find" action="\/admin" role="search"/);
  }
  const none = await textAt(at, '/admin?search=corp%2Fsub-mallory');
  expect(none).toContain('href="/admin/accounts/corp%2Fsub-mallory"');
  expect(none).toContain('href="/admin/audit?since=7d&amp;user=corp%2Fsub-mallory"');
  const id = '3f2504e0-4f89-41d3-9a0c-0305e82c3301';
  expect(await textAt(at, `/admin?search=${id}`)).toContain(`href="/admin/audit?since=7d&amp;auditId=${id}"`);
  const alice = await signedInAs('alice');
  expect((await alice.browser.get('/me')).text).not.toContain('role="search"');
});

test('revoking all users is a link of its own, and an empty field never means all of them', async () => {
  const at = await signedInAs('root');
  const text = await textAt(at, '/admin');
  const form = /<form[^>]*action="\/admin\/revoke"[^]*?<\/form>/.exec(text)?.[0] ?? '';
  expect(form).toMatch(/<input[^>]*name="value"[^>]*required/);
  expect(form).not.toContain('value="all"');
  const confirm = await textAt(at, linkNamed(text, 'Revoke all users…'));
  expect(confirm).toContain('You are about to end every session of all users, including your own. All open');
  for (const kind of ['account', 'username', 'provider', 'session']) {
    await at.browser.get(`/admin/revoke?kind=${kind}&value=`).expect(400);
  }
});

/** The past on the audit page, and on a user's page after a revocation. */
import { createMemoryStore } from '../../../../src/store/memory/memory.ts';
import { createLiveTails } from '../../../../src/audit/live/live-tails.ts';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { createAuditHistory, type AuditHistory } from '../../../../src/audit/audit.ts';
import { encodeLine } from '../../../../src/audit/encode-line.ts';
import type { History, HistoryBounds } from '../../../../src/audit/query/history.ts';
import { auditTime } from '../../../../src/core/audit/moment.ts';
import { AppError } from '../../../../src/core/errors.ts';
import type { AuditEvent } from '../../../../src/core/audit/event.ts';
import { aFolder, anEvent, range } from '../../audit/fixtures.ts';
import { annotation, closeStages, openSession, signedInAs, type AdminAt } from '../harness.ts';
import { sendRevocation } from './admin-pages-at.ts';

afterEach(closeStages);

const NOW = Date.parse('2026-11-25T12:00:00Z');

const minutesAgo = (minutes: number, change: Partial<AuditEvent> = {}): AuditEvent =>
  anEvent({
    auditID: `before-${minutes}`,
    requestReceivedTimestamp: auditTime(NOW - minutes * 60_000),
    stageTimestamp: auditTime(NOW - minutes * 60_000),
    ...change,
  });

async function withFile(
  events: readonly AuditEvent[],
  limits: { searches?: number; ms?: number } = {},
): Promise<AdminAt> {
  const path = join(await aFolder(), 'audit.log');
  await writeFile(path, events.map((event) => encodeLine(event).toString()).join(''));
  const history = createAuditHistory([{ type: 'file', path }], limits);
  if (history === undefined) throw new Error('there is a file sink');
  return signedInAs('root', { change: (deps) => ({ ...deps, history }) });
}

/** The lines of the page, as a reader has them. */
const linesOn = (text: string): readonly string[] =>
  [...text.matchAll(/<div class="line-row">([\s\S]*?)<\/div>/g)].map(([, line = '']) =>
    line
      .replaceAll(/<[^>]*>/g, ' ')
      .replaceAll(/\s+/g, ' ')
      .trim(),
  );

test('leaves out the reads of its reader, who may ask for them, and not those of others', async () => {
  const read = (account: string): AuditEvent =>
    minutesAgo(1, {
      auditID: account,
      verb: `admin-read of ${account}`,
      annotations: { 'portcullis.dev/event': 'admin-read', 'portcullis.dev/account': account },
    });
  const at = await withFile([read('corp/sub-root'), read('corp/vera')]);
  const shown = async (query: string): Promise<readonly string[]> =>
    linesOn((await at.browser.get(`/admin/audit${query}`).expect(200)).text)
      .flatMap((line) => /admin-read of (\S+)/.exec(line)?.[1] ?? [])
      .toSorted();
  expect(await shown('')).toEqual(['corp/vera']);
  for (const query of ['?reads=own', '?event=admin-read'])
    expect(await shown(query)).toEqual(['corp/sub-root', 'corp/vera']);
  expect(at.stage.named('admin-read').map((event) => annotation(event, 'account'))).toContain('corp/sub-root');
});

test('opens with the past in the range and with the filters of its URL, and the read is audited', async () => {
  const alice = { username: 'corp:alice' };
  const at = await withFile([
    minutesAgo(2000),
    minutesAgo(30, { verb: 'watch', stage: 'ResponseStarted' }),
    minutesAgo(20, { user: { username: 'corp:root' }, impersonatedUser: alice, responseStatus: { code: 403 } }),
    minutesAgo(10, {
      annotations: {
        'portcullis.dev/session': 's-1',
        'portcullis.dev/account': 'corp/gone',
        'portcullis.dev/actor': '<b>claude',
      },
    }),
  ]);
  const { text } = await at.browser.get('/admin/audit').expect(200);
  expect(linesOn(text)).toEqual([
    expect.stringMatching(/^25 Nov 2026, 11:50:00 corp:alice via &lt;b&gt;claude listed /),
    '25 Nov 2026, 11:40:00 corp:root as corp:alice tried to list /api/v1/namespaces/default/pods 403 192.0.2.7 before-2',
    '25 Nov 2026, 11:30:00 corp:alice began to watch /api/v1/namespaces/default/pods 200 open 192.0.2.7 before-3',
  ]);
  const filtered = await at.browser.get('/admin/audit?since=7d&refused=true').expect(200);
  expect(linesOn(filtered.text)).toHaveLength(1);
  expect(filtered.text).toContain('/admin/api/v1/audit/events.jsonl?refused=true&amp;since=7d');
  const typed = await at.browser.get('/admin/audit?q=as:corp:alice+verb:read').expect(200);
  expect(linesOn(typed.text)).toHaveLength(1);
  expect(typed.text).toMatch(/name="q"\s+value="as:corp:alice verb:get,list,watch"/);
  // A mistyped bookmark is no evidence.
  for (const query of ['username=corp:alice', 'q=corp:alice', 'q=bob&verb=get']) {
    const { text: mistyped } = await at.browser.get(`/admin/audit?${query}`).expect(400);
    expect([linesOn(mistyped), mistyped.includes('role="alert"')]).toEqual([[], true]);
  }
  const singular = await at.browser.get('/admin/audit?resource=secret').expect(200);
  expect(singular.text).toContain('The audit log has the plural');
  const malformed = await at.browser.get('/admin/audit?since=yesterday&verb=get').expect(400);
  expect(malformed.text).toContain('since: a time such as');
  expect(malformed.text).toMatch(/name="verb"\s+value="get"/);
  const reads = at.stage
    .named('admin-read')
    .map((event) => [event.responseStatus?.code, annotation(event, 'reason'), annotation(event, 'filter')]);
  expect(reads).toEqual([
    [200, 'audit_events', '{}'],
    [200, 'audit_events', '{"refused":"true","since":"7d"}'],
    [200, 'audit_events', '{"as":"corp:alice","verb":"get,list,watch"}'],
    ...Array.from({ length: 3 }, () => [400, 'query_malformed', undefined]),
    [200, 'audit_events', '{"resource":"secret"}'],
    [400, 'query_malformed', undefined],
  ]);
  const ofActor = await at.browser.get('/admin/audit?actor=%3Cb%3Eclaude').expect(200);
  expect(linesOn(ofActor.text)).toHaveLength(1);
  // Of a session that has ended, the user's page has it from the same files.
  const ofUser = await at.browser.get('/admin/accounts/corp%2Fgone').expect(200);
  expect(ofUser.text).toContain('by <strong><bdi>&lt;b&gt;claude</bdi>');
});

test('leads to older events without losing one, and to the whole of one request', async () => {
  const begun = minutesAgo(8, { auditID: 'before-7', stage: 'RequestReceived' });
  const at = await withFile([
    ...range(113).map((n) => minutesAgo(120 - n)),
    begun,
    ...range(7).map((n) => minutesAgo(7 - n)),
  ]);
  const ids = new Set<string>();
  let path: string | undefined = '/admin/audit';
  for (let pages = 0; path !== undefined && pages < 10; pages += 1) {
    const { text }: { readonly text: string } = await at.browser.get(path).expect(200);
    for (const [, id = ''] of text.matchAll(/data-event="(\S+) /g)) ids.add(id);
    path = /href="([^"]*until=[^"]*)">Older/.exec(text)?.[1]?.replaceAll('&amp;', '&');
  }
  expect(ids.size).toBe(120);
  const one = await at.browser.get('/admin/audit?auditId=before-7').expect(200);
  expect(linesOn(one.text)).toEqual([expect.stringContaining('200'), expect.stringContaining('no outcome')]);
  expect(one.text).toContain('&quot;auditID&quot;: &quot;before-7&quot;');
  // Its outcome may be on the page in front.
  const older = await at.browser.get('/admin/audit?until=2026-11-25T11:52:30Z').expect(200);
  expect(linesOn(older.text)[0]).toMatch(/11:52:00 .* begun 192/);
});

test('shows what a client wrote as text', async () => {
  const at = await withFile([minutesAgo(1, { auditID: '"><b>', requestURI: '/<script>', verb: '<i>' })]);
  const { text } = await at.browser.get('/admin/audit').expect(200);
  expect(text).not.toMatch(/<script>|<b>|<i>/);
  expect(text).toContain('&lt;i&gt; /&lt;script&gt;');
});

test('says where there is no file, and shows the latest requests that the store has', async () => {
  const at = await signedInAs('root');
  await openSession(at.stage, 'alice-1', 'alice');
  const request = { at: NOW, auditId: 'a-1', cluster: 'prod', verb: 'get', uri: '/', code: 200, address: '' };
  await at.stage.store.recent.add('alice-1', [
    { ...request, resource: 'pods/log' },
    { ...request, auditId: 'a-2', resource: 'secrets', code: 403 },
  ]);
  const page = async (query: string) => (await at.browser.get(`/admin/audit${query}`).expect(200)).text;
  expect(await page('')).toContain('No replica has an audit file');
  expect(await page('?resource=pods')).toMatch(/pods\/log(?![\s\S]*secrets)/);
  expect(await page('?refused=true')).not.toContain('pods/log');
  expect(await page('?user=corp:unknown')).not.toContain('pods/log');
  expect(await page('?session=alice-1&account=corp/sub-alice')).toContain('pods/log');
  expect(await page('?session=alice-1&account=corp/sub-root')).not.toContain('pods/log');
  expect(await page('?session=alice-1&user=corp:root@example.com')).not.toContain('pods/log');
  expect(await page('?account=corp/sub-alice&user=corp:root@example.com')).not.toContain('pods/log');
  at.stage.store.sessions.list = () => Promise.reject(new AppError('store_unavailable', 'away'));
  expect(await page('')).toContain('The requests cannot be read right now');
});

test('is a page all the same while other searches run, and nothing is audited as read', async () => {
  const at = await withFile([minutesAgo(1)], { searches: 0, ms: 1 });
  expect((await at.browser.get('/admin/audit').expect(200)).text).toContain(
    'Other searches of the audit log are running',
  );
  expect(at.stage.named('admin-read').map((event) => annotation(event, 'reason'))).toEqual(['too_many_requests']);
});

test('has the live view read what is written while the search waits for other replicas', async () => {
  const clocks: { advance(seconds: number): void }[] = [];
  // Its own files are read at once; another replica that does not answer is waited for.
  const search: AuditHistory['search'] = () => {
    clocks[0]?.advance(4);
    return Promise.resolve({ hits: [], unreadable: 0 });
  };
  const at = await signedInAs('root', {
    change: (deps) => ({
      ...deps,
      history: { search },
      tails: createLiveTails(createMemoryStore({ clock: deps.clock }).live),
    }),
  });
  clocks.push(at.stage.clock);
  const asked = at.stage.clock.nowMs();
  const { text } = await at.browser.get('/admin/audit').expect(200);
  const since = /data-missed="[^"]*since=([^&"]+)/.exec(text)?.[1] ?? '';
  expect(Date.parse(decodeURIComponent(since))).toBeLessThan(asked);
});

test('searches only as long as the client waits, so that a page which is loaded again does not wait for the first', async () => {
  const begun = Promise.withResolvers<NonNullable<HistoryBounds['isAbandoned']>>();
  const ended = Promise.withResolvers<undefined>();
  const search: AuditHistory['search'] = (_reader, _query, { isAbandoned }) => {
    if (isAbandoned !== undefined) begun.resolve(isAbandoned);
    return ended.promise;
  };
  const at = await signedInAs('root', { change: (deps) => ({ ...deps, history: { search } }) });
  const page = at.browser.get('/admin/audit');
  const left = page.then(
    () => undefined,
    () => undefined,
  );
  const isAbandoned = await begun.promise;
  expect(isAbandoned()).toBe(false);
  page.abort();
  await vi.waitUntil(isAbandoned);
  ended.resolve(undefined);
  await left;
});

describe('a user’s latest requests', () => {
  const facts = { 'portcullis.dev/account': 'corp/sub-alice', 'portcullis.dev/session': 'alice-1' };
  const evidence = minutesAgo(90, { annotations: facts, requestURI: '/api/v1/evidence' });
  const USER = '/admin/accounts/corp%2Fsub-alice';

  test('stay on their page after a revocation, whatever else they have done since then', async () => {
    const signIns = range(40).map((n) =>
      minutesAgo(60 - n, { annotations: { ...facts, 'portcullis.dev/event': 'sign-in' } }),
    );
    const at = await withFile([evidence, ...signIns]);
    await openSession(at.stage, 'alice-1', 'alice');
    await sendRevocation(at, { kind: 'account', value: 'corp/sub-alice' });
    const { text } = await at.browser.get(USER).expect(200);
    expect(text).toContain('This account has no live session.');
    expect(text).toContain('/api/v1/evidence');
    expect(text).not.toContain('may be missing');
  });

  test('are on the first page of their sessions only, so that the others search nothing', async () => {
    const at = await withFile([evidence]);
    for (let n = 0; n < 16; n += 1) await openSession(at.stage, `alice-${n}`, 'alice');
    const { text } = await at.browser.get(USER).expect(200);
    const next = /href="([^"]*cursor=[^"]*)"/.exec(text)?.[1] ?? '';
    expect(text).toContain('Latest requests');
    expect((await at.browser.get(next).expect(200)).text).not.toContain('Latest requests');
  });

  test('are not said to be none where discovery took the place of what was read', async () => {
    const discovery = range(101).map((n) => {
      const { objectRef: _none, ...event } = minutesAgo(80 - n / 2, { annotations: facts, verb: 'get' });
      return { ...event, auditID: `discovery-${n}`, requestURI: `/apis/apps/v1?k=${n}` };
    });
    const at = await withFile([evidence, ...discovery]);
    const { text } = await at.browser.get(USER).expect(200);
    expect(text).not.toContain('No requests yet');
    expect(text).toContain('so requests may be missing');
  });

  test.each([
    ['of the file of one replica less was read', 30, true],
    ['of all files more was read', 70, false],
  ])('may be missing although there are enough to show: %s', async (_what, reached, isMissing) => {
    const hits = range(30).map((n) => {
      const event = minutesAgo(31 + n, { auditID: `old-${n}`, annotations: facts });
      return { event, text: encodeLine(event).toString(), time: event.stageTimestamp };
    });
    const { stageTimestamp } = minutesAgo(reached);
    const found: History = { hits, stopped: 'time', reached: stageTimestamp, unreadable: 0, searched: ['a', 'b'] };
    const at = await signedInAs('root', { change: (deps) => ({ ...deps, history: { search: async () => found } }) });
    const { text } = await at.browser.get(USER).expect(200);
    expect(text.includes('so requests may be missing')).toBe(isMissing);
  });

  test('may be missing where the files cannot be searched now, and the page says so', async () => {
    const at = await withFile([evidence], { searches: 0, ms: 1 });
    expect((await at.browser.get(USER).expect(200)).text).toContain('The search of the audit files ended at its limit');
  });
});

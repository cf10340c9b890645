/** What an admin looks at first. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { createAuditHistory } from '../../../../src/audit/audit.ts';
import type { History } from '../../../../src/audit/query/history.ts';
import { encodeLine } from '../../../../src/audit/encode-line.ts';
import { auditTime } from '../../../../src/core/audit/moment.ts';
import type { ComponentHealth } from '../../../../src/contracts/health.ts';
import type { WebDeps } from '../../../../src/web/dependencies.ts';
import { aFolder, anEvent, range } from '../../audit/fixtures.ts';
import { closeStages, openSession, signedInAs } from '../harness.ts';

afterEach(closeStages);

const NOW = Date.parse('2026-11-25T12:00:00Z');

async function textWith(change: (deps: WebDeps) => Partial<WebDeps>): Promise<string> {
  const at = await signedInAs('root', { change: (deps) => ({ ...deps, ...change(deps) }) });
  await openSession(at.stage, 'alice-1', 'alice');
  return (await at.browser.get('/admin/overview').expect(200)).text;
}

/** The value of a figure. */
const figureOf = (text: string, label: string): string =>
  new RegExp(`>${label}</a></dt>\\s*<dd>([^<]*)<`).exec(text)?.[1] ?? '';

const minutesAgo = (minutes: number, event: string) =>
  anEvent({
    auditID: `${event}-${minutes}`,
    verb: event,
    stageTimestamp: auditTime(NOW - minutes * 60_000),
    responseStatus: { code: event === 'get' ? 403 : 200 },
    annotations: event === 'get' ? {} : { 'portcullis.dev/event': event, 'portcullis.dev/reason': 'INC-4711' },
  });

test('counts sessions, replicas and rejections, and shows the last revocations with links', async () => {
  const path = join(await aFolder(), 'audit.log');
  const events = [
    minutesAgo(300, 'revocation'),
    minutesAgo(90, 'get'),
    ...range(120).map((n) => minutesAgo(50 - n / 4, 'get')),
  ];
  await writeFile(path, events.map((event) => encodeLine(event).toString()).join(''));
  const history = createAuditHistory([{ type: 'file', path }]);
  const text = await textWith(() => (history === undefined ? {} : { history }));
  expect(figureOf(text, 'Sessions')).toBe('2');
  expect(figureOf(text, 'Replicas serving')).toBe('1 of 1');
  expect(figureOf(text, 'Rejected in the last hour')).toBe('100+');
  expect(text).toContain('revocation [INC-4711]');
  expect(text).toContain('href="/admin/audit?auditId=revocation-300"');
  expect(text).toContain('every replica has a valid lease');
});

test('says of no revocation that there was none where only drills were read', async () => {
  const path = join(await aFolder(), 'audit.log');
  const drills = range(60).map((n) => ({ ...minutesAgo(50 - n / 4, 'revocation'), requestURI: '/admin/drill' }));
  const lines = [minutesAgo(60, 'revocation'), ...drills].map((event) => encodeLine(event).toString());
  await writeFile(path, lines.join(''));
  const history = createAuditHistory([{ type: 'file', path }]);
  const text = await textWith(() => (history === undefined ? {} : { history }));
  expect(text).not.toContain('No revocation in 30 days');
  expect(text).toContain('The search ended at its limit before it found one');
});

test('says that newer ones may be missing where one replica was not searched that far', async () => {
  const hits = [1, 2, 3, 4, 5].map((minutes) => {
    const event = minutesAgo(minutes, 'revocation');
    return { event, text: encodeLine(event).toString(), time: event.stageTimestamp };
  });
  const textOf = async (reached: number): Promise<string> => {
    const found: History = { hits, stopped: 'time', reached: auditTime(NOW - reached * 60_000), unreadable: 0 };
    const text = await textWith(() => ({ history: { search: async () => found } }));
    return text.slice(text.indexOf('Last revocations'), text.indexOf('Last rejections'));
  };
  expect(await textOf(4)).toContain('Not finished');
  expect(await textOf(6)).not.toContain('Not finished');
});

test('says what needs attention', async () => {
  const down: ComponentHealth = { name: 'prod', state: 'down', checkedAt: NOW / 1000, problem: 'it does not respond' };
  const text = await textWith(({ guard }) => ({
    health: { clusters: async () => [down], providers: async () => [] },
    guard: new Proxy(guard, {
      get: (target, name) => {
        if (name === 'replicas')
          return [
            { id: 'gone', incarnation: 'x', self: false, state: 'fenced', seenMsAgo: 9, number: 1, streamsCut: 0 },
          ];
        const value: unknown = Reflect.get(target, name);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    }),
  }));
  expect(text).toMatch(/>gone<\/a> is fenced/);
  expect(text).toMatch(/>prod<\/a>: it does not respond/);
  expect(figureOf(text, 'Replicas serving')).toBe('0 of 1');
  expect(text).toMatch(/state bad">unhealthy<[^]*it does not respond[^]*Identity providers/);
});

test('says which revocations failed in the last day', async () => {
  const attention = async (minutes: number): Promise<string> => {
    const event = { ...minutesAgo(minutes, 'revocation'), responseStatus: { code: 503 } };
    const found: History = {
      hits: [{ event, text: '', time: event.stageTimestamp }],
      reached: event.stageTimestamp,
      unreadable: 0,
    };
    const text = await textWith(() => ({ history: { search: async () => found } }));
    return text.slice(text.indexOf('Needs attention'), text.indexOf('class="figures"'));
  };
  expect(await attention(5)).toMatch(
    /Not revoked<[^]*href="\/admin\/audit\?auditId=revocation-5">a revocation failed</,
  );
  expect(await attention(25 * 60)).not.toContain('Not revoked');
});

test('is a page while a cluster does not respond, and where there is no audit file', async () => {
  const never = new Promise<never>(() => undefined);
  const text = await textWith(() => ({ health: { clusters: () => never, providers: async () => [] } }));
  expect(text).toContain('still being checked');
  expect(text).toContain('No audit file can be searched now');
  expect(figureOf(text, 'Rejected in the last hour')).toBe('–');
});

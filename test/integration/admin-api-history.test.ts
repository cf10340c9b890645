/** The audit log of the past over the admin API, in the files of the replica that responds. */
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer, get, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, onTestFinished, test } from 'vitest';
import { createAuditHistory, type AuditHistory } from '../../src/audit/audit.ts';
import { encodeLine } from '../../src/audit/encode-line.ts';
import { auditTime } from '../../src/core/audit/moment.ts';
import type { AuditEvent } from '../../src/core/audit/event.ts';
import { aFolder, anEvent, range } from '../unit/audit/fixtures.ts';
import { API } from '../unit/web/admin-at.ts';
import { cookiesOf } from '../unit/web/cookies.ts';
import { annotation, closeStages, signedInAs, type AdminAt } from '../unit/web/harness.ts';

const NOW = Date.parse('2026-11-25T12:00:00Z');

afterEach(closeStages);

/** An event so many minutes before the stage's clock. */
const minutesAgo = (minutes: number, change: Partial<AuditEvent> = {}): AuditEvent =>
  anEvent({ auditID: `before-${minutes}`, stageTimestamp: auditTime(NOW - minutes * 60_000), ...change });

async function startStage(
  events: readonly AuditEvent[],
  user = 'root',
  change: (history: AuditHistory | undefined) => AuditHistory | undefined = (history) => history,
): Promise<AdminAt> {
  const path = join(await aFolder(), 'audit.log');
  await writeFile(path, events.map((event) => encodeLine(event).toString()).join(''));
  const history = change(createAuditHistory([{ type: 'file', path }]));
  return signedInAs(user, { change: (deps) => (history === undefined ? deps : { ...deps, history }) });
}

const search = ({ browser }: AdminAt, query = '') => browser.get(`${API}/audit/events${query}`);

const idsOf = (body: unknown): readonly string[] =>
  (body as { readonly events: readonly AuditEvent[] }).events.map(({ auditID }) => auditID);

describe('a search of the audit log', () => {
  test.each(['root', 'auditor'])(
    'shows %s the last day, newest first, and is audited with its filter',
    async (user) => {
      const at = await startStage([minutesAgo(2000), minutesAgo(30), minutesAgo(10, { verb: 'delete' })], user);
      const { body } = await search(at).expect(200);
      expect(idsOf(body)).toEqual(['before-10', 'before-30']);
      expect(body).toMatchObject({ complete: true, unreadable: 0 });
      expect(idsOf((await search(at, '?verb=delete&since=7d')).body)).toEqual(['before-10']);
      expect(idsOf((await search(at, '?since=7d&until=20m')).body)).toEqual(['before-30', 'before-2000']);
      expect((await search(at, '?limit=1')).body).toMatchObject({ complete: false, stopped: 'events' });
      const read = at.stage.named('admin-read').find((event) => annotation(event, 'filter')?.includes('delete'));
      expect([annotation(read, 'reason'), annotation(read, 'filter')]).toEqual([
        'audit_events',
        '{"verb":"delete","since":"7d"}',
      ]);
    },
  );

  test('can be downloaded as the lines of the file, oldest first', async () => {
    const begun = minutesAgo(9, { stage: 'RequestReceived', auditID: 'one' });
    const events = [minutesAgo(10), begun, minutesAgo(8, { auditID: 'one' })];
    const at = await startStage(events);
    const response = await at.browser.get(`${API}/audit/events.jsonl`).responseType('blob').expect(200);
    expect(String(response.body)).toBe(events.map((event) => encodeLine(event).toString()).join(''));
    expect(response.headers).toMatchObject({
      'content-type': 'application/x-ndjson; charset=utf-8',
      'content-disposition': 'attachment; filename="audit-2026-11-25T12-00-00.jsonl"',
      'cache-control': 'no-store',
    });
    expect(annotation(at.stage.named('admin-read')[0], 'reason')).toBe('audit_export');
  });

  test('says in the name of the download that only the newest part is in it', async () => {
    const at = await startStage(range(10_001).map((n) => minutesAgo(60 - n / 1000)));
    const { headers } = await at.browser.get(`${API}/audit/events.jsonl`).responseType('blob');
    expect(headers['content-disposition']).toContain('-newest-part.jsonl"');
  });

  test('ends with the revocation of its user, whatever of it they have not read yet', async () => {
    const at = await startStage(range(9500).map((n) => minutesAgo(60 - n / 1000, { userAgent: 'x'.repeat(1000) })));
    const server = createServer(at.stage.web.app).listen(0, '127.0.0.1');
    await once(server, 'listening');
    onTestFinished(() => void server.close());
    const { port } = server.address() as AddressInfo;
    const asked = get({
      port,
      path: `${API}/audit/events.jsonl`,
      headers: { cookie: cookiesOf(at.browser) },
      agent: false,
    });
    const [response] = (await once(asked, 'response')) as [IncomingMessage];
    asked.on('error', () => undefined);
    const receipt = await at.stage.guard.revoke({ target: { kind: 'account', account: 'corp/sub-root' } });
    expect(receipt).toMatchObject({ complete: true, streamsClosed: 1 });
    let bytes = 0;
    response.on('data', (chunk: Buffer) => (bytes += chunk.length));
    const [error] = (await once(response, 'error')) as [NodeJS.ErrnoException];
    expect(error.code).toBe('ECONNRESET');
    expect(bytes).toBeLessThan(Number(response.headers['content-length']));
    expect(at.stage.guard.inFlight).toBe(0);
  });

  test.each(['audit/events', 'audit/events.jsonl'])('%s is for admins and auditors alone', async (path) => {
    const at = await startStage([minutesAgo(10)], 'alice');
    await at.browser.get(`${API}/${path}`).expect(403);
    expect(annotation(at.stage.named('admin-refused')[0], 'reason')).toBe('no_role');
  });

  test.each([
    'since=yesterday',
    'until=2026-02-30',
    'limit=501',
    'auditId=%20',
    'cluster=crop',
    'code=403&refused=true',
  ])('rejects %s', async (query) => {
    const at = await startStage([]);
    const { body } = await search(at, `?${query}`).expect(400);
    expect(body).toMatchObject({ code: 'bad_request' });
  });

  test('waits where others run, and says where there is no file', async () => {
    const busy = await startStage([minutesAgo(1)], 'root', () =>
      createAuditHistory([{ type: 'file', path: '/x' }], { searches: 0, ms: 1 }),
    );
    const waiting = await search(busy).expect(429);
    expect(waiting.body).toMatchObject({ code: 'too_many_requests' });
    expect(waiting.headers['retry-after']).toBe('3');
    const at = await startStage([], 'root', () => undefined);
    expect((await search(at).expect(404)).body).toMatchObject({ code: 'not_found' });
  });
});

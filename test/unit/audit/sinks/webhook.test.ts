import { createHash } from 'node:crypto';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { ppid } from 'node:process';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import type { SinkGap, WebhookSinkSettings } from '../../../../src/audit/audit.ts';
import { encodeLine } from '../../../../src/audit/encode-line.ts';
import type { RequestLimits } from '../../../../src/audit/sinks/webhook.ts';
import { openSinks } from '../../../../src/audit/sinks/sinks.ts';
import type { LineSink, SinkLimits } from '../../../../src/audit/sinks/sink.ts';
import { Collector } from '../../../support/audit-collector.ts';
import { aFolder, anEvent, Counts, LogLines, numbered, range } from '../fixtures.ts';

const LIMITS: SinkLimits = {
  queueBytes: 16 * 1024 * 1024,
  retryMs: 2,
  retryMaxMs: 10,
  stallMs: 1000,
  closeTimeoutMs: 5000,
};
/** For a sink that still fails when its test ends: nothing more can be delivered. */
const SHORT_CLOSE = { closeTimeoutMs: 50 };
const PATIENT = { timeout: 15_000 };
/** The machine may be busy with other things. */
vi.setConfig({ testTimeout: 30_000 });

class Stage {
  readonly metrics = new Counts();
  readonly log = new LogLines();
  readonly gaps: SinkGap[] = [];
  readonly sink: LineSink;

  constructor(
    collector: Pick<Collector, 'url'>,
    settings: Partial<WebhookSinkSettings> = {},
    limits: Partial<SinkLimits> = {},
    requests: Partial<RequestLimits> = {},
  ) {
    const webhook = { type: 'webhook', url: collector.url, ...settings } as const;
    const { metrics, log, gaps } = this;
    const onGap = (gap: SinkGap) => gaps.push(gap);
    const parts = {
      limits: { ...LIMITS, ...limits },
      requests: { waitMs: 20, ...requests },
      metrics,
      logger: log,
      onGap,
    };
    const [sink] = openSinks([webhook], parts);
    if (sink === undefined) throw new Error('no sink');
    this.sink = sink;
    onTestFinished(() => sink.close());
  }

  push(numbers: readonly number[]): void {
    for (const n of numbers) this.sink.push(encodeLine(chained(n)), { position: { chain: CHAIN, seq: n } });
  }

  said(): string {
    return this.log.lines
      .map(({ message, fields }) => `${message} ${String(fields['err'])} ${JSON.stringify(fields)}`)
      .join('\n');
  }
}

const CHAIN = 'c-1';
const chained = (n: number) =>
  anEvent({ auditID: `event-${n}`, annotations: { 'portcullis.dev/chain': CHAIN, 'portcullis.dev/seq': String(n) } });
const ids = (numbers: readonly number[]): string[] => numbers.map((n) => `event-${n}`);

/** Both ways of a webhook: what is true of one is true of the other. */
describe.each([
  ['in memory', async () => ({})],
  ['with a spool', async () => ({ spoolDir: await aFolder() })],
])('a webhook %s', (_, aPlace: () => Promise<Partial<WebhookSinkSettings>>) => {
  it('gets an EventList of whole events, in order, several to a request', async () => {
    const collector = await Collector.start();
    const stage = new Stage(collector, await aPlace(), {}, { events: 40 });
    stage.push(range(100));
    await vi.waitFor(() => expect(collector.taken).toEqual(ids(range(100))), PATIENT);
    expect(collector.asked.length).toBeLessThan(10);
    for (const { body, auditIds, headers } of collector.asked) {
      expect(JSON.parse(body)).toMatchObject({ kind: 'EventList', apiVersion: 'audit.k8s.io/v1', metadata: {} });
      expect(auditIds.length).toBeLessThanOrEqual(40);
      expect(headers['content-type']).toBe('application/json');
    }
    await vi.waitFor(() => expect(stage.metrics.by).toEqual(new Map([['webhook written', 100]])), PATIENT);
    expect(stage.sink.status).toEqual({ sink: 'webhook', failing: false, queuedBytes: 0 });
  });

  it('says with each request where the chain stands, over the bytes that the server got', async () => {
    const collector = await Collector.start();
    const stage = new Stage(collector, await aPlace());
    stage.push([7, 8]);
    await vi.waitFor(() => expect(collector.taken).toContain('event-8'), PATIENT);
    const { body = '', headers } = collector.asked.at(-1) ?? {};
    const last = body.slice(body.lastIndexOf('{"kind":"Event",'), -']}'.length);
    const digest = createHash('sha256').update(last).digest('hex');
    expect(headers?.['portcullis-audit-head']).toBe(`chain=c-1; seq=8; hash=${digest}`);
  });

  it.each([500, 503, 400, 401, 404, 429, 'reset'] as const)(
    'keeps every event in order over answers of %s',
    async (answer) => {
      const collector = await Collector.start();
      collector.otherwise = answer;
      const stage = new Stage(collector, await aPlace());
      stage.push(range(30));
      await vi.waitFor(() => expect(stage.log.messages).toHaveLength(1), PATIENT);
      expect(stage.sink.status.failing).toBe(true);
      stage.push(range(60).slice(30));
      collector.otherwise = 200;
      await vi.waitFor(() => expect(collector.taken).toEqual(ids(range(60))), PATIENT);
      await vi.waitFor(() => expect(stage.sink.status.failing).toBe(false), PATIENT);
      await vi.waitFor(() => expect(stage.metrics.by).toEqual(new Map([['webhook written', 60]])), PATIENT);
      expect(stage.log.lines.filter(({ level }) => level === 'error')).toHaveLength(1);
      expect(stage.gaps).toEqual([]);
    },
  );

  it('waits as long as Retry-After says', async () => {
    const collector = await Collector.start();
    collector.script.push({ code: 429, headers: { 'retry-after': '3600' } });
    const stage = new Stage(collector, await aPlace());
    stage.push([1]);
    await vi.waitFor(() => expect(stage.log.messages).toHaveLength(1), PATIENT);
    // Without the header some hundred tries would fit into this.
    await expect(vi.waitFor(() => expect(collector.asked.length).toBeGreaterThan(1), 300)).rejects.toThrow(
      'greater than 1',
    );
  });

  it('halves a batch that is too large for the server', async () => {
    const collector = await Collector.start();
    collector.otherwise = ({ auditIds }) => (auditIds.length > 3 ? 413 : 200);
    const stage = new Stage(collector, await aPlace());
    stage.push(range(50));
    await vi.waitFor(() => expect(collector.taken).toEqual(ids(range(50))), PATIENT);
    expect(stage.metrics.of('webhook dropped')).toBe(0);
  });

  it('drops the one event that no request can hold, counts it, says so, and declares it', async () => {
    const collector = await Collector.start();
    collector.otherwise = ({ auditIds }) => (auditIds.includes('event-5') ? 413 : 200);
    const stage = new Stage(collector, await aPlace());
    stage.push(range(10));
    await vi.waitFor(() => expect(collector.taken).toEqual(ids(range(10).filter((n) => n !== 5))), PATIENT);
    await vi.waitFor(
      () =>
        expect(stage.metrics.by).toEqual(
          new Map([
            ['webhook written', 9],
            ['webhook dropped', 1],
          ]),
        ),
      PATIENT,
    );
    expect(stage.gaps).toEqual([{ sink: new URL(collector.url).origin, chain: CHAIN, first: 5, last: 5, count: 1 }]);
    expect(stage.said()).toContain('larger bodies');
  });

  it('does not follow a redirect: who answers for the server does not choose who reads the audit log', async () => {
    const collector = await Collector.start();
    const elsewhere = await Collector.start();
    collector.script.push({ code: 307, headers: { location: elsewhere.url } });
    const stage = new Stage(collector, await aPlace());
    stage.push([1]);
    await vi.waitFor(() => expect(collector.taken).toEqual(['event-1']), PATIENT);
    expect(elsewhere.asked).toEqual([]);
    expect(stage.said()).toContain('redirects are not followed');
  });

  it('asks again at once where the server has closed the connection, and makes no failure of it', async () => {
    const collector = await Collector.start();
    collector.script.push(200, 'reset');
    const stage = new Stage(collector, await aPlace());
    stage.push([1]);
    await vi.waitFor(() => expect(collector.taken).toEqual(['event-1']), PATIENT);
    stage.push([2]);
    await vi.waitFor(() => expect(collector.taken).toEqual(['event-1', 'event-2']), PATIENT);
    expect(collector.asked).toHaveLength(3);
    expect(stage.log.lines).toEqual([]);
  });

  it('gives up on a server that hangs, and asks again', async () => {
    const collector = await Collector.start();
    collector.script.push('hang');
    const stage = new Stage(collector, await aPlace(), {}, { timeoutMs: 200 });
    stage.push([1]);
    await vi.waitFor(() => expect(collector.taken).toEqual(['event-1']), PATIENT);
    expect(collector.asked).toHaveLength(2);
    await vi.waitFor(() => expect(stage.log.lines.map(({ level }) => level)).toEqual(['error', 'info']), PATIENT);
  });

  it('sends the bearer token of its file as it stands now, and says neither it nor the path of the URL', async () => {
    const collector = await Collector.start();
    const tokenFile = join(await aFolder(), 'token');
    await writeFile(tokenFile, 'canary-one\n');
    collector.script.push(200, 500);
    const stage = new Stage(collector, { ...(await aPlace()), tokenFile }, SHORT_CLOSE);
    stage.push([1]);
    await vi.waitFor(() => expect(collector.taken).toEqual(['event-1']), PATIENT);
    await writeFile(tokenFile, 'canary-two\n');
    stage.push([2]);
    await vi.waitFor(() => expect(collector.taken).toEqual(['event-1', 'event-2']), PATIENT);
    expect(collector.asked.map(({ headers }) => headers.authorization)).toEqual([
      'Bearer canary-one',
      'Bearer canary-two',
      'Bearer canary-two',
    ]);
    await writeFile(tokenFile, 'canary\u0007three');
    stage.push([3]);
    await vi.waitFor(() => expect(stage.said()).toContain('tokenFile'), PATIENT);
    expect(stage.said()).not.toMatch(/canary|secret-path/);
  });

  it.each(['caFile', 'proxy'])('sends nothing while the CAs of its %s are an empty file', async (of) => {
    const collector = await Collector.start();
    const caFile = join(await aFolder(), 'ca.crt');
    await writeFile(caFile, '\n');
    const proxy = { url: 'https://proxy.example.com', setting: 'outbound.proxy', noProxy: '', caFile };
    const stage = new Stage(
      collector,
      { ...(await aPlace()), ...(of === 'proxy' ? { proxy } : { caFile }) },
      SHORT_CLOSE,
    );
    stage.push([1]);
    await vi.waitFor(() => expect(stage.said()).toContain('ca.crt is empty'), PATIENT);
    expect(collector.asked).toEqual([]);
  });
});

describe('a webhook in memory', () => {
  it('is failing, and so blocks, until the server takes events again', async () => {
    const collector = await Collector.start();
    collector.otherwise = 500;
    const stage = new Stage(collector);
    stage.push([1]);
    await vi.waitFor(() => expect(stage.sink.failing).toBe(true), PATIENT);
    collector.otherwise = 200;
    await vi.waitFor(() => expect(stage.sink.failing).toBe(false), PATIENT);
  });

  it('declares what did not fit while the server was unavailable', async () => {
    const collector = await Collector.start();
    collector.otherwise = 500;
    const size = encodeLine(chained(10)).length;
    const stage = new Stage(collector, {}, { queueBytes: 12 * size });
    stage.push(range(20).map((n) => n + 10));
    expect(stage.metrics.of('webhook dropped')).toBe(8);
    collector.otherwise = 200;
    await vi.waitFor(() => expect(stage.gaps).toHaveLength(1), PATIENT);
    expect(stage.gaps).toEqual([{ sink: new URL(collector.url).origin, chain: CHAIN, first: 22, last: 29, count: 8 }]);
    expect(collector.taken).toEqual(ids(range(12).map((n) => n + 10)));
  });

  it('counts as dropped what close could not deliver', async () => {
    const collector = await Collector.start();
    collector.otherwise = 'hang';
    const stage = new Stage(collector, {}, { closeTimeoutMs: 30 });
    stage.push(range(4));
    await stage.sink.close();
    expect(stage.metrics.by).toEqual(new Map([['webhook dropped', 4]]));
  });
});

describe('a spool', () => {
  it('does not fail with its server: events are safe on the disk, and their bytes are told', async () => {
    const collector = await Collector.start();
    collector.otherwise = 500;
    const stage = new Stage(collector, { spoolDir: await aFolder() });
    stage.push(range(50));
    await stage.sink.flush();
    await vi.waitFor(() => expect(stage.sink.status.failing).toBe(true), PATIENT);
    expect(stage.sink.failing).toBe(false);
    expect(stage.sink.status.queuedBytes).toBe(range(50).reduce((sum, n) => sum + encodeLine(chained(n)).length, 0));
  });

  it('delivers after a restart what an earlier process could not, first and once', async () => {
    const spoolDir = await aFolder();
    const collector = await Collector.start();
    collector.otherwise = 500;
    const before = new Stage(collector, { spoolDir }, { closeTimeoutMs: 50 });
    before.push(range(20));
    await before.sink.flush();
    await before.sink.close();
    expect(before.metrics.by).toEqual(new Map());
    collector.otherwise = 200;
    const after = new Stage(collector, { spoolDir });
    after.push([20, 21]);
    await vi.waitFor(() => expect(collector.taken).toEqual(ids(range(22))), PATIENT);
    await after.sink.close();
    expect(await readdir(spoolDir)).toEqual([]);
  });

  it('skips the half line at which a process died, and neither glues to it nor stops at it', async () => {
    const spoolDir = await aFolder();
    const whole = encodeLine(numbered(1));
    await writeFile(join(spoolDir, '000000000003.jsonl'), Buffer.concat([whole, Buffer.from('{"auditID":"to')]));
    const collector = await Collector.start();
    const stage = new Stage(collector, { spoolDir });
    stage.push([2]);
    await vi.waitFor(() => expect(collector.taken).toEqual(['event-1', 'event-2']), PATIENT);
    await vi.waitFor(() => expect(stage.sink.status.queuedBytes).toBe(0), PATIENT);
  });

  it('goes on where someone has removed its files, and says that events are gone', async () => {
    const spoolDir = await aFolder();
    const collector = await Collector.start();
    // Nothing is under way while the files go.
    collector.otherwise = { code: 503, headers: { 'retry-after': '2' } };
    const stage = new Stage(collector, { spoolDir });
    stage.push(range(5));
    await vi.waitFor(() => expect(stage.log.messages).toHaveLength(1), PATIENT);
    for (const name of await readdir(spoolDir)) if (name.endsWith('.jsonl')) await rm(join(spoolDir, name));
    collector.otherwise = 200;
    await vi.waitFor(() => expect(stage.said()).toContain('was removed'), PATIENT);
    stage.push([5]);
    await vi.waitFor(() => expect(collector.taken).toEqual(['event-5']), PATIENT);
    expect(stage.sink.status.queuedBytes).toBe(0);
  });

  it('that another process has is not touched: the sink fails until it is free', async () => {
    const spoolDir = await aFolder();
    const owner = join(spoolDir, 'owner');
    await writeFile(join(spoolDir, '000000000000.jsonl'), encodeLine(numbered(0)));
    await writeFile(owner, JSON.stringify({ id: 'x', host: hostname(), pid: ppid }));
    const collector = await Collector.start();
    const stage = new Stage(collector, { spoolDir });
    stage.push([1]);
    await vi.waitFor(() => expect(stage.said()).toContain('in use by process'), PATIENT);
    expect(stage.sink.failing).toBe(true);
    expect(collector.asked).toEqual([]);
    await rm(owner);
    await vi.waitFor(() => expect(collector.taken).toEqual(['event-0', 'event-1']), PATIENT);
  });

  it('sends out what is left when it is closed', async () => {
    const spoolDir = await aFolder();
    const collector = await Collector.start();
    const stage = new Stage(collector, { spoolDir }, {}, { waitMs: 60_000 });
    stage.push(range(5));
    await stage.sink.close();
    expect(collector.taken).toEqual(ids(range(5)));
    expect(await readdir(spoolDir)).toEqual([]);
  });

  it('that is full fails the sink, and takes events again once the server does', async () => {
    const spoolDir = await aFolder();
    const collector = await Collector.start();
    collector.otherwise = 500;
    const stage = new Stage(collector, { spoolDir, spoolMaxMb: 1 });
    const rest = 'x'.repeat(100_000);
    for (const n of range(20))
      stage.sink.push(encodeLine(anEvent({ auditID: `event-${n}`, userAgent: rest })), {
        position: { chain: CHAIN, seq: n },
      });
    await vi.waitFor(() => expect(stage.said()).toContain('spool is full'), PATIENT);
    expect(stage.sink.failing).toBe(true);
    collector.otherwise = 200;
    await vi.waitFor(() => expect(collector.taken).toEqual(ids(range(20))), PATIENT);
    await vi.waitFor(() => expect(stage.sink.failing).toBe(false), PATIENT);
    await vi.waitFor(() => expect(stage.metrics.by).toEqual(new Map([['webhook written', 20]])), PATIENT);
  });

  it('is made for its owner only, and its files too', async () => {
    const spoolDir = join(await aFolder(), 'made');
    const collector = await Collector.start();
    collector.otherwise = 500;
    const stage = new Stage(collector, { spoolDir });
    stage.push([1]);
    await stage.sink.flush();
    const [name] = (await readdir(spoolDir)).filter((one) => one.endsWith('.jsonl'));
    expect(name).toBe('000000000000.jsonl');
    expect(await readFile(join(spoolDir, name ?? ''))).toEqual(encodeLine(chained(1)));
  });
});

it('takes no answer for an answer of its own: a server that speaks no HTTP is one that is down', async () => {
  const server = createServer().on('connection', (socket) => socket.end('SSH-2.0-none\r\n'));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  const address = server.address();
  const url = `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}/`;
  const stage = new Stage({ url }, {}, SHORT_CLOSE);
  stage.push([1]);
  await vi.waitFor(() => expect(stage.sink.failing).toBe(true), PATIENT);
});

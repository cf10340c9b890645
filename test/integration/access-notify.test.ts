/** Notices of access requests, at a real receiver over TLS that verifies signatures by its own code. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { createAccessNotices, type NoticeReceiver } from '../../src/services/access/notify/notify.ts';
import { RECEIVER_LIMITS, type ReceiverLimits } from '../../src/services/access/notify/receiver.ts';
import { webhookSecretsIn } from '../../src/core/access/webhook-signature.ts';
import { egressProxy } from '../../src/egress/egress.ts';
import { notice, NoticeServer, SECRET } from '../support/access-notices.ts';
import { ConnectProxy } from '../support/connect-proxy.ts';
import { temporaryFolder } from '../support/instance.ts';
import { pageBlock } from '../support/page-blocks.ts';
import { PageShell } from '../support/page-shell.ts';
import { makeCertificate, type TestCertificate } from '../support/upstream.ts';

const PATIENT = { timeout: 15_000, interval: 10 };
const QUICK: ReceiverLimits = { ...RECEIVER_LIMITS, retryMs: 5, retryMaxMs: 40, closeTimeoutMs: 200 };

let certificate: TestCertificate;
beforeAll(async () => {
  certificate = await makeCertificate('receiver.test');
});

async function start(port?: number): Promise<NoticeServer> {
  const server = await NoticeServer.start(certificate, port);
  onTestFinished(() => server.stop());
  return server;
}

const idOf = (number: number): string => `access_request-${number}_requested`;
const numbers = (count: number): readonly number[] => Array.from({ length: count }, (_, index) => index + 1);

function notices(
  urls: readonly string[],
  { limits = QUICK, ...settings }: Partial<NoticeReceiver> & { readonly limits?: ReceiverLimits } = {},
) {
  const counts = new Map<string, number>();
  const lines: string[] = [];
  const log = (fields: object, message: string): void =>
    void lines.push(`${message} ${JSON.stringify(fields)} ${String((fields as { err?: unknown }).err)}`);
  const made = createAccessNotices({
    receivers: urls.map((url, index) => ({
      name: `r${index}`,
      format: 'json',
      url: () => url,
      secrets: () => SECRET,
      ca: () => certificate.cert,
      timeout: 5,
      ...settings,
    })),
    publicUrl: 'https://portcullis.example.com',
    clock: { nowMs: Date.now },
    logger: { info: log, warn: log, error: log },
    countNotice: (name, outcome) => counts.set(`${name} ${outcome}`, (counts.get(`${name} ${outcome}`) ?? 0) + 1),
    limits,
  });
  onTestFinished(() => made.close());
  return { ...made, counts, lines };
}

const accepted = (server: NoticeServer, ids: readonly string[]): Promise<void> =>
  vi.waitFor(() => expect(server.accepted.toSorted()).toEqual([...ids].toSorted()), PATIENT);

describe('a receiver', () => {
  it('gets each notice, signed, with a link, and only those that it wants', async () => {
    const server = await start();
    const { notify, counts } = notices([server.url], { events: ['requested'], roles: ['shop-admins'] });
    notify(notice(1));
    notify(notice(2, { kind: 'withdrawn' }));
    const { request } = notice(3);
    notify({ kind: 'requested', request: { ...request, terms: { ...request.terms, name: 'other' } } });
    await accepted(server, [idOf(1)]);
    expect(server.wrong).toEqual([]);
    expect(JSON.parse(server.bodies[0] ?? '')).toMatchObject({
      type: 'access.requested',
      data: { id: 'request-1', link: 'https://portcullis.example.com/access/request-1' },
    });
    await vi.waitFor(() => expect(Object.fromEntries(counts)).toEqual({ 'r0 delivered': 1 }), PATIENT);
  });

  it('may change to another secret while both sign, and rejects what only the old one signs', async () => {
    const server = await start();
    const next = `whsec_${Buffer.alloc(24, 'second').toString('base64')}`;
    let file = SECRET;
    const { notify } = notices([server.url], { secrets: () => file });
    server.secrets = [next];
    notify(notice(1));
    await accepted(server, [idOf(1)]);
    expect(server.wrong).toEqual([idOf(1)]);
    file = `${SECRET}\n${next}`;
    notify(notice(2));
    await accepted(server, [idOf(1), idOf(2)]);
    expect(server.wrong).toEqual([idOf(1)]);
  });

  it('that is down costs no caller time and no other receiver a notice, and gets all once it is up', async () => {
    const gone = await start();
    const { port, url } = gone;
    gone.stop();
    const other = await start();
    const { notify, counts, lines } = notices([url, other.url]);
    for (const number of numbers(20)) notify(notice(number));
    await accepted(other, numbers(20).map(idOf));
    await vi.waitFor(() => expect(counts.get('r0 failed')).toBeGreaterThan(1), PATIENT);
    const back = await start(port);
    await accepted(back, numbers(20).map(idOf));
    expect(counts.get('r0 dropped')).toBeUndefined();
    await vi.waitFor(() => expect(lines.at(-1)).toMatch(/accepts them again/), PATIENT);
    // Its path is a secret.
    expect(lines.join('\n')).not.toContain('secret-path');
    expect(lines.filter((line) => line.startsWith('access notices are not accepted'))).toHaveLength(1);
  });

  it('that answers 500, 503 or a redirect, or hangs up, is asked again; the redirect is not followed', async () => {
    const [server, elsewhere] = [await start(), await start()];
    server.script.push(
      (res) => res.writeHead(500).end(),
      (res) => res.writeHead(307, { location: elsewhere.url }).end(),
      (res) => res.destroy(),
      (res) => res.writeHead(503).end(),
    );
    const { notify, counts } = notices([server.url]);
    notify(notice(1));
    await accepted(server, [idOf(1)]);
    // The id is the same each time, so that a receiver can tell.
    expect(new Set(server.asked)).toEqual(new Set([idOf(1)]));
    expect(elsewhere.asked).toEqual([]);
    await vi.waitFor(() => expect(Object.fromEntries(counts)).toEqual({ 'r0 failed': 4, 'r0 delivered': 1 }), PATIENT);
  });

  it('that answers 429 is left alone as long as it says', async () => {
    const server = await start();
    server.script.push((res) => res.writeHead(429, { 'retry-after': '1' }).end());
    const { notify, counts } = notices([server.url]);
    notify(notice(1));
    await vi.waitFor(() => expect(counts.get('r0 failed')).toBe(1), PATIENT);
    notify(notice(2));
    await accepted(server, [idOf(1), idOf(2)]);
    const [first = 0, ...others] = server.askedAt;
    expect(Math.min(...others) - first).toBeGreaterThan(990);
  });

  it('that never answers is given up on after the timeout, and asked again', async () => {
    const server = await start();
    server.script.push(() => undefined);
    const { notify } = notices([server.url], { timeout: 0.2 });
    notify(notice(1));
    await accepted(server, [idOf(1)]);
    expect(server.asked).toEqual([idOf(1), idOf(1)]);
  });

  it('that answers without end is read a little, and has accepted the notice', async () => {
    const server = await start();
    const sent = vi.fn<() => void>();
    server.script.push((res, id) => {
      server.accepted.push(id);
      res.writeHead(200, { 'content-type': 'text/plain' });
      const more = (): void => {
        if (res.destroyed) return;
        sent();
        res.write(Buffer.alloc(64 * 1024), () => setImmediate(more));
      };
      more();
    });
    const { notify, counts } = notices([server.url]);
    notify(notice(1));
    await vi.waitFor(() => expect(counts.get('r0 delivered')).toBe(1), PATIENT);
    notify(notice(2));
    await accepted(server, [idOf(1), idOf(2)]);
    expect(sent.mock.calls.length).toBeLessThan(200);
  });

  it('that is slow gets four at once and not more', async () => {
    const server = await start();
    const held: (() => void)[] = [];
    for (const _ of numbers(12)) server.script.push((res, id) => held.push(() => server.accept(res, id)));
    const { notify } = notices([server.url]);
    for (const number of numbers(12)) notify(notice(number));
    for (let answered = 0; answered < 12; answered += 1) {
      await vi.waitFor(() => expect(held.length).toBeGreaterThanOrEqual(Math.min(answered + 4, 12)), PATIENT);
      held[answered]?.();
    }
    await accepted(server, numbers(12).map(idOf));
    expect(server.mostAtOnce).toBe(4);
  });

  it('that rejects one notice gets the others without a wait', async () => {
    const server = await start();
    server.script.push((res) => res.writeHead(400).end());
    const { notify, lines } = notices([server.url], { limits: { ...QUICK, retryMs: 60_000, retryMaxMs: 60_000 } });
    notify(notice(1));
    await vi.waitFor(() => expect(lines.join()).toMatch(/rejected an access notice/), PATIENT);
    notify(notice(2));
    await accepted(server, [idOf(2)]);
  });

  it('with another CA’s certificate gets nothing', async () => {
    const server = await start();
    const { cert } = await makeCertificate('receiver.test');
    const { notify, lines } = notices([server.url], { ca: () => cert });
    notify(notice(1));
    await vi.waitFor(() => expect(lines.join()).toMatch(/certificate/i), PATIENT);
    expect(server.asked).toEqual([]);
  });

  it('is reached through its proxy, which alone can resolve its name', async () => {
    const server = await start();
    const proxy = new ConnectProxy();
    const port = await proxy.start();
    onTestFinished(() => proxy.stop());
    proxy.ways.set('receiver.test:443', server.port);
    const through = egressProxy(
      { url: `http://127.0.0.1:${port}`, setting: 'access.notify[0].proxy', noProxy: '' },
      { secret: () => () => '', caBundle: () => () => '' },
    );
    const { notify } = notices(['https://receiver.test/hook'], { proxy: through });
    notify(notice(1));
    await accepted(server, [idOf(1)]);
    expect(proxy.asked.map(({ target }) => target)).toEqual(['receiver.test:443']);
  });
});

describe('what is dropped is counted and logged', () => {
  it('the oldest, where too many wait', async () => {
    const gone = await start();
    const { url, port } = gone;
    gone.stop();
    const limits = { ...QUICK, mostQueued: 3, mostAtOnce: 1, retryMs: 100, retryMaxMs: 100 };
    const { notify, counts, lines } = notices([url], { limits });
    for (const number of numbers(5)) notify(notice(number));
    await vi.waitFor(() => expect(counts.get('r0 failed')).toBeGreaterThan(0), PATIENT);
    expect(counts.get('r0 dropped')).toBe(2);
    expect(lines.filter((line) => line.includes('too many notices')).join()).toMatch(/request-\d/);
    const back = await start(port);
    await vi.waitFor(() => expect(new Set(back.accepted).size).toBe(3), PATIENT);
    expect(back.accepted).toContain(idOf(5));
  });

  it('what was not accepted for too long', async () => {
    const gone = await start();
    const { url } = gone;
    gone.stop();
    const { notify, counts } = notices([url], { limits: { ...QUICK, giveUpMs: 100 } });
    notify(notice(1));
    await vi.waitFor(() => expect(counts.get('r0 dropped')).toBe(1), PATIENT);
  });

  it('what waits when the server stops, after one more try', async () => {
    const [server, gone] = [await start(), await start()];
    const { url } = gone;
    gone.stop();
    const made = notices([server.url, url]);
    made.notify(notice(1));
    await made.close();
    expect(server.accepted).toEqual([idOf(1)]);
    expect(made.counts.get('r1 dropped')).toBe(1);
    made.notify(notice(2));
    expect(made.counts.get('r0 dropped')).toBe(1);
  });
});

it('docs/access-requests.md: a secret that is good for signatures', async () => {
  const folder = await temporaryFolder();
  await new PageShell(folder, { PATH: process.env['PATH'] ?? '' }).run(
    pageBlock('docs/access-requests.md', 'echo "whsec_'),
  );
  expect(webhookSecretsIn(await readFile(join(folder, 'tickets-secret'), 'utf8'))).toHaveLength(1);
});

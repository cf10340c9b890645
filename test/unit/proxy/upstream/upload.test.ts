import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { ClientDelay } from '../../../../src/proxy/upstream/client-delay.ts';
import { uploadPieces } from '../../../../src/proxy/upstream/upload.ts';
import type { UploadOptions } from '../../../../src/proxy/upstream/upload.ts';

const LIMIT_MS = 30_000;

beforeEach(
  () =>
    void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setImmediate', 'clearImmediate', 'performance'] }),
);
afterEach(() => void vi.useRealTimers());

/** A body whose pieces come when they are given. */
function stage(limitMs = LIMIT_MS) {
  const late: string[] = [];
  let mayPass = true;
  const exchange = { mayPass: () => mayPass, audit: { bytesIn: 0 } } as unknown as UploadOptions['exchange'];
  const delay = new ClientDelay(() => exchange.audit.bytesIn);
  const isLate = (): boolean => delay.lateMs(performance.now()) > 0;

  let body: ReadableStreamDefaultController<Buffer> | undefined;
  const given = new ReadableStream<Buffer>({ start: (controller) => void (body = controller) });
  const pieces = uploadPieces(given, { exchange, limitMs, onLate: () => void late.push('late'), delay });
  return {
    late,
    isLate,
    exchange,
    pieces,
    cut: () => void (mayPass = false),
    give: (text: string) => body?.enqueue(Buffer.from(text)),
    end: () => body?.close(),
  };
}

it('passes an upload that lives, however long it takes', async () => {
  const { late, isLate, exchange, pieces, give, end } = stage();
  for (let left = 10; left > 0; left -= 1) {
    const next = pieces.next();
    await vi.advanceTimersByTimeAsync(LIMIT_MS - 1_000);
    // Others may have its connection.
    expect(isLate()).toBe(true);
    give('piece');
    expect((await next).value?.toString()).toBe('piece');
  }
  // The API server takes nothing meanwhile.
  await vi.advanceTimersByTimeAsync(10 * LIMIT_MS);
  expect(isLate()).toBe(false);
  end();
  expect(await pieces.next()).toEqual({ done: true, value: undefined });
  await vi.advanceTimersByTimeAsync(2 * LIMIT_MS);
  expect(isLate()).toBe(false);
  expect([late, exchange.audit.bytesIn]).toEqual([[], 50]);
});

it('reports one that stops, unless it may last as long as its client likes', async () => {
  const [limited, unlimited] = [stage(), stage(0)];
  for (const { pieces } of [limited, unlimited]) void pieces.next();
  await vi.advanceTimersByTimeAsync(LIMIT_MS + 1_000);
  expect([limited.late, unlimited.late]).toEqual([['late'], []]);
});

it('passes nothing on once it is cut, of what was read before either', async () => {
  const { exchange, pieces, cut, give } = stage();
  give('one');
  give('two');
  expect((await pieces.next()).value?.toString()).toBe('one');
  cut();
  await expect(pieces.next()).rejects.toThrow('the request was cut');
  expect(exchange.audit.bytesIn).toBe(3);
});

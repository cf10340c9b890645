import { describe, expect, test } from 'vitest';
import { serverEvents, type ServerEvent } from '../../../../src/cli/http/server-sent-events.ts';
import { cpuClock } from '../../../support/cpu-time.ts';

async function* inPieces(text: string, size: number): AsyncGenerator<Buffer> {
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function eventsOf(chunks: AsyncIterable<Buffer>): Promise<readonly ServerEvent[]> {
  const events: ServerEvent[] = [];
  for await (const event of serverEvents(chunks)) events.push(event);
  return events;
}

describe('events of a server', () => {
  const text = 'data: ä\n\nevent: end\r\ndata: 1\r\n\r\nid: 7\r\rdata: not ended';

  test.each([1, 2, 3, 5, 1000])('are the same in pieces of %i bytes', async (size) => {
    expect(await eventsOf(inPieces(text, size))).toEqual([
      { event: 'message', data: 'ä', id: undefined },
      { event: 'end', data: '1', id: undefined },
      { event: 'message', data: '', id: '7' },
    ]);
  });

  test('that do not end are given up, and cost no more than their length however small the pieces are', async () => {
    const spent = cpuClock();
    await expect(eventsOf(inPieces(`data: ${'x'.repeat(1024 * 1024)}`, 8))).rejects.toMatchObject({
      code: 'upstream_unavailable',
      reason: 'answer_too_long',
    });
    expect(spent()).toBeLessThan(10_000);
  });
});

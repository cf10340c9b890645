import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { createTurns, timeLimit, timeoutSignal } from '../../../src/timing/timing.ts';
import { busyFor } from '../../support/busy.ts';

describe('a time limit', () => {
  const opened: (() => void)[] = [];
  afterEach(() => {
    for (const close of opened.splice(0)) close();
  });

  /** Two ends of a connection. */
  async function connection(): Promise<readonly [Socket, Socket]> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const near = connect((server.address() as AddressInfo).port, '127.0.0.1');
    const [far] = (await once(server, 'connection')) as [Socket];
    opened.push(
      () => near.destroy(),
      () => far.destroy(),
      () => server.close(),
    );
    return [near, far];
  }

  const KINDS: [string, (ms: number, late: () => void) => void][] = [
    ['a call', timeLimit],
    ['a signal', (ms, late) => timeoutSignal(ms).addEventListener('abort', late)],
  ];

  it.each(KINDS)('by %s lets what has arrived be read first, however late its timer runs', async (_kind, limit) => {
    const [near, far] = await connection();
    const seen: string[] = [];
    near.once('data', () => void seen.push('answer'));
    limit(20, () => void seen.push('late'));
    far.write('x');
    busyFor(60);
    await expect.poll(() => seen).toEqual(['answer', 'late']);
  });

  it.each(KINDS)(
    'by %s goes on, once, where this process and perhaps the other one were stopped',
    async (_kind, limit) => {
      const stopped = vi.spyOn(performance, 'now').mockReturnValueOnce(0).mockReturnValue(10_000);
      opened.push(() => stopped.mockRestore());
      const seen: string[] = [];
      setTimeout(() => void seen.push('answer'), 30);
      limit(20, () => void seen.push('late'));
      await expect.poll(() => seen).toEqual(['answer', 'late']);
    },
  );

  it.each(KINDS)('by %s ends if nothing comes', async (_kind, limit) => {
    const late = Promise.withResolvers<void>();
    limit(20, () => late.resolve());
    busyFor(60);
    await expect(late.promise).resolves.toBeUndefined();
  });

  it('calls nothing once it was stopped, also between its timer and the poll', async () => {
    let late = false;
    const stop = timeLimit(1, () => (late = true));
    busyFor(5);
    // Runs right after the limit's own timer, and before the next poll.
    setTimeout(stop, 1);
    busyFor(5);
    await nextTurn();
    await nextTurn();
    await nextTurn();
    expect(late).toBe(false);
  });
});

describe('turns', () => {
  it('runs as many steps in one turn as it may, and the others in later turns, in order', async () => {
    const turns = createTurns(2);
    const done: number[] = [];
    const giveUp = [1, 2, 3, 4, 5, 6].map((step) => turns.do(() => void done.push(step)));
    expect(done).toEqual([1, 2]);
    giveUp[3]?.();
    await nextTurn();
    expect(done).toEqual([1, 2, 3, 5]);
    // After those that wait, although there would be capacity.
    turns.do(() => void done.push(7));
    await nextTurn();
    expect(done).toEqual([1, 2, 3, 5, 6, 7]);
    await nextTurn();
    turns.do(() => void done.push(8));
    expect(done.at(-1)).toBe(8);
  });

  it('are flushed at the end of everything: what waits is done now, in order and once', async () => {
    const turns = createTurns(2);
    const done: number[] = [];
    for (const step of [1, 2, 3, 4, 5]) turns.do(() => void done.push(step));
    turns.flush();
    await nextTurn();
    expect(done).toEqual([1, 2, 3, 4, 5]);
  });

  it('are given to each line in turn, so that a user waits for few of the steps of a crowd', async () => {
    const turns = createTurns(2);
    const done: string[] = [];
    for (let each = 0; each < 6; each += 1) void turns.reserve('crowd')?.then(() => done.push('crowd'));
    void turns.reserve('alice')?.then(() => done.push('alice'));
    turns.do(() => done.push('bob'), 'bob');
    for (let each = 0; each < 6; each += 1) await nextTurn();
    expect(done).toEqual(['crowd', 'alice', 'bob', 'crowd', 'crowd', 'crowd']);
  });

  it('are behind while more of it waits than the next four turns do', async () => {
    const turns = createTurns(2);
    for (let step = 0; step < 14; step += 1) turns.do(() => undefined);
    const behind: boolean[] = [];
    for (let turn = 0; turn < 3; turn += 1) {
      await nextTurn();
      behind.push(turns.isBehind);
    }
    // Of the twelve that waited, ten, eight and six still do.
    expect(behind).toEqual([true, false, false]);
  });
});

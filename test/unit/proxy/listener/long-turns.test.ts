import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { LongTurns } from '../../../../src/proxy/listener/long-turns.ts';
import { ReadingByAccount } from '../../../../src/proxy/listener/shared-reading.ts';

/** A connection that brings nothing by itself. */
function aReader({ stop, goOn }: { readonly stop?: () => void; readonly goOn?: () => void } = {}) {
  const reader = {
    isRead: true,
    bytesRead: 0,
    stopReading: () => {
      reader.isRead = false;
      stop?.();
    },
    goOnReading: () => {
      reader.isRead = true;
      goOn?.();
    },
  };
  return reader;
}

type AReader = ReturnType<typeof aReader>;

const readOf = (readers: readonly AReader[]): number => readers.filter(({ isRead }) => isRead).length;

const FREE = { isBehind: () => false, isHeldBack: () => false };

/** Takes long turns until the clock has been looked at after one, with what has come until then. */
async function longTurn(isOver: () => boolean): Promise<void> {
  for (let turns = 0; !isOver(); turns += 1) {
    if (turns > 100) throw new Error('no connection waits after a hundred long turns');
    const since = process.threadCpuUsage();
    while (process.threadCpuUsage(since).user < 70_000);
    await turn();
  }
}

describe('after a turn that took long', () => {
  it('those that have brought anything wait, and go on one of each account after the other; others are read as ever', async () => {
    const accounts = new ReadingByAccount(FREE, new LongTurns());
    const released: { readonly account: string; readonly at: number }[] = [];
    let at = 0;
    let stops = 0;
    const of = (account: string, count: number): AReader[] =>
      Array.from({ length: count }, () => {
        const reader = aReader({
          stop: () => (stops += 1),
          goOn: () => released.push({ account, at }),
        });
        accounts.of(account).add(reader, account);
        return reader;
      });
    const idle = of('idle', 100);
    // Few of each account, so that no account has many.
    const busy = ['a', 'b', 'c'].flatMap((account) => of(account, 10));
    for (const reader of busy) reader.bytesRead += 1;
    await longTurn(() => stops > 0);
    expect([stops, readOf(idle), readOf(busy)]).toEqual([30, 100, 0]);
    for (; readOf(busy) < 30 && at < 100; at += 1) await turn();
    const perTurn = [...Map.groupBy(released, (each) => each.at).values()].map(({ length }) => length);
    expect(perTurn).toEqual([1, 2, 4, 8, 8, 7]);
    expect(released.slice(0, 9).map(({ account }) => account)).toEqual(['a', 'b', 'c', 'a', 'b', 'c', 'a', 'b', 'c']);
    expect(new Set(released.map(({ account }) => account))).toEqual(new Set(['a', 'b', 'c']));
    // Nothing more has come of these.
    let turns = 0;
    await longTurn(() => (turns += 1) > 5);
    expect(stops).toBe(30);
  });

  it('none waits where there are few', async () => {
    const longTurns = new LongTurns();
    let stops = 0;
    const readers = Array.from({ length: 16 }, () => aReader({ stop: () => (stops += 1) }));
    for (const reader of readers) longTurns.join(reader, 'alice');
    let turns = 0;
    await longTurn(() => {
      for (const reader of readers) reader.bytesRead += 1;
      return (turns += 1) > 5;
    });
    expect(stops).toBe(0);
    // One more, and there are many.
    longTurns.join(aReader(), 'alice');
    await longTurn(() => {
      for (const reader of readers) reader.bytesRead += 1;
      return stops > 0;
    });
  });

  it('new ones wait behind those that do, what is stopped stays so, and one that leaves is read', async () => {
    const longTurns = new LongTurns();
    const readers = Array.from({ length: 40 }, () => aReader());
    const valves = readers.map((reader) => longTurns.join(reader, 'alice'));
    for (const reader of readers) reader.bytesRead += 1;
    await longTurn(() => readOf(readers) < 40);
    const late = aReader();
    longTurns.join(late, 'alice');
    valves[0]?.stopReading();
    valves[39]?.leave();
    expect([late.isRead, readers[39]?.isRead]).toEqual([false, true]);
    for (let turns = 0; !late.isRead && turns < 100; turns += 1) await turn();
    expect([late.isRead, readOf(readers)]).toEqual([true, 39]);
    valves[0]?.goOnReading();
    expect(readers[0]?.isRead).toBe(true);
  });
});

describe('in a turn in which much is begun', () => {
  it('none is read any more, of whatever account, and they go on one of each account after the other', async () => {
    const accounts = new ReadingByAccount(FREE, new LongTurns());
    const readers = ['a', 'b', 'c'].flatMap((account) =>
      Array.from({ length: 10 }, () => {
        const reader = aReader();
        accounts.of(account).add(reader, account);
        return reader;
      }),
    );
    for (const account of ['a', 'b']) for (let begun = 0; begun < 191; begun += 1) accounts.of(account).begun(0);
    expect(readOf(readers)).toBe(30);
    for (let begun = 0; begun < 2; begun += 1) accounts.of('a').begun(0);
    expect(readOf(readers)).toBe(0);
    await turn();
    await turn();
    expect(readOf(readers)).toBeGreaterThan(0);
    // As much again may be begun in each turn.
    for (let turns = 0; turns < 20; turns += 1) {
      for (const account of ['a', 'b', 'c']) for (let begun = 0; begun < 50; begun += 1) accounts.of(account).begun(0);
      await turn();
    }
    expect(readOf(readers)).toBeGreaterThan(0);
  });
});

import { describe, expect, it } from 'vitest';
import { FairQueue } from '../../../../src/proxy/upstream/fair-queue.ts';

const MOST = 800;

/** Requests of accounts that never give a connection back. */
function stage(most = MOST) {
  const queue = new FairQueue<{ readonly account: string | undefined; readonly sinceMs: number }>(most);
  let held = 0;
  return {
    queue,
    add: (account: string | undefined, count = 1, sinceMs = 0) => {
      for (let left = count; left > 0; left -= 1) queue.add({ account, sinceMs });
    },
    /** Gives out as many connections as it may. @returns to whom, in order */
    serve: (): readonly (string | undefined)[] => {
      const to: (string | undefined)[] = [];
      for (let item = held < most ? queue.take() : undefined; item; item = held < most ? queue.take() : undefined) {
        queue.hold(item.account);
        held += 1;
        to.push(item.account);
      }
      return to;
    },
  };
}

describe('connections that are never given back', () => {
  it('are a third of all for one account, and of what is left for each that comes after it', () => {
    const { queue, add, serve } = stage();
    const shares = ['a', 'b', 'c', 'd'].map((account) => {
      add(account, 400);
      expect(queue.wanted).toBeGreaterThanOrEqual(1);
      return serve().length;
    });
    expect(shares).toEqual([267, 178, 119, 79]);
    expect(queue.size).toBe(4 * 400 - 643);
    expect(queue.wanted).toBe(0);
  });

  it('are as many for each of the accounts that come together', () => {
    const { add, serve } = stage();
    for (const account of ['a', 'b', 'c']) add(account, 400);
    const to = serve();
    expect(to.slice(0, 6)).toEqual(['a', 'b', 'c', 'a', 'b', 'c']);
    for (const account of ['a', 'b', 'c']) expect(to.filter((each) => each === account)).toHaveLength(160);
  });

  it('leave one for an account that holds none, however many hold theirs', () => {
    const { queue, add, serve } = stage();
    for (let account = 0; account < 12; account += 1) {
      add(`attacker-${account}`, 400);
      expect(serve().length).toBeGreaterThan(0);
    }
    expect(queue.mayPass('carol')).toBe(false);
    add('carol', 3);
    expect(serve().filter((account) => account === 'carol').length).toBeGreaterThan(0);
  });

  it('are any number for the proxy itself, and where connections are not limited', () => {
    const { add, serve } = stage(10);
    add(undefined, 12);
    expect(serve()).toHaveLength(10);
    const unlimited = stage(Number.POSITIVE_INFINITY);
    unlimited.add('a', 1_000);
    expect(unlimited.serve()).toHaveLength(1_000);
  });
});

it('takes out what has waited for too long, and what is given up', () => {
  const { queue, add } = stage();
  add('a', 2, 10);
  add('b', 1, 20);
  add('a', 1, 30);
  const late = { account: 'b', sinceMs: 40 };
  queue.add(late);
  expect(queue.takeOlder(25).map(({ account }) => account)).toEqual(['a', 'a', 'b']);
  expect([queue.remove(late), queue.remove(late), queue.size]).toEqual([true, false, 1]);
  expect(queue.takeAll()).toHaveLength(1);
});

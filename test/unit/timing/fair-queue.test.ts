import { expect, it } from 'vitest';
import { FairQueue } from '../../../src/timing/timing.ts';

const takeAll = (queue: FairQueue<string>): string => {
  const taken: string[] = [];
  for (let item = queue.take(); item !== undefined; item = queue.take()) taken.push(item);
  return taken.join(' ');
};

it('a queue gives one of each line in turn, and of a line in the order in which they came', () => {
  const queue = new FairQueue<string>();
  for (const item of ['a1', 'a2', 'a3', 'a4', 'b1', 'b2', 'c1']) queue.add(item, item.charAt(0));
  queue.add('a1', 'c');
  expect([queue.size, queue.has('a4'), [...queue].length]).toEqual([7, true, 7]);
  expect([queue.delete('b1'), queue.delete('b1'), queue.delete('x')]).toEqual([true, false, false]);
  expect(takeAll(queue)).toBe('a1 b2 c1 a2 a3 a4');
  expect([queue.size, queue.take()]).toEqual([0, undefined]);
});

it('a line that has been served waits for the others, also for those that come later', () => {
  const queue = new FairQueue<string>();
  for (const item of ['a1', 'a2', 'a3']) queue.add(item, 'a');
  expect(queue.take()).toBe('a1');
  queue.add('b1', 'b');
  queue.add('b2', 'b');
  expect(takeAll(queue)).toBe('a2 b1 a3 b2');
});

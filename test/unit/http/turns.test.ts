import { expect, test } from 'vitest';
import { createTurns } from '../../../src/http/turns.ts';

test('the work of one account is done one after the other, also after an error, and only so much of it waits', async () => {
  const turns = createTurns('lists at once', 2);
  const done: string[] = [];
  let running = 0;
  const work = (name: string, error?: Error) => async (): Promise<string> => {
    running += 1;
    expect(running).toBe(1);
    await new Promise((resolve) => void setImmediate(resolve));
    running -= 1;
    done.push(name);
    if (error !== undefined) throw error;
    return name;
  };
  const all = await Promise.allSettled([
    turns.take('alice', work('first')),
    turns.take('alice', work('second', new Error('failed'))),
    turns.take('alice', work('third')),
    turns.take('alice', work('fourth')),
  ]);
  expect(all).toMatchObject([
    { value: 'first' },
    { reason: { message: 'failed' } },
    { value: 'third' },
    { reason: { problem: 'too_many_requests', status: 429, retryAfterSeconds: 1 } },
  ]);
  expect(done).toEqual(['first', 'second', 'third']);
  // Nothing is left of them, and another account does not wait.
  const strict = createTurns('orders at once', 0);
  let finish = (): void => undefined;
  const held = strict.take('alice', () => new Promise<void>((resolve) => (finish = resolve)));
  await expect(strict.take('alice', async () => 'at the same moment')).rejects.toMatchObject({ status: 429 });
  expect(await strict.take('bob', async () => 'bob')).toBe('bob');
  finish();
  await held;
  expect(await strict.take('alice', async () => 'later')).toBe('later');
});

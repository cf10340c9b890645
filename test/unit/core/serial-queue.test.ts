import { expect, test } from 'vitest';
import { SerialQueue } from '../../../src/core/serial-queue.ts';

test('the work of one account is done one after the other, also after an error, and only so much of it waits', async () => {
  const queue = new SerialQueue(2);
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
    queue.run('alice', work('first')),
    queue.run('alice', work('second', new Error('failed'))),
    queue.run('alice', work('third')),
    queue.run('alice', work('fourth')),
  ]);
  expect(all).toMatchObject([
    { value: { ok: true, value: 'first' } },
    { reason: { message: 'failed' } },
    { value: { ok: true, value: 'third' } },
    { value: { ok: false, reason: 'full' } },
  ]);
  expect(done).toEqual(['first', 'second', 'third']);
  // Nothing is left of them, and another account does not wait.
  const strict = new SerialQueue(0);
  const held = Promise.withResolvers<string>();
  const first = strict.run('alice', () => held.promise);
  expect(await strict.run('alice', async () => 'at the same moment')).toEqual({ ok: false, reason: 'full' });
  expect(await strict.run('bob', async () => 'bob')).toEqual({ ok: true, value: 'bob' });
  held.resolve('first');
  expect(await first).toEqual({ ok: true, value: 'first' });
  expect(await strict.run('alice', async () => 'later')).toEqual({ ok: true, value: 'later' });
});

import type { Redis } from 'ioredis';
import { describe, expect, it } from 'vitest';
import { Batches, type Work } from '../../../src/store/redis/batches.ts';
import { UNCONFIRMED } from '../../../src/store/redis/settings.ts';

const TIMED_OUT = new Error('the time of this batch is over');

/** A store that replies when it is told to, and a connection that counts how often it is asked for a new time limit. */
function slowStore() {
  const unanswered: PromiseWithResolvers<string>[] = [];
  let limits = 0;
  let over = Promise.withResolvers<never>();
  const run = async (work: Work<void>): Promise<void> => {
    limits += 1;
    over = Promise.withResolvers<never>();
    await Promise.race([work({} as Redis, { expired: () => false, restart: () => undefined }), over.promise]);
  };
  const batches = new Batches(UNCONFIRMED, run);
  const command: Work<string> = async () => {
    const reply = Promise.withResolvers<string>();
    unanswered.push(reply);
    return await reply.promise;
  };
  return {
    unanswered,
    limits: () => limits,
    send: (count: number) => Promise.allSettled(Array.from({ length: count }, () => batches.send(command))),
    reply: (count: number) => unanswered.splice(0, count).forEach(({ resolve }) => resolve('written')),
    timeOut: () => over.reject(TIMED_OUT),
  };
}

/** Whatever is settled without a timer is settled after that. */
const turn = () => new Promise((resolve) => setImmediate(resolve));

describe('writes that come at once', () => {
  it('are sent a batch at a time, each batch with a time limit of its own', async () => {
    const store = slowStore();
    const sent = store.send(1 + 1000);
    let written = 0;
    while (written < 1 + 1000) {
      const batch = store.unanswered.length;
      expect(batch).toBeGreaterThan(0);
      expect(batch).toBeLessThanOrEqual(64);
      store.reply(batch);
      written += batch;
      await turn();
    }
    expect(new Set((await sent).map(({ status }) => status))).toEqual(new Set(['fulfilled']));
    expect(store.limits()).toBe(1 + Math.ceil(1000 / 64));
  });

  it('fail together, and those in the queue are not sent, where the store replies to none of a batch', async () => {
    const store = slowStore();
    const sent = store.send(1 + 200);
    store.timeOut();
    expect(new Set((await sent).map(({ status }) => status))).toEqual(new Set(['rejected']));
    expect([store.unanswered.length, store.limits()]).toEqual([1, 1]);
  });

  it('go on where the store is late with some of a batch, which alone fail', async () => {
    const store = slowStore();
    const sent = store.send(1 + 64 + 64);
    store.reply(1);
    await turn();
    store.reply(60);
    await turn();
    store.timeOut();
    await turn();
    store.reply(4 + 64);
    const late = (await sent).flatMap(({ status }, index) => (status === 'rejected' ? [index] : []));
    expect(late).toEqual([61, 62, 63, 64]);
  });
});

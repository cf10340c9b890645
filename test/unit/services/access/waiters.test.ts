import { afterEach, beforeEach, expect, test } from 'vitest';
import { createWaiters } from '../../../../src/services/access/waiters.ts';
import { ACCESS } from '../../../../src/core/api/rejections.ts';
import { atEdge } from '../../../support/at-edge.ts';
import { problem, Stage } from './stage.ts';

let stage: Stage;
beforeEach(async () => {
  stage = new Stage();
  await stage.start();
});
afterEach(() => stage.guard.stop());

const never = new AbortController().signal;

test('a session waits for four requests at a time, an account for twenty, and no one for a replica that leaves', async () => {
  const leaving = new AbortController();
  const waiters = atEdge(ACCESS, createWaiters({ store: stage.store, leaving: leaving.signal }));
  const caller = await stage.caller('alice');
  const order = { role: 'shop-admins', seconds: 600, reason: '' };
  const request = await stage.access().requests.request(caller, order);
  const until = { seconds: 25, gone: never };
  const as = (session: string) => ({ ...caller, actor: { ...caller.actor, session } });
  const waiting = Array.from({ length: 20 }, (_one, index) =>
    waiters.wait(as(`session ${Math.floor(index / 4)}`), request, until),
  );
  expect(await problem(waiters.wait(as('session 0'), request, until))).toBe('429 too_many_requests');
  expect(await problem(waiters.wait(as('another'), request, until))).toBe('429 too_many_requests');
  const startedAt = performance.now();
  leaving.abort();
  expect(await Promise.all(waiting)).toMatchObject(waiting.map(() => ({ state: 'open' })));
  expect(performance.now() - startedAt).toBeLessThan(1000);
});

test('anyone who waits is told of a denial, and the place of one who has gone is free', async () => {
  const waiters = atEdge(ACCESS, createWaiters({ store: stage.store }));
  const access = stage.access();
  const caller = await stage.caller('alice');
  const request = await access.requests.request(caller, { role: 'shop-admins', seconds: 600, reason: '' });
  const gone = new AbortController();
  const left = Array.from({ length: 4 }, () => waiters.wait(caller, request, { seconds: 25, gone: gone.signal }));
  gone.abort();
  await Promise.all(left);
  const waits = waiters.wait(caller, request, { seconds: 25, gone: never });
  await access.requests.deny(await stage.caller('bob'), request.id);
  expect(await waits).toMatchObject({ state: 'denied' });
});

/** What a session leaves in Redis while it goes on. */
import { expect, it } from 'vitest';
import { openNow } from './fixtures.ts';
import { workbench } from './redis-stores.ts';

it('ends with it all that a session has, without keeping Redis from everything else while it deletes that', async () => {
  await using bench = await workbench();
  const store = await bench.store();
  const session = await openNow({ store, clock: bench.clock });
  const ids = Array.from({ length: 200 }, (_, index) => `token-${index}`);
  for (const id of ids) await store.artefacts.save('RefreshToken', id, {}, { ttlSeconds: 600, session, uid: id });
  const other = { ttlSeconds: 600, session: 'another' };
  await store.artefacts.save('RefreshToken', 'theirs', {}, other);
  await store.log.append({ requestId: 'r', target: { kind: 'session', session } });
  const found = ids.flatMap((id) => [
    store.artefacts.find('RefreshToken', id),
    store.artefacts.findByUid('RefreshToken', id),
    store.artefacts.take('RefreshToken', id),
  ]);
  expect(new Set(await Promise.all(found))).toEqual(new Set([undefined]));
  expect(await store.artefacts.consume('RefreshToken', 'token-0')).toBe(false);
  expect(await store.artefacts.find('RefreshToken', 'theirs')).toEqual({});
});

it('leaves what is deleted later to the server, which deletes it by its time to live', async () => {
  await using bench = await workbench();
  const store = await bench.store();
  const session = await openNow({ store, clock: bench.clock });
  for (let index = 0; index < 200; index += 1) {
    await store.artefacts.save('RefreshToken', `token-${index}`, {}, { ttlSeconds: 600, session });
  }
  await store.log.append({ requestId: 'r', target: { kind: 'session', session } });
  const left = await bench.bare.keys('{portcullis}:artefact:*');
  expect(left).toHaveLength(200 - 16);
  const lives = await Promise.all(left.map((key) => bench.bare.ttl(key)));
  expect(Math.min(...lives)).toBeGreaterThan(0);
});

it('forgets what is over of a session while new artefacts of it come, and keeps what is not', async () => {
  await using bench = await workbench();
  const store = await bench.store();
  const session = await openNow({ store, clock: bench.clock });
  await store.artefacts.save('BrowserCookie', 'lasting', {}, { ttlSeconds: 86_400, session });
  for (let minute = 0; minute < 30; minute += 1) {
    for (let count = 0; count < 20; count += 1) {
      await store.artefacts.save('ConsoleCode', `${minute}-${count}`, {}, { ttlSeconds: 60, session });
    }
    bench.clock.advance(61);
  }
  const [set = ''] = await bench.bare.keys('{portcullis}:of:*');
  expect(await bench.bare.scard(set)).toBeLessThan(120);
  expect(await store.artefacts.find('BrowserCookie', 'lasting')).toEqual({});
});

/** What a session leaves in Redis while it goes on. */
import { expect, it } from 'vitest';
import { openNow } from './fixtures.ts';
import { workbench } from './redis-stores.ts';

it('forgets what is over of a session while new artefacts of it come, and drops the rest with it', async () => {
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
  const [set = ''] = await bench.bare.keys('{gate}:of:*');
  expect(await bench.bare.scard(set)).toBeLessThan(120);
  expect(await store.artefacts.find('BrowserCookie', 'lasting')).toEqual({});
  await store.log.append({ requestId: 'r', target: { kind: 'session', session } });
  expect(await bench.bare.keys('{gate}:artefact:*')).toHaveLength(0);
});

import { createMemoryStore } from '../../src/store/memory/memory.ts';
import { testClock } from './fixtures.ts';
import { storeConforms } from './store.ts';

storeConforms('memory', async () => {
  const clock = testClock();
  return { store: createMemoryStore({ clock }), clock };
});

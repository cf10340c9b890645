import { createMemoryStore } from '../../src/store/memory/memory.ts';
import { testClock } from './fixtures.ts';
import { storeConforms } from './store.ts';

storeConforms('memory', async (options = {}) => {
  const clock = testClock();
  return { store: createMemoryStore({ clock, ...options }), clock };
});

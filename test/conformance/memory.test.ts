import { createMemoryStore } from '../../src/store/memory/memory.ts';
import { describe } from 'vitest';

import { accessConforms } from './access.ts';
import { testClock, type OpenStore } from './fixtures.ts';
import { storeConforms } from './store.ts';

const open: OpenStore = async (options = {}) => {
  const clock = testClock();
  return { store: createMemoryStore({ clock, ...options }), clock };
};

storeConforms('memory', open);
describe('access requests', () => {
  accessConforms(open);
});

import { expect, it } from 'vitest';

import { createMemoryStore } from '../../src/store/memory/memory.ts';
import type { SessionRecord } from '../../src/store/store.ts';
import { openNow, testClock } from './fixtures.ts';

/** No account may have as many by itself. */
const of = (index: number) => {
  const subject = `user-${index % 10}`;
  return { id: `s${index}`, account: `corp/${subject}` as const, subject };
};

it('looks at no more than 500 sessions for one page, and goes on from there for the next', async () => {
  const clock = testClock();
  const subject = { store: createMemoryStore({ clock }), clock };
  const { sessions } = subject.store;
  for (let index = 0; index < 503; index += 1) await openNow(subject, of(index));
  let examined = 0;
  const where = ({ id }: SessionRecord): boolean => {
    examined += 1;
    return id === 's1' || id === 's500';
  };
  const first = await sessions.list({ where, limit: 5 });
  expect(first.sessions.map(({ id }) => id)).toEqual(['s500']);
  expect(examined).toBe(500);
  const second = await sessions.list({ where, limit: 5, cursor: first.cursor ?? '' });
  expect(second.sessions.map(({ id }) => id)).toEqual(['s1']);
  expect(second.cursor).toBeUndefined();
  expect(examined).toBe(503);
  examined = 0;
  const few = await sessions.list({ where, limit: 5, mostExamined: 100 });
  expect([few.sessions.map(({ id }) => id), examined, few.cursor]).toEqual([['s500'], 100, expect.any(String)]);
});

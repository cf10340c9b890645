import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { ConnectionLimit, type Occupant } from '../../../../src/proxy/listener/connection-limit.ts';

const MOST = 160;
const WAIT_MS = 2_000;
/** Of users, who wait for nothing. */
const USERS = 100;

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function occupantsOf(limit: ConnectionLimit): (count: number, isUsers?: boolean) => { readonly open: number } {
  return (count, isUsers = false) => {
    const open = new Set<Occupant>();
    for (let each = 0; each < count; each += 1) {
      const occupant: Occupant = { waitingSinceMs: performance.now(), giveWay: () => void open.delete(occupant) };
      open.add(occupant);
      limit.add(occupant);
      if (isUsers) limit.note(occupant, true);
    }
    return {
      get open() {
        return open.size;
      },
    };
  };
}

it('closes no connection of a user for those that an attacker opens in a moment, again and again', () => {
  const add = occupantsOf(new ConnectionLimit({ most: MOST, waitMs: WAIT_MS, onClosed: () => undefined }));
  const users = add(USERS, true);
  vi.advanceTimersByTime(WAIT_MS);
  const attackers = [add(MOST - USERS)];
  const total = (): number => attackers.reduce((sum, { open }) => sum + open, users.open);
  for (let each = 0; each < 40; each += 1) {
    vi.advanceTimersByTime(250);
    attackers.push(add(MOST - total()));
  }
  expect(users.open).toBe(USERS);
});

it('closes those of users where there are few others', () => {
  const add = occupantsOf(new ConnectionLimit({ most: MOST, waitMs: WAIT_MS, onClosed: () => undefined }));
  const users = add(MOST - 10, true);
  vi.advanceTimersByTime(WAIT_MS);
  const others = add(10);
  vi.advanceTimersByTime(250);
  expect([users.open, others.open]).toEqual([MOST - 10 - MOST / 16, 10]);
});

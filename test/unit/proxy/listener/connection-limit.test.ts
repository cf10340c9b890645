import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import {
  ConnectionLimit,
  connectionsOfAccount,
  type Occupant,
} from '../../../../src/proxy/listener/connection-limit.ts';

const MOST = 160;
const WAIT_MS = 2_000;
/** Of users, who wait for nothing. */
const USERS = 100;

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function occupantsOf(
  limit: ConnectionLimit,
): (count: number, isUsers?: boolean, account?: string, isOpen?: boolean) => { readonly open: number } {
  return (count, isUsers = false, account?, isOpen = false) => {
    const open = new Set<Occupant>();
    for (let each = 0; each < count; each += 1) {
      const occupant: Occupant = {
        waitingSinceMs: isOpen ? undefined : performance.now(),
        giveWay: () => void open.delete(occupant),
      };
      open.add(occupant);
      limit.add(occupant);
      if (isUsers) limit.note(occupant, true, account);
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

it('closes the idle ones of an account beyond its share, however many connections there may be, and no other’s', () => {
  let closed = 0;
  const limit = new ConnectionLimit({ most: 10_000, waitMs: WAIT_MS, onClosed: (count) => (closed += count) });
  const add = occupantsOf(limit);
  const most = connectionsOfAccount(10_000);
  const [alice, watches, others, bob] = [
    add(most, true, 'alice'),
    add(100, true, 'alice', true),
    add(100, true, 'alice'),
    add(most, true, 'bob'),
  ];
  vi.advanceTimersByTime(WAIT_MS - 250);
  expect(closed).toBe(0);
  vi.advanceTimersByTime(500);
  expect([most, alice.open, watches.open, others.open, bob.open, closed]).toEqual([
    625,
    most - 200,
    100,
    100,
    most,
    200,
  ]);
  add(1, true, 'alice');
  vi.advanceTimersByTime(250);
  expect(alice.open).toBe(most - 201);
});

it('leaves an account hundreds of connections where there are few in all, and a place again for each that has gone', () => {
  const limit = new ConnectionLimit({ most: 1_000, waitMs: WAIT_MS, onClosed: () => undefined });
  const gone: Occupant[] = [];
  for (let each = 0; each < 300; each += 1) {
    const occupant = { waitingSinceMs: performance.now(), giveWay: () => undefined };
    gone.push(occupant);
    limit.add(occupant);
    limit.note(occupant, true, 'alice');
  }
  for (const each of gone) limit.remove(each);
  const alice = occupantsOf(limit)(256, true, 'alice');
  vi.advanceTimersByTime(2 * WAIT_MS);
  expect(alice.open).toBe(256);
});

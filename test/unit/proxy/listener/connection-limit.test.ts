import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { afterEach, beforeEach, expect, it, onTestFinished, vi } from 'vitest';
import {
  ConnectionLimit,
  connectionsOfAccount,
  type Occupant,
} from '../../../../src/proxy/listener/connection-limit.ts';

import { memoryInUse } from '../../../../src/proxy/listener/memory.ts';
import { ConnectionTable } from '../../../../src/proxy/listener/connection.ts';
import { endpointsOf } from '../../../../src/proxy/listener/system-buffers.ts';

const MOST = 160;
const WAIT_MS = 2_000;
/** Of users, who wait for nothing. */
const USERS = 100;

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function occupantsOf(
  limit: ConnectionLimit,
): (
  count: number,
  isUsers?: boolean,
  account?: string,
  isOpen?: boolean,
  isHeld?: boolean,
) => { readonly open: number } {
  return (count, isUsers = false, account?, isOpen = false, isHeld = false) => {
    const open = new Set<Occupant>();
    for (let each = 0; each < count; each += 1) {
      const occupant: Occupant = {
        waitingSinceMs: isOpen ? undefined : performance.now(),
        heldSinceMs: isHeld ? performance.now() : undefined,
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
  const add = occupantsOf(
    new ConnectionLimit({ most: MOST, waitMs: WAIT_MS, memoryInUse: () => 0, onClosed: () => undefined }),
  );
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

it('closes those that have sent no ClientHello before older ones that have', () => {
  const limit = new ConnectionLimit({ most: MOST, waitMs: WAIT_MS, memoryInUse: () => 0, onClosed: () => undefined });
  const open = { begun: 0, silent: 0 };
  const add = (kind: keyof typeof open): void => {
    open[kind] += 1;
    const giveWay = (): void => void (open[kind] -= 1);
    limit.add({ waitingSinceMs: performance.now(), isSilent: kind === 'silent', giveWay });
  };
  for (let each = 0; each < 20; each += 1) add('begun');
  vi.advanceTimersByTime(1_000);
  for (let each = 0; each < 30; each += 1) add('silent');
  vi.advanceTimersByTime(WAIT_MS);
  expect(open).toEqual({ begun: 20, silent: MOST / 5 - 20 });
});

it('closes those of users where there are few others', () => {
  const add = occupantsOf(
    new ConnectionLimit({ most: MOST, waitMs: WAIT_MS, memoryInUse: () => 0, onClosed: () => undefined }),
  );
  const users = add(MOST - 10, true);
  vi.advanceTimersByTime(WAIT_MS);
  const others = add(10);
  vi.advanceTimersByTime(250);
  expect([users.open, others.open]).toEqual([MOST - 10 - MOST / 16, 10]);
});

it('closes the idle ones of an account beyond its share, however many connections there may be, and no other’s', () => {
  let closed = 0;
  const limit = new ConnectionLimit({
    most: 10_000,
    waitMs: WAIT_MS,
    memoryInUse: () => 0,
    onClosed: (count) => (closed += count),
  });
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

it('closes those that an account holds open by what it does not finish or read, for its own share only', () => {
  const limit = new ConnectionLimit({ most: 1_000, waitMs: WAIT_MS, memoryInUse: () => 0, onClosed: () => undefined });
  const add = occupantsOf(limit);
  const [held, watches] = [add(300, true, 'alice', true, true), add(100, true, 'alice', true)];
  // So many that others must give way: no request of another account that is under way does.
  const bob = add(200, true, 'bob', true, true);
  const others = add(400, true, 'carol', true);
  vi.advanceTimersByTime(2 * WAIT_MS);
  expect([held.open, watches.open, bob.open, others.open]).toEqual([156, 100, 200, 400]);
});

it('closes those without a credential that hold a response or a request open, heavy ones at once', () => {
  const limit = new ConnectionLimit({ most: 1_000, waitMs: WAIT_MS, memoryInUse: () => 0, onClosed: () => undefined });
  const held = occupantsOf(limit)(300, false, undefined, true, true);
  vi.advanceTimersByTime(WAIT_MS - 250);
  expect(held.open).toBe(300);
  vi.advanceTimersByTime(500);
  expect(held.open).toBe(200);
  const heavy = new Set<Occupant>();
  for (let each = 0; each < 10; each += 1) {
    const giveWay = (): void => void heavy.delete(occupant);
    const occupant = { waitingSinceMs: undefined, heldSinceMs: performance.now(), weight: 8, giveWay };
    heavy.add(occupant);
    limit.add(occupant);
  }
  vi.advanceTimersByTime(250);
  expect([heavy.size, held.open]).toEqual([0, 200]);
});

it('counts a connection as what it weighs, for all and for its account, also once that is known', () => {
  const limit = new ConnectionLimit({ most: 1_000, waitMs: WAIT_MS, memoryInUse: () => 0, onClosed: () => undefined });
  const open = new Set<Occupant>();
  const add = (count: number, weight: number, account?: string): Occupant[] =>
    Array.from({ length: count }, () => {
      const occupant = { waitingSinceMs: performance.now(), weight, giveWay: () => void open.delete(occupant) };
      open.add(occupant);
      limit.add(occupant);
      if (account !== undefined) limit.note(occupant, true, account);
      return occupant;
    });
  const [heavy, light] = [add(10, 21), add(50, 1)];
  // A fifth of a thousand, of which each of the heavy ones is 21.
  vi.advanceTimersByTime(2 * WAIT_MS);
  expect([heavy, light].map((all) => all.filter((each) => open.has(each)).length)).toEqual([7, 50]);
  const users = add(256, 1, 'alice');
  vi.advanceTimersByTime(2 * WAIT_MS);
  expect(users.filter((each) => open.has(each))).toHaveLength(256);
  for (const each of users.slice(-10)) {
    Object.assign(each, { weight: 6 });
    limit.weigh(each);
  }
  vi.advanceTimersByTime(2 * WAIT_MS);
  expect(users.filter((each) => open.has(each))).toHaveLength(206);
});

it('has those of the accounts with the most give way where memory is short, as many as are too many and no more', () => {
  let memory = 0.5;
  const limit = new ConnectionLimit({
    most: 10_000,
    waitMs: WAIT_MS,
    memoryInUse: () => memory,
    onClosed: () => undefined,
  });
  const add = occupantsOf(limit);
  // Of the attackers, half hold open what they do not read. Idle ones of users have waited longer.
  const users = ['carol', 'dave'].map((user) => add(40, true, user));
  vi.advanceTimersByTime(WAIT_MS);
  const attackers = ['mallory', 'eve', 'trent'].map((user) => [add(300, true, user, true, true), add(300, true, user)]);
  const watches = add(100, true, 'erin', true);
  const held = (): number => attackers.flat().reduce((sum, { open }) => sum + open, 0);
  vi.advanceTimersByTime(2 * WAIT_MS);
  expect(held()).toBe(1_800);
  memory = 0.605;
  vi.advanceTimersByTime(5_000);
  // A sixteenth for each step, and for no step none.
  expect(1_800 - held()).toBeGreaterThanOrEqual(Math.ceil(1_980 / 16));
  expect(1_800 - held()).toBeLessThan(Math.ceil(1_980 / 16) + 3);
  memory = 0.8;
  vi.advanceTimersByTime(60_000);
  expect([...users.map(({ open }) => open), watches.open]).toEqual([40, 40, 100]);
  expect((held() + 180) / 1_980).toBeCloseTo((15 / 16) ** 21, 1);
  memory = 1;
  vi.advanceTimersByTime(9_000);
  // A thirty-second of the number stays however little memory is left, and a sixteenth of that is free.
  const open = held() + users.reduce((sum, each) => sum + each.open, watches.open);
  expect([open <= 10_000 / 32, open > 280]).toEqual([true, true]);
  memory = 0.45;
  const more = add(2_000, true);
  vi.advanceTimersByTime(60_000);
  expect(more.open).toBe(2_000);
});

/** @returns those of an account that weigh as much, and that are open */
function heavyOf(limit: ConnectionLimit, account: string) {
  const open = new Set<Occupant>();
  const add = (weight: number, state: Partial<Occupant> = {}): boolean => {
    const occupant = { waitingSinceMs: undefined, weight, ...state, giveWay: () => void open.delete(occupant) };
    limit.add(occupant);
    const isNoted = limit.note(occupant, true, account);
    if (isNoted) open.add(occupant);
    else limit.remove(occupant);
    return isNoted;
  };
  return { add, open };
}

it('notes none that counts as several where its account has no space for it, and closes idle ones of its own for it', () => {
  const limit = new ConnectionLimit({ most: 1_000, waitMs: WAIT_MS, memoryInUse: () => 0, onClosed: () => undefined });
  const alice = heavyOf(limit, 'alice');
  expect(Array.from({ length: 20 }, () => alice.add(17)).filter(Boolean)).toHaveLength(Math.floor(256 / 17));
  expect([alice.add(2), alice.add(1), alice.add(1), alice.add(1), alice.add(300)]).toEqual([
    false,
    true,
    true,
    true,
    false,
  ]);
  const bob = heavyOf(limit, 'bob');
  for (let each = 0; each < 256; each += 1) bob.add(1, { waitingSinceMs: performance.now() });
  expect(bob.add(17)).toBe(false);
  vi.advanceTimersByTime(WAIT_MS);
  expect([bob.add(17), bob.open.size]).toEqual([true, 256 - 17 + 1]);
});

it('closes none of another account for what one holds beyond its share, and all that are needed for its connections', () => {
  const limit = new ConnectionLimit({ most: 1_000, waitMs: WAIT_MS, memoryInUse: () => 0, onClosed: () => undefined });
  const alice = heavyOf(limit, 'alice');
  for (let each = 0; each < 15; each += 1) alice.add(17);
  for (let each = 0; each < 400; each += 1) alice.add(1);
  const bob = occupantsOf(limit)(200, true, 'bob');
  const carol = occupantsOf(limit)(200, true, 'carol');
  vi.advanceTimersByTime(2 * WAIT_MS);
  expect([alice.open.size, bob.open, carol.open]).toEqual([415, 200, 200]);
  // As many as there may be, of which a sixteenth is kept free.
  occupantsOf(limit)(185, true, 'dave', true);
  vi.advanceTimersByTime(2 * WAIT_MS);
  expect([alice.open.size, bob.open + carol.open]).toEqual([415, 400 - Math.ceil(1_000 / 16)]);
});

it('closes no more than are too many where memory is short and each account has few', () => {
  let closed = 0;
  let memory = 0.5;
  const options = { most: 10_000, waitMs: WAIT_MS, memoryInUse: () => memory };
  const limit = new ConnectionLimit({ ...options, onClosed: (count) => (closed += count) });
  const add = occupantsOf(limit);
  for (let each = 0; each < 2_000; each += 1) add(1, true, `user-${each}`);
  vi.advanceTimersByTime(2 * WAIT_MS);
  memory = 0.605;
  vi.advanceTimersByTime(500);
  expect(closed).toBe(Math.ceil(2_000 / 16));
});

it('closes those in flight whose clients are late where memory is short, and where it is not only idle ones', () => {
  let memory = 0.5;
  const options = { most: 2_000, waitMs: WAIT_MS, memoryInUse: () => memory };
  const limit = new ConnectionLimit({ ...options, onClosed: () => undefined });
  const mallory = heavyOf(limit, 'mallory');
  for (let each = 0; each < 400; each += 1) mallory.add(1, { lateSinceMs: performance.now() - 10_000 });
  vi.advanceTimersByTime(1_000);
  for (let each = 0; each < 10; each += 1) mallory.add(1, { waitingSinceMs: performance.now() });
  const bob = occupantsOf(limit)(100, true, 'bob');
  vi.advanceTimersByTime(2 * WAIT_MS);
  expect([mallory.open.size, bob.open]).toEqual([400, 100]);
  memory = 0.65;
  vi.advanceTimersByTime(500);
  // Down to its share of 256 at once.
  expect(mallory.open.size).toBeLessThanOrEqual(256);
  vi.advanceTimersByTime(10_000);
  expect([mallory.open.size > 0, bob.open]).toEqual([true, 100]);
});

it('closes what is in flight too where memory is critical, once for each step that it grows, of those with the most', () => {
  let memory = 0.5;
  const options = { most: 2_000, waitMs: WAIT_MS, memoryInUse: () => memory };
  const limit = new ConnectionLimit({ ...options, onClosed: () => undefined });
  const [mallory, bob] = [heavyOf(limit, 'mallory'), heavyOf(limit, 'bob')];
  for (let each = 0; each < 100; each += 1) bob.add(1);
  for (let each = 0; each < 900; each += 1) mallory.add(1);
  const [watches, floods] = [[...bob.open], [...mallory.open]];
  const after = (used: number): number => {
    memory = used;
    vi.advanceTimersByTime(9_000);
    return mallory.open.size;
  };
  expect([after(0.65), after(0.69)]).toEqual([900, 900]);
  const [first, stays, second] = [after(0.705), after(0.708), after(0.719)];
  expect([first < 900, stays, second < first, second > 700]).toEqual([true, first, true, true]);
  expect(watches.every((each) => bob.open.has(each))).toBe(true);
  // Of its own, the newest.
  expect(floods.slice(0, second).every((each) => mallory.open.has(each))).toBe(true);
  // More than there may be, and no growth: nothing in flight gives way for them.
  for (let each = 0; each < 200; each += 1) heavyOf(limit, `user-${each}`).add(1);
  expect(after(0.718)).toBe(second);
});

it('lets there be more again where memory does not grow, and takes what is in use for as it is where there are few', () => {
  let memory = 0.9;
  const options = { most: 1_600, waitMs: WAIT_MS, memoryInUse: () => memory };
  const limit = new ConnectionLimit({ ...options, onClosed: () => undefined });
  const bob = heavyOf(limit, 'bob');
  for (let each = 0; each < 50; each += 1) bob.add(1);
  vi.advanceTimersByTime(1_000);
  for (let each = 0; each < 100; each += 1) bob.add(1);
  vi.advanceTimersByTime(20_000);
  expect(bob.open.size).toBe(150);
  const filled = (used: number, ms: number): number => {
    memory = used;
    vi.advanceTimersByTime(ms);
    for (let each = 0; each < 200; each += 1) bob.add(1);
    return bob.open.size;
  };
  const least = filled(0.95, 5_000);
  expect(least).toBeLessThan(150);
  // What was freed is not given back to the system. Where memory is critical it is used again slowly, or not at all.
  expect(filled(0.95, 10 * 60_000)).toBe(least);
  expect(filled(0.8, 2 * 60_000)).toBeLessThan(1.25 * least);
  expect(filled(0.65, 3 * 60_000)).toBeGreaterThan(least + 200);
});

it('notes none of an account beyond its share where memory is short, a quarter of what there may be', () => {
  let memory = 0.5;
  const options = { most: 10_000, waitMs: WAIT_MS, memoryInUse: () => memory };
  const limit = new ConnectionLimit({ ...options, onClosed: () => undefined });
  const [mallory, bob] = [heavyOf(limit, 'mallory'), heavyOf(limit, 'bob')];
  for (let each = 0; each < 500; each += 1) mallory.add(1);
  for (let each = 0; each < 900; each += 1) heavyOf(limit, `user-${each}`).add(1);
  memory = 0.605;
  vi.advanceTimersByTime(500);
  expect([mallory.add(1), bob.add(1)]).toEqual([false, true]);
  for (let each = 0; each < 400; each += 1) bob.add(1);
  expect(bob.open.size).toBe(1_400 / 4);
  memory = 0.4;
  vi.advanceTimersByTime(500);
  expect(mallory.add(1)).toBe(true);
});

it('closes no user’s for connections without a credential, however many are opened while memory is critical', () => {
  const without = new Set<Occupant>();
  const options = { most: 10_000, waitMs: WAIT_MS, memoryInUse: () => 0.65 + without.size / 10_000 };
  const limit = new ConnectionLimit({ ...options, onClosed: () => undefined });
  const users = Array.from({ length: 500 }, (_, each) => heavyOf(limit, `user-${each}`));
  for (const { add } of users) add(1);
  vi.advanceTimersByTime(60_000);
  let most = 0;
  for (let each = 0; each < 40; each += 1) {
    for (let one = 0; one < 250; one += 1) {
      const giveWay = (): void => void without.delete(occupant);
      const occupant = { waitingSinceMs: performance.now(), giveWay };
      without.add(occupant);
      limit.add(occupant);
    }
    vi.advanceTimersByTime(250);
    most = Math.max(most, without.size);
  }
  expect(users.filter(({ open }) => open.size === 0)).toEqual([]);
  // Half a second of them, and one sweep.
  expect(most).toBeLessThanOrEqual(1_000);
});

it('counts what is open on connections where memory is short: few with many unread streams give way before many', () => {
  let memory = 0.5;
  const options = { most: 2_000, waitMs: WAIT_MS, memoryInUse: () => memory };
  const limit = new ConnectionLimit({ ...options, onClosed: () => undefined });
  const [mallory, bob] = [heavyOf(limit, 'mallory'), heavyOf(limit, 'bob')];
  for (let each = 0; each < 4; each += 1) mallory.add(1, { openWeight: 90 });
  for (let each = 0; each < 200; each += 1) bob.add(1);
  for (const used of [0.65, 0.699, 0.715]) {
    memory = used;
    vi.advanceTimersByTime(3_000);
  }
  expect([mallory.open.size, bob.open.size]).toEqual([2, 200]);
});

it('closes nothing of an account for what is open there before memory is short', () => {
  let memory = 0.55;
  const options = { most: 2_000, waitMs: WAIT_MS, memoryInUse: () => memory };
  const limit = new ConnectionLimit({ ...options, onClosed: () => undefined });
  const alice = new Set<Occupant>();
  for (let each = 0; each < 20; each += 1) {
    const idle = { waitingSinceMs: performance.now(), openWeight: 25, giveWay: () => void alice.delete(idle) };
    alice.add(idle);
    limit.add(idle);
    limit.note(idle, true, 'alice');
  }
  vi.advanceTimersByTime(4 * WAIT_MS);
  const open = [alice.size];
  memory = 0.65;
  vi.advanceTimersByTime(WAIT_MS);
  expect([...open, alice.size < 12]).toEqual([20, true]);
});

it('sees memory grow by less than a step in the time after which there may be more again, and by few connections', () => {
  let memory = 0.4;
  const options = { waitMs: WAIT_MS, memoryInUse: () => memory, onClosed: () => undefined };
  const idle = occupantsOf(new ConnectionLimit({ ...options, most: 10_000 }))(900, true);
  const few = heavyOf(new ConnectionLimit({ ...options, most: 10_000 }), 'eve');
  for (let each = 0; each < 3; each += 1) few.add(1, { openWeight: 900 });
  vi.advanceTimersByTime(1_000);
  memory = 0.55;
  for (let each = 0; each < 28; each += 1) {
    memory += 0.005;
    vi.advanceTimersByTime(10_000);
  }
  expect([idle.open < 600, few.open.size]).toEqual([true, 3]);
  memory = 0.75;
  vi.advanceTimersByTime(10_000);
  expect(few.open.size).toBeLessThan(3);
});

it('is not blind to memory that grows slowly, or by few connections, and takes what is in use for no reason to reject', () => {
  let memory = 0.55;
  const options = { most: 10_000, waitMs: WAIT_MS, memoryInUse: () => memory };
  const limit = new ConnectionLimit({ ...options, onClosed: () => undefined });
  const [mallory, bob] = [heavyOf(limit, 'mallory'), heavyOf(limit, 'bob')];
  for (let each = 0; each < 900; each += 1) mallory.add(1);
  const few = heavyOf(limit, 'eve');
  for (let each = 0; each < 2; each += 1) few.add(1, { openWeight: 900 });
  for (let each = 0; each < 20; each += 1) bob.add(1);
  // Half a step in ten seconds, for ten minutes.
  for (let each = 0; each < 60; each += 1) {
    memory = Math.min(0.8, memory + 0.005);
    vi.advanceTimersByTime(10_000);
  }
  expect(mallory.open.size).toBeLessThan(600);
  expect([few.open.size, bob.open.size]).toEqual([0, 20]);
  // The replica is empty, and its memory is as it was.
  for (const { open } of [mallory, few]) for (const each of open) limit.remove(each);
  for (let each = 0; each < 200; each += 1) expect(bob.add(1)).toBe(true);
});

it('takes the limit of the container for the memory there is, and that of the machine where there is none', () => {
  const group = { root: 'none', membership: 'none' };
  const machine = memoryInUse(group);
  const limit = vi.spyOn(process, 'constrainedMemory');
  onTestFinished(() => limit.mockRestore());
  const shares = [2 * process.memoryUsage.rss(), 0, 2 ** 64].map((bytes) => {
    limit.mockReturnValue(bytes);
    return memoryInUse(group);
  });
  expect(shares[0]).toBeCloseTo(0.5, 1);
  expect(shares.slice(1).map((share) => share / machine)).toEqual([expect.closeTo(1, 1), expect.closeTo(1, 1)]);
});

it('counts what the system counts for the container too: buffers of sockets above all', () => {
  const root = mkdtempSync(join(tmpdir(), 'portcullis-cgroup-'));
  onTestFinished(() => rmSync(root, { recursive: true }));
  const group = { root, membership: join(root, 'membership') };
  mkdirSync(join(root, 'pod'));
  writeFileSync(group.membership, '1:name=systemd:/x\n0::/pod\n');
  writeFileSync(join(root, 'pod', 'memory.stat'), 'anon 3000\nfile 9000\nsock 4000\nsock_x 7\nkernel 900\nshmem 1\n');
  const rss = vi.spyOn(process.memoryUsage, 'rss').mockReturnValue(3_500);
  const limit = vi.spyOn(process, 'constrainedMemory').mockReturnValue(10_000);
  onTestFinished(() => {
    for (const each of [rss, limit]) each.mockRestore();
  });
  expect(memoryInUse(group)).toBe(0.7001);
  rmSync(group.membership);
  expect(memoryInUse(group)).toBe(0.35);
});

it('leaves an account hundreds of connections where there are few in all, and a place again for each that has gone', () => {
  const limit = new ConnectionLimit({ most: 1_000, waitMs: WAIT_MS, memoryInUse: () => 0, onClosed: () => undefined });
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

it('a handshake that has begun does not wait for its client before it is read again', () => {
  const occupants: Occupant[] = [];
  const limit = { add: (occupant: Occupant) => void occupants.push(occupant) } as ConnectionLimit;
  const connections = new ConnectionTable(limit, { isBehind: () => false, isHeldBack: () => false });
  // Whose ClientHello is whole, and waits for its turn.
  const socket = { readableLength: 300, once: () => undefined } as unknown as Socket;
  connections.remember(socket);
  const since = (): number | undefined => occupants[0]?.waitingSinceMs;
  const states = [since()];
  connections.handshakeBegun(socket);
  Object.assign(socket, { readableLength: 0 });
  states.push(since());
  vi.advanceTimersByTime(3_000);
  const turnMs = performance.now();
  connections.clientAwaited(socket);
  vi.advanceTimersByTime(1_000);
  connections.clientAwaited(socket);
  expect([...states, since()]).toEqual([undefined, undefined, turnMs]);
});

it('its client is late once it is with all that is open; what is open, and what the system holds for it, counts', () => {
  const occupants: Occupant[] = [];
  const limit = { add: (occupant: Occupant) => void occupants.push(occupant) } as ConnectionLimit;
  const held: Record<string, number> = {};
  const buffers = { of: (endpoints: string) => held[endpoints] ?? 0, lookedMs: 0 };
  const connections = new ConnectionTable(limit, { isBehind: () => false, isHeldBack: () => false }, buffers);
  const ends = { remoteAddress: '10.0.0.1', remotePort: 50_000, localAddress: '10.0.0.2', localPort: 443 };
  const socket = { ...ends, once: () => undefined, bytesRead: 0 } as unknown as Socket;
  connections.remember(socket);
  const paired = connections.pair(socket as TLSSocket);
  if (!paired.ok) throw new Error(paired.reason);
  const late = { upload: 0, other: 2_999 };
  const open = (name: keyof typeof late): (() => void) =>
    paired.value.responseOpened(
      { finished: false, awaitsClient: false, inFlight: true, headLines: 5, upstream: name, lateMs: () => late[name] },
      () => undefined,
    );
  const since = (): number | undefined => occupants[0]?.lateSinceMs;
  const states = [since()];
  open('upload');
  const close = open('other');
  const weights = [occupants[0]?.openWeight];
  late.upload = 3_000;
  weights.push(occupants[0]?.openWeight);
  states.push(since());
  close();
  expect([...states, since()]).toEqual([undefined, undefined, performance.now() - 3_000]);
  late.upload = 0;
  // Sent on to a pod that does not read.
  held['upload'] = 800_000;
  weights.push(occupants[0]?.openWeight);
  // And responses that the client does not read.
  held[endpointsOf(socket)] = 4_000_000;
  weights.push(occupants[0]?.openWeight);
  expect(weights).toEqual([0, 4, 10, 60]);
});

import type { Socket } from 'node:net';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { LingeringClose } from '../../../../src/proxy/listener/lingering-close.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** What the system does with a connection whose socket Node closes, where memory may become short. */
function closing({
  written = 10 ** 6,
  queued = 0,
  isBroken = false,
  hasEnded = true,
  isFilling = true,
  held = 10 ** 5,
} = {}) {
  const done: string[] = [];
  const ways = { close: () => void done.push('close'), reset: () => void done.push('reset') };
  const handle = { ...ways, readStop: () => undefined, bytesWritten: written, writeQueueSize: queued };
  const buffers = { of: () => held, lookedMs: 0 };
  const state = { isFilling };
  const connection = new LingeringClose({ _handle: handle } as unknown as Socket, {
    buffers,
    isFilling: () => state.isFilling,
    isBroken: () => isBroken,
    hasEnded: () => hasEnded,
    onLinger: () => void done.push('lingers'),
  });
  return {
    connection,
    state,
    /** What is known from now on. */
    looks: (bytes: number) => {
      held = bytes;
      buffers.lookedMs = performance.now();
    },
    closes: () => handle.close(),
    /** @returns what was done in so many milliseconds */
    after: (ms: number): readonly string[] => {
      vi.advanceTimersByTime(ms);
      return done;
    },
  };
}

it.each([
  ['there is memory', { isFilling: false }, 'close'],
  ['it has written no more than a handshake', { written: 8191 }, 'close'],
  ['this process still has some of what was written', { queued: 1, hasEnded: false }, 'reset'],
  ['this process still has some of it, and the end behind it', { queued: 1 }, 'close'],
  ['it ends within a response', { isBroken: true, hasEnded: false }, 'reset'],
])('closes at once where %s', (_why, given, way) => {
  const socket = closing(given);
  socket.closes();
  expect(socket.after(0)).toEqual([way]);
});

it('closes once its client has read all, by a look at the system that came after its end', () => {
  const socket = closing({ held: 0 });
  vi.advanceTimersByTime(1);
  socket.closes();
  expect(socket.after(1_000)).toEqual(['lingers']);
  socket.looks(100_000);
  expect(socket.after(1_000)).toEqual(['lingers']);
  socket.looks(0);
  expect(socket.after(1_000)).toEqual(['lingers', 'close']);
  expect(vi.getTimerCount()).toBe(0);
});

it('is reset where its client reads nothing in half a minute, and closes where there is memory again', () => {
  const [stuck, slow, later] = [closing(), closing(), closing()];
  for (const each of [stuck, slow, later]) each.closes();
  const looks = (ms: number, bytes: number): void => {
    vi.advanceTimersByTime(ms);
    stuck.looks(100_000);
    slow.looks(bytes);
  };
  looks(1, 100_000);
  looks(20_000, 90_000);
  looks(9_000, 90_000);
  expect(stuck.after(500)).toEqual(['lingers']);
  later.state.isFilling = false;
  looks(2_000, 90_000);
  expect(stuck.after(500)).toEqual(['lingers', 'reset']);
  expect(later.after(0)).toEqual(['lingers', 'close']);
  // It goes on reading, a little every 20 s, for five minutes.
  for (let read = 1; read < 14; read += 1) {
    slow.looks(90_000 - read);
    vi.advanceTimersByTime(20_000);
  }
  expect(slow.after(0)).toEqual(['lingers']);
  expect(slow.after(20_000)).toEqual(['lingers', 'reset']);
});

it('waits for its client since it is idle, or since that took something of what the system still holds', () => {
  const { connection, looks, state } = closing({ held: 0 });
  vi.advanceTimersByTime(10_000);
  const since = (): number => performance.now() - connection.waitingSinceMs(performance.now() - 5_000);
  const waits = [since()];
  looks(100_000);
  waits.push(since());
  vi.advanceTimersByTime(4_000);
  waits.push(since());
  looks(100_000);
  waits.push(since());
  looks(200_000);
  waits.push(since());
  looks(50_000);
  waits.push(since());
  vi.advanceTimersByTime(1_000);
  looks(0);
  waits.push(since());
  looks(50_000);
  state.isFilling = false;
  waits.push(since());
  expect(waits).toEqual([5_000, 0, 0, 4_000, 4_000, 0, 5_000, 5_000]);
});

it('is reset where it gives way, and never in the turn in which an end was sent', () => {
  const [before, ended, broken, after, empty] = [
    closing({ hasEnded: false }),
    closing(),
    closing({ isBroken: true }),
    closing(),
    closing({ held: 0 }),
  ];
  for (const { connection } of [before, ended, empty]) connection.drop();
  for (const each of [before, ended, broken, after, empty]) each.closes();
  after.connection.drop();
  const all = [before, ended, broken, after, empty];
  expect(all.map((each) => each.after(0))).toEqual([['reset'], ['lingers'], ['lingers'], ['lingers'], ['close']]);
  // As a turn that takes long: timers come before what libuv has to do.
  expect(all.map((each) => each.after(250).at(-1))).toEqual(['reset', 'reset', 'reset', 'reset', 'close']);
});

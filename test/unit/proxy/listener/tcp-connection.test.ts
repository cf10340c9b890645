import type { Socket } from 'node:net';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { ConnectionLimit } from '../../../../src/proxy/listener/connection-limit.ts';
import { TcpConnection, type SecuredConnection } from '../../../../src/proxy/listener/tcp-connection.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** What the system does with a connection whose socket Node closes, where memory may become short. */
function closing({
  written = 10 ** 6,
  queued = 0,
  isOver = true,
  hasEnded = false,
  isFilling = true,
  held = 10 ** 5,
} = {}) {
  const done: string[] = [];
  const ways = { close: () => void done.push('close'), reset: () => void done.push('reset') };
  const handle = { ...ways, readStop: () => void done.push('unread'), bytesWritten: written, writeQueueSize: queued };
  const limit = { countsOpen: isFilling };
  const buffers = { of: () => held, lookedMs: 0 };
  const connection = new TcpConnection({ _handle: handle } as unknown as Socket, {
    address: '192.0.2.1',
    limit: limit as ConnectionLimit,
    buffers,
  });
  connection.tls = {
    isOver,
    hasEnded,
    over: () => void done.push('over'),
    close: () => undefined,
  } as SecuredConnection;
  return {
    connection,
    /** What is known from now on. */
    looks: (bytes: number) => {
      held = bytes;
      buffers.lookedMs = performance.now();
    },
    hasSpace: () => void (limit.countsOpen = false),
    closes: () => handle.close(),
    /** @returns what was done in so many milliseconds */
    after: (ms: number): readonly string[] => {
      vi.advanceTimersByTime(ms);
      return done.filter((each) => each !== 'unread');
    },
  };
}

it.each([
  ['there is memory', { isFilling: false }, 'close'],
  ['it has written little', { written: 65_535 }, 'close'],
  ['this process still has some of what was written', { queued: 1 }, 'reset'],
  ['this process still has some of it, and the end behind it', { queued: 1, hasEnded: true }, 'close'],
  ['it ends within a response', { isOver: false }, 'reset'],
])('closes at once where %s', (_why, state, way) => {
  const socket = closing(state);
  socket.closes();
  expect(socket.after(0)).toEqual([way]);
});

it('closes once its client has read all, by a look at the system that came after its end', () => {
  const socket = closing({ held: 0 });
  vi.advanceTimersByTime(1);
  socket.closes();
  expect(socket.after(1_000)).toEqual(['over']);
  socket.looks(100_000);
  expect(socket.after(1_000)).toEqual(['over']);
  socket.looks(0);
  expect(socket.after(1_000)).toEqual(['over', 'close']);
  expect(vi.getTimerCount()).toBe(0);
});

it('is reset where its client reads nothing in half a minute, and closes where there is memory again', () => {
  const [slow, later] = [closing(), closing()];
  slow.closes();
  later.closes();
  expect(slow.after(30_000)).toEqual(['over']);
  later.hasSpace();
  expect([slow.after(500), later.after(0)]).toEqual([
    ['over', 'reset'],
    ['over', 'close'],
  ]);
});

it('is reset where it gives way, before it is closed and after', () => {
  const [before, after, empty] = [closing(), closing(), closing({ held: 0 })];
  for (const each of [before, empty]) {
    each.connection.giveWay();
    each.closes();
  }
  after.closes();
  after.connection.giveWay();
  expect([before.after(0), empty.after(0), after.after(0)]).toEqual([['reset'], ['close'], ['over', 'reset']]);
});

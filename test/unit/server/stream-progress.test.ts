import type { Socket } from 'node:net';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { StreamProgress, StreamSide } from '../../../src/server/stream-progress.ts';

/** What the system takes for a peer that reads nothing. */
const FULL = 4_000_000;
const LATE_MS = 3_000;

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** A stream whose peer takes so many bytes a second of all that there is. */
function stream({ system = FULL, queued = 65_536, perSecond = 0 } = {}) {
  const handle = { bytesWritten: system + queued, writeQueueSize: queued };
  const address = { remoteAddress: '127.0.0.1', remotePort: 2, localAddress: '127.0.0.1', localPort: 1 };
  const socket = { _handle: handle, writableLength: queued, readableLength: 0, ...address } as unknown as Socket;
  const buffers = { of: () => system, lookedMs: performance.now() };
  const sides = [new StreamSide(socket, buffers)];
  const progress = new StreamProgress();
  const look = () => progress.look(sides);
  look();
  return {
    look,
    /** Looks four times a second. */
    after(seconds: number, taken = perSecond) {
      for (let each = 0; each < seconds * 4; each += 1) {
        vi.advanceTimersByTime(250);
        // What the peer has taken, the system has taken of this process.
        handle.bytesWritten += taken / 4;
        look();
        buffers.lookedMs = performance.now();
      }
      return look();
    },
    empty() {
      [system, handle.writeQueueSize] = [0, 0];
      Object.assign(socket, { writableLength: 0 });
    },
  };
}

it('its peer is late where it takes nothing, or a byte now and then, and is not where it is slow', () => {
  expect(stream().after(2).lateMs).toBeLessThan(LATE_MS);
  expect(stream().after(4).lateMs).toBeGreaterThanOrEqual(LATE_MS);
  expect(stream({ perSecond: 100 }).after(4).lateMs).toBeGreaterThanOrEqual(LATE_MS);
  expect(stream({ perSecond: 20_000 }).after(60).lateMs).toBeLessThan(LATE_MS);
});

it('a peer that was fast, and stops, is late as soon as one that was never', () => {
  const fast = stream();
  expect(fast.after(10, 1_000_000).lateMs).toBe(0);
  expect(fast.after(4, 0).lateMs).toBeGreaterThanOrEqual(LATE_MS);
});

it('is late also where only this process holds what waits, and is not where nothing waits', () => {
  expect(stream({ system: 0 }).after(4).lateMs).toBeGreaterThanOrEqual(LATE_MS);
  expect(stream({ system: 0, queued: 0 }).after(60)).toEqual({ lateMs: 0, stillMs: 0 });
});

it('stands still from the last byte on that was taken, and does not where nothing waits', () => {
  const slow = stream();
  const stood = slow.after(10).stillMs;
  expect(stood).toBe(10_000);
  expect(slow.after(1, 4_000).stillMs).toBeLessThan(1_000);
  expect(slow.after(20, 0).stillMs).toBeGreaterThan(19_000);
  slow.empty();
  vi.advanceTimersByTime(60_000);
  expect(slow.look().stillMs).toBe(0);
});

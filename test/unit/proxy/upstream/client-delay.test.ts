import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { ClientDelay } from '../../../../src/proxy/upstream/client-delay.ts';

beforeEach(() => void vi.useFakeTimers({ toFake: ['performance'] }));
afterEach(() => void vi.useRealTimers());

/** A request whose client lets so many bytes pass after each wait, and then the API server works for as long. */
function stage() {
  let passed = 0;
  const delay = new ClientDelay(() => passed);
  const late = (): number => delay.lateMs(performance.now());
  return {
    late,
    delay,
    pass: (bytes: number) => void (passed += bytes),
    /** @returns whether it is late in the end of the wait, and while the API server works */
    step: (waitMs: number, bytes: number): readonly boolean[] => {
      delay.waits();
      vi.advanceTimersByTime(waitMs);
      const atEnd = late() > 0;
      passed += bytes;
      delay.goesOn();
      vi.advanceTimersByTime(waitMs);
      return [atEnd, late() > 0];
    },
  };
}

it('a client that trickles is late after it was waited for for half a second, however often it sends a byte', () => {
  for (const everyMs of [2, 100, 250]) {
    const { step } = stage();
    const steps = Array.from({ length: 1_000 / everyMs }, () => step(everyMs, 1));
    expect(steps.at(Math.floor(450 / everyMs) - 1)).toEqual([false, false]);
    expect(steps.at(-1)).toEqual([true, false]);
  }
});

it('a client that sends 20 kB/s never is', () => {
  const { step } = stage();
  for (let left = 100; left > 0; left -= 1) expect(step(400, 8_000)).toEqual([false, false]);
});

it('one that was fast, and stops, is; until something of what waits has passed', () => {
  const { delay, pass, late, step } = stage();
  step(10, 100_000_000);
  delay.waits();
  vi.advanceTimersByTime(501);
  expect(late()).toBe(1);
  pass(16);
  expect(late()).toBe(0);
});

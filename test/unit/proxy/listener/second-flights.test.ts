import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { SecondFlights, type Flight } from '../../../../src/proxy/listener/second-flights.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

it('ends those that have sent more than a handshake may have, when their turn is over, and no others', () => {
  const flights = new SecondFlights();
  const ended: number[] = [];
  for (let each = 0; each < 40; each += 1) {
    const flight: Flight = {
      stopReading: () => undefined,
      goOnReading: () => undefined,
      isTooLarge: each % 2 === 0,
      end: () => {
        ended.push(each);
        flights.remove(flight);
      },
    };
    flights.add(flight);
  }
  vi.advanceTimersByTime(200);
  expect(ended.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, index) => 2 * index));
});

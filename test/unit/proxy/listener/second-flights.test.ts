import { afterEach, beforeEach, expect, it, onTestFinished, vi } from 'vitest';
import { SecondFlights, type Flight } from '../../../../src/proxy/listener/second-flights.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** A connection that is read or not, and of which so many bytes come in each of its turns. */
function flightOf(flights: SecondFlights, bytes: number, about: Partial<Flight> = {}) {
  const flight = {
    isRead: true,
    turns: 0,
    bytesRead: 0,
    isTooLarge: false,
    stopReading: () => void (flight.isRead = false),
    goOnReading: () => {
      flight.isRead = true;
      flight.turns += 1;
    },
    end: () => flights.remove(flight),
    arrive: () => void (flight.bytesRead += flight.isRead ? bytes : 0),
    ...about,
  };
  flights.add(flight);
  return flight;
}

/** As OpenSSL does with certificates, and any request. */
function burn(): void {
  const since = process.threadCpuUsage();
  while (process.threadCpuUsage(since).user < 50_000);
}

it.each([
  { bytes: 20_000, most: 1, of: 'their certificates' },
  { bytes: 100, most: 4, of: 'anything else' },
])('$most are read at once after a turn that $of made long', ({ bytes, most }) => {
  const flights = new SecondFlights();
  const each = Array.from({ length: 12 }, () => flightOf(flights, bytes));
  vi.advanceTimersByTime(2);
  for (const { arrive } of each) arrive();
  burn();
  vi.advanceTimersByTime(2);
  expect(each.filter(({ isRead }) => isRead)).toHaveLength(most);
});

it('reads those that have just begun before a thousand that are never gone on with, which are read as well', () => {
  const flights = new SecondFlights();
  const never = Array.from({ length: 1_000 }, () => flightOf(flights, 0));
  vi.advanceTimersByTime(3_000);
  const before = never.reduce((sum, { turns }) => sum + turns, 0);
  const [user] = Array.from({ length: 9 }, () => flightOf(flights, 0));
  vi.advanceTimersByTime(40);
  // Of 80 turns, nine share three quarters.
  expect(user?.turns).toBeGreaterThanOrEqual(5);
  expect(never.reduce((sum, { turns }) => sum + turns, 0) - before).toBeGreaterThanOrEqual(15);
});

it.each([
  { bytes: 0, made: 19, of: 'other work' },
  { bytes: 20_000, made: 10, of: 'their certificates' },
])(
  'after ten turns were missed because of $of, $made are made in the time for ten, few read in each',
  ({ bytes, made }) => {
    const flights = new SecondFlights();
    const each = Array.from({ length: 200 }, () => flightOf(flights, bytes));
    const now = performance.now.bind(performance);
    const late = vi.spyOn(performance, 'now').mockImplementation(() => now() + 20);
    onTestFinished(() => late.mockRestore());
    for (const { arrive } of each) arrive();
    burn();
    const begun = Date.now();
    let turns = 0;
    // The next poll of the sockets, a millisecond later here, or the next timer.
    for (vi.advanceTimersToNextTimer(); Date.now() - begun <= 20; vi.advanceTimersToNextTimer()) {
      turns += 1;
      expect(each.filter(({ isRead }) => isRead).length).toBeLessThanOrEqual(4);
    }
    expect(turns).toBe(made);
  },
);

it('ends those that have sent more than a handshake may have, when their turn is over, and no others', () => {
  const flights = new SecondFlights();
  const ended: number[] = [];
  for (let each = 0; each < 40; each += 1) {
    const flight = flightOf(flights, 0, {
      isTooLarge: each % 2 === 0,
      end: () => {
        ended.push(each);
        flights.remove(flight);
      },
    });
  }
  vi.advanceTimersByTime(200);
  expect(ended.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, index) => 2 * index));
});

import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import {
  flightOf,
  MOST_HANDSHAKE_BYTES,
  SecondFlights,
  type Flight,
} from '../../../../src/proxy/listener/second-flights.ts';

/** Of the processor, in milliseconds: what OpenSSL would take. */
let spent = 0;
beforeEach(() => {
  spent = 0;
  vi.spyOn(process, 'threadCpuUsage').mockImplementation((before) => ({
    user: spent * 1000 - (before?.user ?? 0),
    system: 0,
  }));
});
afterEach(() => void vi.restoreAllMocks());

interface Like {
  readonly site?: string;
  /** Milliseconds that OpenSSL takes for what has come; undefined: nothing comes. */
  readonly takes?: number;
  /** All that a handshake may have has come, and it is not over. */
  readonly isEndless?: boolean;
  readonly isLong?: boolean;
}

function add(flights: SecondFlights, { site = 'a', takes, isEndless = false, isLong = false }: Like = {}) {
  const flight = {
    site,
    isLong,
    reads: 0,
    checks: 0,
    holds: 0,
    releases: 0,
    ends: 0,
    hold: () => void (flight.holds += 1),
    release: () => void (flight.releases += 1),
    end: () => void (flight.ends += 1),
    read: (): ReturnType<Flight['read']> => {
      flight.reads += 1;
      return takes === undefined ? 'nothing' : 'some';
    },
    check: (): boolean => {
      flight.checks += 1;
      spent += takes ?? 0;
      if (!isEndless) flights.remove(flight);
      return false;
    },
  };
  flights.add(flight);
  return flight;
}

describe('second flights', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it('are read of the site that has taken least of the processor, before all that others send', () => {
    const flights = new SecondFlights();
    const sites = Array.from({ length: 16 }, (_, index) => `attacker ${index}`);
    for (const site of sites) for (let each = 0; each < 40; each += 1) add(flights, { site, takes: 62 });
    vi.advanceTimersByTime(5_000);
    const user = add(flights, { site: 'user', takes: 1 });
    for (const site of sites) add(flights, { site, takes: 62 });
    vi.advanceTimersByTime(2);
    expect(user).toMatchObject({ checks: 1, releases: 1 });
  });

  it('that send nothing, from whatever sites, are not read before an office that has taken something already', () => {
    const flights = new SecondFlights();
    for (let each = 0; each < 60; each += 1) add(flights, { site: `silent ${each}` });
    for (let each = 0; each < 20; each += 1) {
      const user = add(flights, { site: 'office', takes: 2 });
      vi.advanceTimersByTime(100);
      expect(user.checks).toBe(1);
    }
  });

  it('of sites that have taken much have half of the processor, and those of others all', () => {
    const flights = new SecondFlights();
    const dear = Array.from({ length: 100 }, (_, index) => add(flights, { site: `${index % 3}`, takes: 62 }));
    vi.advanceTimersByTime(1_000);
    const done = dear.filter(({ checks }) => checks > 0).length;
    // The first of each site, and one in 62 ms in which the processor had as long for others.
    expect(done).toBeGreaterThan(12);
    expect(done).toBeLessThan(21);
    const cheap = Array.from({ length: 100 }, (_, index) => add(flights, { site: `user ${index}`, takes: 1 }));
    vi.advanceTimersByTime(30);
    expect(cheap.every(({ checks }) => checks === 1)).toBe(true);
  });

  it('that are long have half of the processor, too, however many sites they come from', () => {
    const flights = new SecondFlights();
    const long = Array.from({ length: 100 }, (_, index) => add(flights, { site: `${index}`, takes: 62, isLong: true }));
    vi.advanceTimersByTime(1_000);
    expect(long.filter(({ checks }) => checks > 0).length).toBeLessThan(20);
    const user = add(flights, { site: 'user', takes: 1 });
    vi.advanceTimersByTime(4);
    expect(user.checks).toBe(1);
  });

  it('leave the turn to others once they have taken eight milliseconds of it', () => {
    const flights = new SecondFlights();
    const each = Array.from({ length: 40 }, (_, index) => add(flights, { site: `${index}`, takes: 3 }));
    vi.advanceTimersByTime(2);
    expect(each.filter(({ checks }) => checks > 0)).toHaveLength(3);
  });

  it('that have just begun are read before a thousand that are never gone on with, which are read as well', () => {
    const flights = new SecondFlights();
    const never = Array.from({ length: 1_000 }, () => add(flights));
    vi.advanceTimersByTime(3_000);
    const before = never.reduce((sum, { reads }) => sum + reads, 0);
    const [user] = Array.from({ length: 48 }, () => add(flights));
    vi.advanceTimersByTime(40);
    // Of 320 reads, they share three quarters.
    expect(user?.reads).toBeGreaterThanOrEqual(4);
    expect(never.reduce((sum, { reads }) => sum + reads, 0) - before).toBeGreaterThanOrEqual(60);
  });

  it('that are never gone on with are not read in each turn where they are few, and long before a user gives up', () => {
    const flights = new SecondFlights();
    const never = Array.from({ length: 20 }, () => add(flights));
    vi.advanceTimersByTime(1_000);
    const before = never.map(({ reads }) => reads);
    vi.advanceTimersByTime(160);
    const reads = never.map((each, index) => each.reads - (before[index] ?? 0));
    // Of 80 turns.
    expect(Math.max(...reads)).toBeLessThanOrEqual(13);
    expect(Math.min(...reads)).toBeGreaterThanOrEqual(8);
    const user = add(flights, { site: 'user', takes: 1 });
    vi.advanceTimersByTime(2);
    expect(user.checks).toBe(1);
  });

  it('make up for turns that were missed because of other work, few read in each', () => {
    const flights = new SecondFlights();
    const each = Array.from({ length: 200 }, () => add(flights));
    const now = performance.now.bind(performance);
    const late = vi.spyOn(performance, 'now').mockImplementation(() => now() + 20);
    onTestFinished(() => late.mockRestore());
    const begun = Date.now();
    let made = 0;
    let before = 0;
    // The next poll of the sockets, a millisecond later here, or the next timer.
    for (vi.advanceTimersToNextTimer(); Date.now() - begun <= 20; vi.advanceTimersToNextTimer()) {
      made += 1;
      const reads = each.reduce((sum, flight) => sum + flight.reads, 0);
      expect(reads - before).toBeLessThanOrEqual(16);
      before = reads;
    }
    expect(made).toBe(19);
  });

  it('have more of a turn where other work makes the turns long', () => {
    const flights = new SecondFlights();
    const each = Array.from({ length: 200 }, () => add(flights));
    const now = performance.now.bind(performance);
    const late = vi.spyOn(performance, 'now').mockImplementation(() => now() + 160);
    onTestFinished(() => late.mockRestore());
    vi.advanceTimersToNextTimer();
    const reads = each.reduce((sum, flight) => sum + flight.reads, 0);
    expect(reads).toBeGreaterThanOrEqual(5 * 16);
    expect(reads).toBeLessThanOrEqual(8 * 16);
  });

  it('are ended where all that a handshake may have has come, and it is not over', () => {
    const flights = new SecondFlights();
    const each = [add(flights, { takes: 1, isEndless: true }), add(flights, { takes: 1 })];
    vi.advanceTimersByTime(20);
    expect(each.map(({ checks, ends, releases }) => ({ checks, ends, releases }))).toEqual([
      { checks: 1, ends: 1, releases: 1 },
      { checks: 1, ends: 0, releases: 1 },
    ]);
  });

  it('are left to Node when they are over, and not before', async () => {
    const flights = new SecondFlights();
    const flight = add(flights);
    // Node begins to read it by itself in its turn.
    await new Promise((resolve) => process.nextTick(resolve));
    expect(flight).toMatchObject({ holds: 2, releases: 0 });
    flights.remove(flight);
    flights.remove(flight);
    expect(flight.releases).toBe(1);
    vi.advanceTimersByTime(100);
    expect(flight.reads).toBe(0);
  });
});

describe('one second flight', () => {
  async function sent(bytes: number, end = false) {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
    const [socket] = (await once(server, 'connection')) as [Socket];
    onTestFinished(() => {
      client.destroy();
      socket.destroy();
      server.close();
    });
    const received: number[] = [];
    const tls = { _handle: { receive: ({ length }: Uint8Array) => void received.push(length) } };
    const read: number[] = [];
    const isTooLarge = vi.fn();
    const flight = flightOf(socket, {
      tls: tls as unknown as TLSSocket,
      site: 'a',
      onTurn: () => undefined,
      onRead: (count) => void read.push(count),
      onTooLarge: isTooLarge,
    });
    if (bytes > 0) await new Promise((resolve) => void client.write(Buffer.alloc(bytes), resolve));
    if (end) client.end();
    return { received, read, isTooLarge, socket, flight };
  }

  it('comes to OpenSSL whole where it is no longer than any user’s, in two parts where it is a long one', async () => {
    const { received, read, flight } = await sent(MOST_HANDSHAKE_BYTES - 1);
    await expect.poll(() => flight.read()).toBe('some');
    expect([flight.isLong, flight.check(), flight.isLong]).toEqual([false, true, true]);
    await expect.poll(() => flight.read()).toBe('some');
    expect([flight.check(), flight.read()]).toEqual([true, 'nothing']);
    expect(received).toEqual([2048, MOST_HANDSHAKE_BYTES - 2049]);
    expect(read).toEqual(received);
  });

  it('comes to OpenSSL no further than a user’s may be, and the rest stays where it is', async () => {
    const { received, isTooLarge, socket, flight } = await sent(47_000);
    await expect.poll(() => flight.read()).toBe('some');
    expect([flight.check(), flight.read(), flight.check()]).toEqual([true, 'some', false]);
    expect(received).toEqual([2048, MOST_HANDSHAKE_BYTES - 2048]);
    expect([flight.read(), flight.check()]).toEqual(['some', false]);
    flight.end();
    expect(isTooLarge).toHaveBeenCalledOnce();
    expect(socket.destroyed).toBe(true);
  });

  it('is over where its client has left', async () => {
    const { flight } = await sent(0, true);
    await expect.poll(() => flight.read()).toBe('left');
  });
});

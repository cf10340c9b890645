/**
 * Reads the second flights of few handshakes at once: the client's certificate, and the proof that it has the key.
 *
 * OpenSSL checks the client's certificates against each other before anyone can say that no CA matters here. An attacker
 * sends eight CAs with 500 name constraints each, and a certificate with 2,000 names: 57 kB that take 43 ms. Sixty
 * connections that were held back until each lacked only these took 2.6 s in one turn, without any credential. Whether
 * one has something to read cannot be told without reading it, so they take turns.
 *
 * Nor does a handshake go on that has more bytes than any user's: OpenSSL would hold 100 kB and more of each.
 */
import type { Socket } from 'node:net';
import { readerOf, type Reader } from './reader.ts';

/** Connections. Each takes as long as OpenSSL lets it, 80 ms with all the 100 kB that it accepts. */
const MOST = 4;
/** Of ten thousand that are silent, each is read every five seconds. */
const EVERY_MS = 2;
/**
 * Turns of these that were missed while the process had no processor, or other work. They are made up for one after the
 * other, with a poll of the sockets between them: as few as ever are read in each. Where they were not, four were read
 * every ten milliseconds of a busy machine, which an attacker's new handshakes outran.
 */
const MOST_MISSED = 16;
/**
 * A turn in which so many bytes of them came and that took as long, of the processor's time, was an attacker's. Where it
 * was the time on the wall, a busy machine, or requests of 10 kB/s, left one to be read in a turn, and new users waited
 * five seconds behind a thousand handshakes that were never gone on with.
 */
const LONG_MS = 40;
const LONG_BYTES = 4096;
/**
 * A user's handshake is over in a round trip or two. An attacker's thousand that are never gone on with cost a
 * ClientHello each: those that have begun longer ago have one turn in so many.
 */
const YOUNG_MS = 500;
const TURNS_OF_THE_OLD = 4;

/** With a ClientHello of 2 kB, a certificate of 4 kB, and as much of its CAs. */
export const MOST_HANDSHAKE_BYTES = 12_288;

export interface Flight extends Reader {
  /** Since the connection was made. */
  readonly bytesRead: number;
  /** More than a handshake may have was read. */
  readonly isTooLarge: boolean;
  /** Ends the connection, because it is too large. */
  end(): void;
}

export interface FlightEvents {
  /** Called at each of its turns. */
  readonly onTurn: () => void;
  /** Called before the connection ends. */
  readonly onTooLarge: () => void;
}

export function flightOf(socket: Socket, { onTurn, onTooLarge }: FlightEvents): Flight {
  const reader = readerOf(socket);
  return {
    stopReading: () => reader.stopReading(),
    goOnReading: () => {
      onTurn();
      reader.goOnReading();
    },
    get bytesRead() {
      return socket.bytesRead;
    },
    get isTooLarge() {
      return socket.bytesRead > MOST_HANDSHAKE_BYTES;
    },
    end: () => {
      onTooLarge();
      socket.destroy();
    },
  };
}

export class SecondFlights {
  /** With the bytes that had come of each before its turn. */
  readonly #reading = new Map<Flight, number>();
  /** When each has begun, of all of them. */
  readonly #begun = new Map<Flight, number>();
  /** Those that have begun a moment ago, and the others. The one that has waited longest first. */
  readonly #young = new Set<Flight>();
  readonly #old = new Set<Flight>();
  #most = MOST;
  #turns = 0;
  #missed = 0;
  /** When the last turn was over. Monotonic milliseconds. */
  #lastMs = 0;
  /** In this turn. */
  #bytes = 0;
  #since = process.threadCpuUsage();
  #isTurning = false;

  /** To be called when the handshake has begun, and Node reads the connection. */
  add(flight: Flight): void {
    this.#begun.set(flight, performance.now());
    if (!this.#isAnyWaiting && this.#reading.size < this.#most) return this.#read(flight);
    flight.stopReading();
    this.#young.add(flight);
    if (this.#isTurning) return;
    this.#missed = 0;
    this.#wait();
  }

  /** To be called when the handshake is over, or the connection. */
  remove(flight: Flight): void {
    this.#begun.delete(flight);
    this.#countBytes(flight);
    this.#reading.delete(flight);
    if (this.#young.delete(flight) || this.#old.delete(flight)) flight.goOnReading();
  }

  get #isAnyWaiting(): boolean {
    return this.#young.size + this.#old.size > 0;
  }

  #countBytes(flight: Flight): void {
    this.#bytes += flight.bytesRead - (this.#reading.get(flight) ?? flight.bytesRead);
  }

  #wait(): void {
    this.#bytes = 0;
    this.#since = process.threadCpuUsage();
    this.#lastMs = performance.now();
    this.#isTurning = true;
    if (this.#missed >= 1) setImmediate(this.#next);
    else setTimeout(this.#next, EVERY_MS);
  }

  readonly #next = (): void => {
    this.#isTurning = false;
    for (const flight of this.#reading.keys()) this.#countBytes(flight);
    const { user, system } = process.threadCpuUsage(this.#since);
    const isLong = user + system > LONG_MS * 1000 && this.#bytes > LONG_BYTES;
    this.#most = isLong ? 1 : Math.min(MOST, 2 * this.#most);
    const missed = this.#missed + (performance.now() - this.#lastMs) / EVERY_MS - 1;
    this.#missed = isLong ? 0 : Math.min(MOST_MISSED, missed);
    if (!this.#isAnyWaiting) return;
    const read = [...this.#reading.keys()];
    this.#reading.clear();
    for (const flight of read) this.#hasBeenRead(flight);
    while (this.#reading.size < this.#most && this.#isAnyWaiting) this.#readAnother();
    this.#wait();
  };

  #hasBeenRead(flight: Flight): void {
    if (flight.isTooLarge) return flight.end();
    flight.stopReading();
    const isYoung = performance.now() - (this.#begun.get(flight) ?? 0) < YOUNG_MS;
    (isYoung ? this.#young : this.#old).add(flight);
  }

  #read(flight: Flight): void {
    this.#reading.set(flight, flight.bytesRead);
    flight.goOnReading();
  }

  #readAnother(): void {
    this.#turns += 1;
    const [one, other] = this.#turns % TURNS_OF_THE_OLD === 0 ? [this.#old, this.#young] : [this.#young, this.#old];
    const from = one.size > 0 ? one : other;
    for (const flight of from) {
      from.delete(flight);
      return this.#read(flight);
    }
  }
}

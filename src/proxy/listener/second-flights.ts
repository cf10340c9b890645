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
import { readerOf } from './shared-reading.ts';
import type { Reader } from './shared-reading.ts';

/** Connections. Each takes as long as OpenSSL lets it, 80 ms with all the 100 kB that it accepts. */
const MOST = 4;
/** Of ten thousand that are silent, each is read every five seconds. */
const EVERY_MS = 2;
/** A turn that took as long was an attacker's, or the machine is busy. */
const LONG_MS = 40;

/** With a certificate of 16 KiB, and those of its CAs. */
const MOST_BYTES = 65_536;

export interface Flight extends Reader {
  /** More than a handshake may have was read. */
  readonly isTooLarge: boolean;
  /** Ends the connection, because it is too large. */
  end(): void;
}

/** @param onTooLarge called before the connection ends */
export function flightOf(socket: Socket, onTooLarge: () => void): Flight {
  return {
    ...readerOf(socket),
    get isTooLarge() {
      return socket.bytesRead > MOST_BYTES;
    },
    end: () => {
      onTooLarge();
      socket.destroy();
    },
  };
}

export class SecondFlights {
  readonly #reading = new Set<Flight>();
  /** The one that has waited longest first. */
  readonly #waiting = new Set<Flight>();
  #most = MOST;
  #since = 0;
  #timer: NodeJS.Timeout | undefined;

  /** To be called when the handshake has begun, and Node reads the connection. */
  add(reader: Flight): void {
    if (this.#waiting.size === 0 && this.#reading.size < this.#most) {
      this.#reading.add(reader);
      return;
    }
    reader.stopReading();
    this.#waiting.add(reader);
    if (this.#timer === undefined) this.#wait();
  }

  /** To be called when the handshake is over, or the connection. */
  remove(reader: Flight): void {
    this.#reading.delete(reader);
    if (this.#waiting.delete(reader)) reader.goOnReading();
  }

  #wait(): void {
    this.#since = performance.now();
    this.#timer = setTimeout(this.#next, EVERY_MS);
  }

  readonly #next = (): void => {
    this.#timer = undefined;
    this.#most = performance.now() - this.#since > LONG_MS ? 1 : Math.min(MOST, 2 * this.#most);
    if (this.#waiting.size === 0) return;
    const read = [...this.#reading];
    this.#reading.clear();
    for (const reader of read) {
      if (reader.isTooLarge) {
        reader.end();
        continue;
      }
      reader.stopReading();
      this.#waiting.add(reader);
    }
    for (const reader of this.#waiting) {
      if (this.#reading.size === this.#most) break;
      this.#waiting.delete(reader);
      this.#reading.add(reader);
      reader.goOnReading();
    }
    this.#wait();
  };
}

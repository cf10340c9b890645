/**
 * Shares out a turn of the event loop among the connections that no credential was accepted on.
 *
 * An attacker without a credential sends on a hundred connections in one instant, over HTTP/2 hundreds of requests on
 * each. Node reads every connection that has something before anything else runs, so that the turn lasts as long as
 * the attacker likes, and the fence that follows cuts the streams of every user. So beyond some requests in a turn
 * these connections are not read; what libuv has for them in the same poll, it skips. Then a few are read in each
 * turn. Connections of users are always read.
 */

/** Weighs what is begun: a request, and so many lines of its head, cost about the same. */
const MOST_IN_A_TURN = 256;
/** As many as are rejected in one: more would wait for it, at 15 kB each. */
const REQUESTS_PER_TURN = 64;
const LINES_OF_A_REQUEST = 32;
/** Enough for a crowd that signs in: a thousand connections are read in sixty turns, which are short then. */
const CONNECTIONS_PER_TURN = 16;

export interface Reader {
  stopReading(): void;
  goOnReading(): void;
}

export class SharedReading {
  readonly #reading = new Set<Reader>();
  /** The one that has waited longest first. */
  readonly #stopped = new Set<Reader>();
  #left = MOST_IN_A_TURN;
  #counting = false;

  /** To be called for a new connection, and when a credential was rejected on it. */
  add(reader: Reader): void {
    if (this.#stopped.has(reader)) return;
    this.#reading.add(reader);
    if (this.#left <= 0) this.#stop(reader);
  }

  /** To be called when the connection has ended, and when a credential was accepted on it: it is always read then. */
  remove(reader: Reader): void {
    this.#reading.delete(reader);
    if (this.#stopped.delete(reader)) reader.goOnReading();
  }

  /**
   * Counts a request that was begun on one of these connections.
   * @param lines of its head
   */
  begun(lines: number): void {
    this.#left -= 1 + lines / LINES_OF_A_REQUEST;
    if (!this.#counting) {
      this.#counting = true;
      setImmediate(this.#nextTurn);
    }
    // Once in a turn: nothing is left in `#reading` after it.
    if (this.#left <= 0) for (const reader of this.#reading) this.#stop(reader);
  }

  #stop(reader: Reader): void {
    this.#reading.delete(reader);
    this.#stopped.add(reader);
    reader.stopReading();
  }

  readonly #nextTurn = (): void => {
    this.#left = Math.min(MOST_IN_A_TURN, this.#left + REQUESTS_PER_TURN);
    let more = this.#left > 0 ? CONNECTIONS_PER_TURN : 0;
    for (const reader of this.#stopped) {
      if (more === 0) break;
      more -= 1;
      this.#stopped.delete(reader);
      this.#reading.add(reader);
      reader.goOnReading();
    }
    this.#counting = this.#left < MOST_IN_A_TURN || this.#stopped.size > 0;
    if (this.#counting) setImmediate(this.#nextTurn);
  };
}

/**
 * Shares out a turn of the event loop among the connections that this process has made: to API servers, web consoles,
 * identity providers and webhooks.
 *
 * An attacker's pods hold back the bodies of hundreds of responses and send all of them in one instant, in chunks or
 * records of one byte. Node reads every connection that has something before anything else runs, and up to 2 MB of each,
 * so that the turn lasts for seconds, no lease is renewed in it, and the fence that follows cuts the streams of every user. So what
 * was read is weighed: beyond some in a turn, the other connections of the same account are not read, and beyond some
 * more, none is. Then they go on one of each account after the other, the one that has waited longest first.
 *
 * What is not read stays with the API server, as ever when a client is slow.
 */
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { limitKeyUpdates } from './key-updates.ts';
import { readerOf, type Reader } from './reader.ts';

/** All that is weighed here is in units of about a microsecond of CPU, with what it costs to send it on to the client. */
const MOST_IN_A_TURN = 16_384;
/**
 * Of one account. Some 4 MB of a large list, or an event for each of some 250 watches; a few accounts that read as much
 * keep no other one waiting.
 */
const MOST_OF_ACCOUNT = 4_096;
/** The first piece of a connection in a turn: the poll, the read, and a write for the client. */
const CONNECTION_UNITS = 16;
const BYTES_OF_A_UNIT = 1_024;
/** The payloads of the chunks of a piece are joined (`response-parser.ts`). */
const CHUNKS_OF_A_UNIT = 16;
const UNITS_OF_A_MS = 1_000;
/** 27 bytes of TLS, of which there is no data. */
const KEY_UPDATE_UNITS = 16;
/**
 * Connections that go on in a turn after one in which too much was read. Twice as many in each further turn: most of
 * those that wait have nothing to read.
 */
const LEAST_GOING_ON = 16;
const MOST_GOING_ON = 1_024;

/** Of an account or a host, or of a connection that is of neither. */
interface Share {
  readonly account: string | Reader;
  readonly reading: Set<Reader>;
  /** The one that goes on next first. */
  stopped: Set<Reader>;
  left: number;
  /** In all. */
  taken: number;
  /** The last turn in which it was read. */
  turn: number;
}

export class UpstreamReading {
  readonly #shares = new Map<string | Reader, Share>();
  /** Those of which a connection waits; the one that goes on next first. */
  #waiting = new Set<Share>();
  /** What has gone on in this turn, and was not read yet. */
  readonly #unread = new Map<Reader, Share>();
  #left = MOST_IN_A_TURN;
  #turn = 0;
  #goingOn = LEAST_GOING_ON;
  /** More than its share was read in this turn, by an account or by all of them. */
  #isSpent = false;
  #isCounting = false;

  /** @param account or a host; undefined: the connection has a share of its own */
  join(account: string | undefined, reader: Reader): SharedReader {
    const share = this.#shareOf(account ?? reader);
    share.reading.add(reader);
    // An attacker whose turn is over goes on by another connection.
    if (this.#left <= 0 || (share.turn === this.#turn && share.left <= 0)) {
      this.#stop(share);
      this.#waiting.add(share);
    }
    let turn = -1;
    return {
      took: (bytes, chunks) => {
        const isFirst = turn !== this.#turn;
        turn = this.#turn;
        if (isFirst) this.#noteRead(share, reader);
        this.#take(share, (isFirst ? CONNECTION_UNITS : 1) + bytes / BYTES_OF_A_UNIT + chunks / CHUNKS_OF_A_UNIT);
      },
      timed: (deliver) => {
        this.#noteRead(share, reader);
        const { taken } = share;
        const units = deliver() * UNITS_OF_A_MS;
        this.#take(share, Math.max(0, units - (share.taken - taken)));
      },
      keyUpdated: () => {
        this.#noteRead(share, reader);
        this.#take(share, KEY_UPDATE_UNITS);
      },
      leave: () => this.#leave(share, reader),
    };
  }

  #shareOf(account: string | Reader): Share {
    const known = this.#shares.get(account);
    if (known !== undefined) return known;
    const share = {
      account,
      reading: new Set<Reader>(),
      stopped: new Set<Reader>(),
      left: MOST_OF_ACCOUNT,
      taken: 0,
      turn: -1,
    };
    this.#shares.set(account, share);
    return share;
  }

  #noteRead(share: Share, reader: Reader): void {
    this.#unread.delete(reader);
    if (share.turn === this.#turn) return;
    share.turn = this.#turn;
    share.left = MOST_OF_ACCOUNT;
  }

  #take(share: Share, units: number): void {
    this.#schedule();
    share.left -= units;
    share.taken += units;
    this.#left -= units;
    if (this.#left <= 0) this.#stopAll();
    else if (share.left <= 0 && share.reading.size > 0) {
      this.#stop(share);
      // Behind the others.
      this.#waiting.delete(share);
      this.#waiting.add(share);
    }
  }

  /** Once in a turn: what joins later in it waits from the start. */
  #stopAll(): void {
    if (this.#left === Number.NEGATIVE_INFINITY) return;
    this.#left = Number.NEGATIVE_INFINITY;
    const unread = new Set(this.#unread.values());
    for (const share of this.#shares.values()) if (share.reading.size > 0) this.#stop(share);
    this.#waiting = new Set([...unread, ...this.#waiting, ...this.#shares.values()]);
  }

  /**
   * What has just gone on, and comes behind others that have used up the turn, keeps its place. What has had its turn
   * goes behind, even with nothing to read: the idle connections of an account would always be before those that are not.
   */
  #stop(share: Share): void {
    this.#isSpent = true;
    this.#schedule();
    const unread = [...share.reading].filter((reader) => this.#unread.has(reader));
    for (const reader of share.reading) reader.stopReading();
    share.stopped = new Set([...unread, ...share.stopped, ...share.reading]);
    share.reading.clear();
  }

  #leave(share: Share, reader: Reader): void {
    this.#unread.delete(reader);
    share.reading.delete(reader);
    const wasStopped = share.stopped.delete(reader);
    if (share.stopped.size === 0) {
      this.#waiting.delete(share);
      // Not by its account alone: a share that has ended may have been followed by another one.
      if (share.reading.size === 0 && this.#shares.get(share.account) === share) this.#shares.delete(share.account);
    }
    if (wasStopped) reader.goOnReading();
  }

  #schedule(): void {
    if (this.#isCounting) return;
    this.#isCounting = true;
    setImmediate(this.#nextTurn);
  }

  readonly #nextTurn = (): void => {
    this.#isCounting = false;
    this.#turn += 1;
    this.#left = MOST_IN_A_TURN;
    this.#goingOn = this.#isSpent ? LEAST_GOING_ON : Math.min(MOST_GOING_ON, 2 * this.#goingOn);
    this.#isSpent = false;
    this.#unread.clear();
    // Where nothing is read, no event comes: those that wait have the next turn by themselves.
    if (this.#waiting.size > 0) this.#schedule();
    let more = this.#goingOn;
    for (const share of this.#waiting) {
      if (more === 0) break;
      more -= 1;
      // Behind the others, with its next one.
      this.#waiting.delete(share);
      const [reader] = share.stopped;
      if (reader === undefined) continue;
      share.stopped.delete(reader);
      share.reading.add(reader);
      if (share.stopped.size > 0) this.#waiting.add(share);
      this.#unread.set(reader, share);
      reader.goOnReading();
    }
  };
}

/** A connection among the others. */
export interface SharedReader {
  /**
   * Counts a piece that was read.
   * @param chunks of HTTP/1.1 that the piece came in
   */
  readonly took: (bytes: number, chunks: number) => void;
  /** Hands over a record of HTTP/2 by `deliver`, and counts the milliseconds, but for what of it is counted otherwise. */
  readonly timed: (deliver: () => number) => void;
  /** Counts a key update of its TLS (`key-updates.ts`). */
  readonly keyUpdated: () => void;
  /** To be called when nothing more is to be read for the account. A connection that waits goes on. */
  readonly leave: () => void;
}

/** Of this process: however many clusters there are, they have one event loop. */
export const upstreamReading = new UpstreamReading();

/**
 * Has a connection read among the others until it is closed. To be called after its handshake.
 * @param share an account, or a host; undefined: one of its own
 * @param reset ends the connection: it has had too many key updates
 */
export function readInTurns(
  socket: Socket,
  { share, reset }: { readonly share: string | undefined; readonly reset: () => void },
): SharedReader {
  const shared = upstreamReading.join(share, readerOf(socket));
  socket.once('close', () => shared.leave());
  if (socket instanceof TLSSocket) limitKeyUpdates(socket, () => shared.keyUpdated(), reset);
  return shared;
}

/**
 * Shares out a turn of the event loop among the connections of one account, and among those that no credential was
 * accepted on.
 *
 * An attacker sends on a hundred connections in one instant, over HTTP/2 hundreds of requests on each, or bodies in
 * pieces of one byte. Node reads every connection that has something before anything else runs, so that the turn lasts
 * as long as the attacker likes, and the fence that follows cuts the streams of every user. So beyond some requests in
 * a turn the connections that they came on are not read, nor others like them; what libuv has for them in the same
 * poll, it skips. Then a few are read in each turn, of each address in turn. The connections of other accounts are read
 * as ever.
 *
 * A connection is among them before its first byte of HTTP is read: what came right behind the handshake would be read
 * all at once, 240 requests of each of 16 connections in a turn, before any of it could be counted.
 */
import { FairQueue } from '../../timing/timing.ts';
import { longTurns, type LongTurns, type SharedValve } from './long-turns.ts';
import type { ClientReader } from '../../timing/reader.ts';

/** Weighs what is begun: a request, so many lines of its head, pieces of bodies or key updates cost about the same. */
const MOST_IN_A_TURN = 256;
/** As many as are judged in one: more would wait for it, at 7 to 15 kB each. */
const REQUESTS_PER_TURN = 64;
const LINES_OF_A_REQUEST = 32;
/** Characters of a target, which is read for the request info and the audit log: no client sends more than a few hundred. */
const TARGET_OF_A_REQUEST = 1024;
/**
 * Characters of a whole head that no client's is longer than, and of those beyond. Over HTTP/2 an attacker repeats by a few bytes
 * a credential of 3.5 kB whose header is an object of hundreds: one is rejected in 0.8 ms.
 */
const USUAL_HEAD = 3072;
const HEAD_OF_A_REQUEST = 64;
/**
 * A piece takes a microsecond. An upload in pieces of 16 kB may be 64 MB in a turn; one whose pieces are of a byte, 64
 * thousand to a connection, takes several turns.
 */
const PIECES_OF_A_REQUEST = 64;
/** Of the shortest lines there are, as many as `LINES_OF_A_REQUEST`. */
const HEAD_BYTES_OF_A_REQUEST = 160;
/** One takes five microseconds (`timing/key-updates.ts`). */
const KEY_UPDATES_OF_A_REQUEST = 16;
/** Of the time that a record of HTTP/2 takes: what a request takes is a tenth of it. */
const REQUESTS_OF_A_MS = 10;
/** Enough for a crowd that signs in: a thousand connections are read in sixty turns, which are short then. */
const CONNECTIONS_PER_TURN = 16;
/** Of which nothing is known yet: each may begin 250 requests, which are read in some milliseconds and judged later. */
const NEW_PER_TURN = 8;

/** Between two looks at whether an account is held back still. Milliseconds. */
const HELD_BACK_MS = 5;

/** What connections wait for, besides their turn. */
export interface ReadingWaits {
  /** True while what has been read is not worked off yet, of whatever connections. */
  readonly isBehind: () => boolean;
  /** True while more events of the account wait for the audit log than may. */
  readonly isHeldBack: (account: string) => boolean;
}

export class SharedReading {
  readonly #reading = new Set<ClientReader>();
  readonly #stopped = new FairQueue<ClientReader>();
  readonly #lineOf = new WeakMap<ClientReader, string>();
  readonly #valveOf = new WeakMap<ClientReader, SharedValve>();
  readonly #longTurns: LongTurns;
  readonly #isBehind: () => boolean;
  readonly #isHeldBack: () => boolean;
  #left = MOST_IN_A_TURN;
  /** In all. */
  #taken = 0;
  #perTurn = CONNECTIONS_PER_TURN;
  /** Those of which nothing has been read, and how many of them may be in this turn. */
  readonly #new = new WeakSet<ClientReader>();
  #newLeft = NEW_PER_TURN;
  #counting = false;

  /**
   * @param isBehind true while what has been read is not worked off yet, of whatever connections: several accounts read
   *   more in a turn than is started in it, and all of it would wait, before the requests of every other one
   * @param isHeldBack true while these connections wait for something that takes longer than a few turns
   */
  constructor(
    isBehind: () => boolean = () => false,
    isHeldBack: () => boolean = () => false,
    shared: LongTurns = longTurns,
  ) {
    this.#isBehind = isBehind;
    this.#isHeldBack = isHeldBack;
    this.#longTurns = shared;
  }

  get isEmpty(): boolean {
    return this.#reading.size === 0 && this.#stopped.size === 0;
  }

  /**
   * To be called when a connection has become one of these.
   * @param line whose turn it is when it waits: the site that it comes from
   */
  add(reader: ClientReader, line = ''): void {
    if (this.#stopped.has(reader)) return;
    this.#lineOf.set(reader, line);
    this.#valveOf.get(reader)?.leave();
    this.#valveOf.set(reader, this.#longTurns.join(reader, line));
    this.#reading.add(reader);
    if (this.#left <= 0) this.#stop(reader);
  }

  /** The same for a new connection, of which nothing has been read: it goes on reading now, or when it is its turn. */
  addNew(reader: ClientReader, line: string): void {
    this.#new.add(reader);
    this.add(reader, line);
    if (this.#stopped.has(reader)) return;
    if (this.#stopped.size > 0 || this.#newLeft <= 0) this.#stop(reader);
    else this.#goOn(reader);
    this.#count();
  }

  /** To be called when the connection has ended, or is none of these any more. */
  remove(reader: ClientReader): void {
    this.#reading.delete(reader);
    const valve = this.#valveOf.get(reader);
    this.#valveOf.delete(reader);
    if (this.#stopped.delete(reader)) valve?.goOnReading();
    valve?.leave();
  }

  /**
   * Counts a request that was begun on one of these connections.
   * @param lines of its head
   * @param characters of its target and of its whole head: over HTTP/2 an attacker repeats long ones by a few bytes
   * @param weight how many rejections of the api listener it costs
   */
  begun(
    lines: number,
    { target = 0, head = 0 }: { readonly target?: number; readonly head?: number } = {},
    weight = 1,
  ): void {
    const beyond = Math.max(0, head - USUAL_HEAD) / HEAD_OF_A_REQUEST;
    this.#take(weight + lines / LINES_OF_A_REQUEST + target / TARGET_OF_A_REQUEST + beyond);
  }

  /**
   * Counts a piece of a body that was read on one of these connections, for any reader.
   * @param isEnd nothing, behind the last piece: what waited for the whole body begins
   */
  pieceRead(isEnd: boolean): void {
    this.#take(isEnd ? 1 : 1 / PIECES_OF_A_REQUEST);
  }

  /**
   * Counts bytes that were read of a head whose end has not come. An attacker sends lines of three bytes and never the end, and
   * Node calls no code of ours: 40 kB of them take a millisecond and more, on a thousand connections in one instant.
   */
  headRead(bytes: number): void {
    this.#take(bytes / HEAD_BYTES_OF_A_REQUEST);
  }

  /**
   * Counts what it takes to hand over a record of HTTP/2, but for what of it is counted otherwise.
   * @param deliver hands it over, and returns the milliseconds
   */
  timed(deliver: () => number): void {
    const taken = this.#taken;
    const weight = deliver() * REQUESTS_OF_A_MS;
    this.#take(Math.max(0, weight - (this.#taken - taken)));
  }

  /** Counts a key update that came on one of these connections. */
  keyUpdated(): void {
    this.#take(1 / KEY_UPDATES_OF_A_REQUEST);
  }

  #take(weight: number): void {
    this.#left -= weight;
    this.#taken += weight;
    this.#longTurns.begun(weight);
    if (this.#isReduced) this.#count();
    // Once in a turn: nothing is left in `#reading` after it.
    if (this.#left <= 0) for (const reader of this.#reading) this.#stop(reader);
  }

  #count(): void {
    if (this.#counting) return;
    this.#counting = true;
    setImmediate(this.#nextTurn);
  }

  /** What is less than a later turn would add is not worth one: few requests, however often, cost nothing more. */
  get #isReduced(): boolean {
    return this.#left <= MOST_IN_A_TURN - REQUESTS_PER_TURN;
  }

  #stop(reader: ClientReader): void {
    this.#reading.delete(reader);
    this.#stopped.add(reader, this.#lineOf.get(reader) ?? '');
    this.#valveOf.get(reader)?.stopReading();
  }

  #goOn(reader: ClientReader): void {
    if (this.#new.delete(reader)) this.#newLeft -= 1;
    this.#reading.add(reader);
    this.#valveOf.get(reader)?.goOnReading();
  }

  readonly #nextTurn = (): void => {
    if (this.#isHeldBack()) return void setTimeout(this.#nextTurn, HELD_BACK_MS).unref();
    if (this.#isBehind()) return void setImmediate(this.#nextTurn);
    if (this.#newLeft < NEW_PER_TURN) {
      // What they have sent is read in the poll that comes now, and then it is known whether more may be.
      this.#newLeft = NEW_PER_TURN;
      return void setImmediate(this.#nextTurn);
    }
    // More was read of a few than may be in a turn: it may be as much of each that is next.
    if (this.#left < -REQUESTS_PER_TURN) this.#perTurn = 1;
    this.#left = Math.min(MOST_IN_A_TURN, this.#left + REQUESTS_PER_TURN);
    if (this.#left > 0) {
      for (let more = this.#perTurn; more > 0 && this.#newLeft > 0; more -= 1) {
        const reader = this.#stopped.take();
        if (reader === undefined) break;
        this.#goOn(reader);
      }
      this.#perTurn = Math.min(CONNECTIONS_PER_TURN, 2 * this.#perTurn);
    }
    this.#counting = this.#isReduced || this.#stopped.size > 0;
    if (this.#counting) setImmediate(this.#nextTurn);
  };
}

/** The connections of each account, apart from those of the others. */
export class ReadingByAccount {
  readonly #accounts = new Map<string, SharedReading>();
  readonly #waits: ReadingWaits;
  readonly #longTurns: LongTurns;

  constructor(waits: ReadingWaits, shared: LongTurns = longTurns) {
    this.#waits = waits;
    this.#longTurns = shared;
  }

  /** @returns the one of the account's connections that are open */
  of(account: string): SharedReading {
    const known = this.#accounts.get(account);
    if (known !== undefined) return known;
    const { isBehind, isHeldBack } = this.#waits;
    const reading = new SharedReading(isBehind, () => isHeldBack(account), this.#longTurns);
    this.#accounts.set(account, reading);
    return reading;
  }

  /** To be called when a connection of the account was removed. */
  removed(account: string): void {
    if (this.#accounts.get(account)?.isEmpty === true) this.#accounts.delete(account);
  }
}

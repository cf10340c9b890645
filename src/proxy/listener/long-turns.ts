/**
 * Holds back the connections of clients in a turn of the event loop in which much is begun, of however many accounts, and
 * after one that took long, whatever was in it.
 *
 * Each account has a share of a turn (`shared-reading.ts`), and ten attackers with sixty connections each have ten: they
 * pipelined requests, and a turn took a second. So what is begun is counted for all of them too, and beyond so much in a
 * turn no connection is read.
 *
 * An attacker sends what begins nothing, and Node calls no code of ours for it: frames of HTTP/2 without a request, or a
 * head in records of one byte. 12 MB of them on a hundred connections took 0.4 s in one turn, and several seconds on a
 * thousand; on sixteen of each of six accounts, each with a share of its own, the lease lapsed. So the clock is looked at,
 * for all connections together: after a turn with as much of the processor's time those that have brought anything wait, and
 * go on one of each account or address after the other, few in a turn. What they send meanwhile stays in the kernel, which
 * takes no more than a window of each. Those that bring nothing do not wait: 5,000 watches are as they were.
 */
import { FairQueue } from '../../timing/timing.ts';
import type { ClientReader, Reader } from '../../timing/reader.ts';

/** Begun in a turn by all: half as much again as one account may, weighed as there. More is not started in a turn. */
const MOST_OF_ALL = 384;
/** Of the processor, in one turn or in several between two looks. Milliseconds. */
const LONG_TURN_MS = 50;
/** Between two looks at the clock. Milliseconds. */
const LOOK_EVERY_MS = 10;
/** So few are read to the end in a moment, of however many accounts. */
const FEW = 16;
/** In a turn after a long one: one, then twice as many, up to these. New ones may be among them (`shared-reading.ts`). */
const MOST_GOING_ON = 8;

/** A connection among all others: it is read where neither its user, who stops it and goes on, nor a long turn holds it back. */
class Valve implements Reader {
  readonly #reader: ClientReader;
  readonly #leave: (valve: Valve) => void;
  readonly line: string;
  #isStopped = false;
  #isWaiting = false;
  #looked: number;

  constructor(reader: ClientReader, line: string, leave: (valve: Valve) => void) {
    this.#reader = reader;
    this.line = line;
    this.#leave = leave;
    this.#looked = reader.bytesRead;
  }

  stopReading(): void {
    this.#isStopped = true;
    this.#reader.stopReading();
  }

  goOnReading(): void {
    this.#isStopped = false;
    if (!this.#isWaiting) this.#reader.goOnReading();
  }

  /** Whether it has brought anything since the last long turn. */
  hasBrought(): boolean {
    const { bytesRead } = this.#reader;
    const more = bytesRead > this.#looked;
    this.#looked = bytesRead;
    return more;
  }

  wait(): void {
    this.#isWaiting = true;
    this.#reader.stopReading();
  }

  release(): void {
    this.#isWaiting = false;
    if (!this.#isStopped) this.#reader.goOnReading();
  }

  leave(): void {
    this.#leave(this);
  }
}

export type SharedValve = Pick<Valve, 'stopReading' | 'goOnReading' | 'leave'>;

export class LongTurns {
  readonly #valves = new Set<Valve>();
  readonly #waiting = new FairQueue<Valve>();
  #perTurn = 1;
  #isGoingOn = false;
  #clock: NodeJS.Timeout | undefined;
  #left = MOST_OF_ALL;
  #isCounting = false;

  /** Counts what was begun on one of them, weighed as a share is. */
  begun(weight: number): void {
    const wasLeft = this.#left > 0;
    this.#left -= weight;
    if (wasLeft && this.#left <= 0) {
      this.#perTurn = 1;
      for (const valve of this.#valves) if (!this.#waiting.has(valve)) this.#hold(valve);
    }
    if (this.#isCounting) return;
    this.#isCounting = true;
    setImmediate(() => {
      this.#isCounting = false;
      this.#left = MOST_OF_ALL;
    });
  }

  /**
   * To be called when a connection has begun, or has got another line.
   * @param line of which one goes on in turn: its account or its site
   * @returns what its reading is stopped by from now on; `leave` is to be called when it has ended
   */
  join(reader: ClientReader, line: string): SharedValve {
    const valve = new Valve(reader, line, this.#leave);
    this.#valves.add(valve);
    // An attacker whose connections wait goes on by new ones.
    if (this.#waiting.size > 0) this.#hold(valve);
    this.#watch();
    return valve;
  }

  readonly #leave = (valve: Valve): void => {
    this.#valves.delete(valve);
    if (this.#waiting.delete(valve)) valve.release();
    this.#watch();
  };

  #watch(): void {
    if (this.#valves.size <= FEW) {
      clearInterval(this.#clock);
      this.#clock = undefined;
      return;
    }
    if (this.#clock !== undefined) return;
    let last = process.threadCpuUsage();
    this.#clock = setInterval(() => {
      // Of the processor: on a busy machine each turn takes long, and to read less in it would make it worse.
      const now = process.threadCpuUsage();
      const spent = now.user + now.system - last.user - last.system;
      last = now;
      if (spent >= LONG_TURN_MS * 1000) this.#holdBack();
    }, LOOK_EVERY_MS).unref();
  }

  #holdBack(): void {
    this.#perTurn = 1;
    for (const valve of this.#valves) if (!this.#waiting.has(valve) && valve.hasBrought()) this.#hold(valve);
  }

  #hold(valve: Valve): void {
    this.#waiting.add(valve, valve.line);
    valve.wait();
    if (this.#isGoingOn) return;
    this.#isGoingOn = true;
    setImmediate(this.#nextTurn);
  }

  readonly #nextTurn = (): void => {
    for (let more = this.#perTurn; more > 0; more -= 1) this.#waiting.take()?.release();
    this.#perTurn = Math.min(MOST_GOING_ON, 2 * this.#perTurn);
    this.#isGoingOn = this.#waiting.size > 0;
    if (this.#isGoingOn) setImmediate(this.#nextTurn);
  };
}

/** Of this process: it has one event loop, whatever its listeners. */
export const longTurns = new LongTurns();

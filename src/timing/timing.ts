/**
 * Timing: time limits for replies that come over a socket or from a disk, and work that is shared out over turns of
 * the event loop.
 *
 * Owns the one rule of all limits: a reply is never late because this process did not run. Node runs the timers that
 * are due before it reads its sockets. After a turn that took longer than the limit, such as one that resets thousands
 * of streams, the timer would be first, although the reply has been waiting to be read. So a limit that has passed
 * counts only after one poll of the sockets. Where a machine or a container was stopped for a moment, so was the process that
 * was to reply, perhaps: a limit whose timer was late goes on for as long as that again, once, and at most as long as
 * itself. Must not know what is waited for.
 *
 * A limit may therefore be exceeded, by twice as long as this process did not run. No promise about time may depend on
 * one: a lease counts from the moment at which its renewal was sent, and a reply that is read after that lease has
 * ended grants nothing (revocation/lease.ts).
 */
import { FairQueue } from './fair-queue.ts';

export { FairQueue } from './fair-queue.ts';

/** A timer that is as late as this on a machine that is merely busy. */
const LATE_MS = 50;

/**
 * Calls `late` once `ms` have passed, of which this process was stopped for none, and everything that had arrived by
 * then has been read.
 * @returns a function that cancels the limit; to be called when the reply is there
 */
export function timeLimit(ms: number, late: () => void): () => void {
  const limit = startLimit(ms, late);
  return () => {
    clearTimeout(limit.timer);
    clearImmediate(limit.afterPoll);
  };
}

/**
 * Works as `AbortSignal.timeout`, by the rule above.
 * @returns a signal that aborts with a `TimeoutError`; it does not keep the process alive
 */
export function timeoutSignal(ms: number): AbortSignal {
  const controller = new AbortController();
  startLimit(ms, () => controller.abort(new DOMException(`no response within ${ms} ms`, 'TimeoutError')), true);
  return controller.signal;
}

interface Limit {
  timer: NodeJS.Timeout;
  afterPoll?: NodeJS.Immediate;
}

function startLimit(ms: number, late: () => void, isUnref = false): Limit {
  const due = performance.now() + ms;
  // Immediates run after the next poll of the sockets.
  const over = (): void => void (limit.afterPoll = setImmediate(late));
  const timer = (after: number, then: () => void): NodeJS.Timeout => {
    const started = setTimeout(then, after);
    return isUnref ? started.unref() : started;
  };
  const limit: Limit = {
    timer: timer(ms, () => {
      const missed = performance.now() - due;
      if (missed < LATE_MS) over();
      else limit.timer = timer(Math.min(missed, ms), over);
    }),
  };
  return limit;
}

/** Work in short steps, of which thousands together must not keep the process from its clocks and sockets. */
export interface Turns {
  /**
   * Runs `step` in this turn of the event loop, or in a later one if this turn has had as many steps as it may.
   * @param line for whom, where that matters: of those that wait, each line has its turn (`FairQueue`)
   * @returns a function that cancels the step if it has not run yet
   */
  do(step: () => void, line?: string): () => void;
  /**
   * Reserves a step for the caller's own code. @returns undefined if it may go on now, without waiting for anything
   */
  reserve(line?: string): Promise<void> | undefined;
  /**
   * True while more steps wait than are run in the next turns: one who brings more should wait. The same for all that
   * ask between two turns.
   */
  readonly isBehind: boolean;
  /** Runs every step that waits, in this turn: nothing comes after it. */
  flush(): void;
}

/** Turns that may be full already. */
const TURNS_AHEAD = 4;

/** @param maxSteps steps in one turn; between two turns timers run and sockets are read */
export function createTurns(maxSteps: number): Turns {
  const waiting = new FairQueue<() => void>();
  let left = maxSteps;
  let counting = false;
  let isBehind = false;
  const nextTurn = (): void => {
    counting = false;
    left = maxSteps;
    for (let most = maxSteps; most > 0; most -= 1) {
      const step = waiting.take();
      if (step === undefined) break;
      count();
      step();
    }
    isBehind = waiting.size > TURNS_AHEAD * maxSteps;
  };
  const count = (): void => {
    left -= 1;
    if (counting) return;
    counting = true;
    setImmediate(nextTurn);
  };
  const hasSpace = (): boolean => left > 0 && waiting.size === 0;
  return {
    do(step, line = '') {
      if (hasSpace()) {
        count();
        step();
        return () => undefined;
      }
      // A new function for each call, because the same step may be given twice.
      const waitingStep = (): void => step();
      waiting.add(waitingStep, line);
      return () => void waiting.delete(waitingStep);
    },
    reserve(line = '') {
      if (!hasSpace()) return new Promise((resolve) => waiting.add(resolve, line));
      count();
      return undefined;
    },
    get isBehind() {
      return isBehind;
    },
    flush() {
      for (let step = waiting.take(); step !== undefined; step = waiting.take()) step();
    },
  };
}

/**
 * Timing: time limits for answers that come over a socket or from a disk.
 *
 * Owns the one rule that they share: an answer that has arrived in time is never judged late because this process was busy. Node runs the timers
 * that are due before it reads its sockets. After a turn that took longer than the limit, such as one that resets thousands of streams, the
 * timer would be first, although the answer has been waiting to be read. So a limit that has passed counts only after one poll of the sockets.
 * Must not know what is waited for.
 *
 * A limit may therefore be exceeded, by as long as this process was busy. Nothing that is a promise about time may rest on one: a lease counts
 * from the moment at which its renewal was sent, and an answer that is read after that lease has ended grants nothing (revocation/lease.ts).
 */

/**
 * Calls `late` once `ms` have passed and everything that had arrived by then has been read.
 * @returns stops it; to be called when the answer is there
 */
export function timeLimit(ms: number, late: () => void): () => void {
  let afterPoll: NodeJS.Immediate | undefined;
  const timer = setTimeout(() => {
    // Immediates run behind the next poll of the sockets.
    afterPoll = setImmediate(late);
  }, ms);
  return () => {
    clearTimeout(timer);
    clearImmediate(afterPoll);
  };
}

/**
 * As `AbortSignal.timeout`, by the rule above.
 * @returns aborts with a `TimeoutError`; does not keep the process alive
 */
export function timeoutSignal(ms: number): AbortSignal {
  const controller = new AbortController();
  setTimeout(() => {
    setImmediate(() => controller.abort(new DOMException(`no answer within ${ms} ms`, 'TimeoutError')));
  }, ms).unref();
  return controller.signal;
}

/** Work of which one piece is short, and thousands at once must not keep the process from its clocks and sockets. */
export interface Turns {
  /**
   * Does `step` in this turn of the event loop, or in one of the next where as many have been done in it as may be.
   * @returns gives it up where it has not been done yet
   */
  do(step: () => void): () => void;
  /** As `do` for what comes behind it. @returns undefined where that may be done now, without waiting for anything */
  mine(): Promise<void> | undefined;
}

/** @param most steps in one turn; between two turns timers run and sockets are read */
export function createTurns(most: number): Turns {
  const waiting = new Set<() => void>();
  let left = most;
  let counting = false;
  const nextTurn = (): void => {
    counting = false;
    left = most;
    for (const step of waiting) {
      if (left === 0) break;
      waiting.delete(step);
      count();
      step();
    }
  };
  const count = (): void => {
    left -= 1;
    if (counting) return;
    counting = true;
    setImmediate(nextTurn);
  };
  const hasSpace = (): boolean => left > 0 && waiting.size === 0;
  return {
    do(step) {
      if (hasSpace()) {
        count();
        step();
        return () => undefined;
      }
      // One of its own for each call: a function may be given twice.
      const own = (): void => step();
      waiting.add(own);
      return () => void waiting.delete(own);
    },
    mine() {
      if (!hasSpace()) return new Promise((resolve) => void waiting.add(resolve));
      count();
      return undefined;
    },
  };
}

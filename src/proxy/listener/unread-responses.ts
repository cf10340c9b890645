/**
 * Answers that nothing stands behind any more but their client, which has yet to take them: refusals, and answers of our own endpoints.
 *
 * An attacker without a credential opens an HTTP/2 window of 0 and asks for thousands of refusals. So each has a time limit, one connection may
 * have a few of them at most, and nothing is kept of the request itself.
 */
import type { ClientAnswer } from './client.ts';
import type { ClientConnection } from './connection.ts';
import { Progress } from '../streams/progress.ts';

/** Answers of one connection that have stood still for a whole look. A client that reads takes hundreds of refusals within one. */
const MOST_OF_A_CONNECTION = 32;

interface Untaken {
  readonly answer: ClientAnswer;
  readonly connection: ClientConnection;
  readonly limitMs: number;
  readonly taking: Progress;
}

export class UntakenAnswers {
  readonly #all = new Set<Untaken>();

  /**
   * @param limitMs how long the client may take nothing of it
   * @returns to be called when the answer has closed
   */
  add(answer: ClientAnswer, connection: ClientConnection, limitMs: number): () => void {
    const untaken = { answer, connection, limitMs, taking: new Progress() };
    this.#all.add(untaken);
    return () => void this.#all.delete(untaken);
  }

  /** True while an answer of ours has not begun. What goes on behind its beginning is a stream of events, which may be cut. */
  get isAnyUnstarted(): boolean {
    for (const { answer } of this.#all) if (!answer.started) return true;
    return false;
  }

  /** @param nowMs monotonic */
  lookAgain(nowMs: number): void {
    const stalled = new Map<ClientConnection, number>();
    for (const untaken of this.#all) {
      const { answer, connection, limitMs, taking } = untaken;
      if (answer.gone || connection.ended) {
        this.#all.delete(untaken);
        continue;
      }
      if (!answer.finished && answer.waiting === 0) {
        taking.reset();
        continue;
      }
      const stalledMs = taking.stalledMs(answer.waiting, nowMs);
      if (stalledMs >= limitMs) answer.reset();
      else if (stalledMs > 0) stalled.set(connection, (stalled.get(connection) ?? 0) + 1);
    }
    for (const [connection, count] of stalled) if (count > MOST_OF_A_CONNECTION) connection.reset();
  }
}

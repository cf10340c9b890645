/**
 * Responses that only wait for their client to read them: rejections, and responses of our own endpoints.
 *
 * An attacker without a credential opens an HTTP/2 window of 0 and asks for thousands of rejections. So each has a
 * time limit, one connection may have a few of them at most, and nothing is kept of the request itself. The attacker
 * spreads them over thousands of connections, so those of an address, and of all, are limited as well.
 */
import { bucketOf } from '../../core/http/address.ts';
import type { Turns } from '../../timing/timing.ts';
import type { ClientResponse } from './client.ts';
import type { ClientConnection } from './connection.ts';
import { Progress } from '../streams/progress.ts';

/**
 * Responses that have stood still for a whole interval. A client that reads takes hundreds of rejections in one, so
 * that an address has as many only by clients that do not read.
 */
const MOST = { connection: 32, address: 500, all: 2_000 } as const;

/**
 * Finished responses that wait to be read, whether they stand still or not. An attacker opens hundreds of connections
 * with windows of 0, sends as many requests as a replica can reject, 5,000 in a second, and opens other connections when
 * these are ended: a gigabyte with a credential, and 0.3 without one, since what waits for the next sweep is not limited
 * otherwise. A client that reads has no more than its streams. All that share an address, in a company, have no more
 * than are written in a turn of the event loop or two: what their connections take at once does not wait.
 *
 * - `user`: on the connections of one user.
 * - `address`, `all`: on connections without an accepted credential.
 */
const MOST_WAITING = { user: 500, address: 500, all: 1_000 } as const;

interface UnreadResponse {
  readonly response: ClientResponse;
  readonly connection: ClientConnection;
  readonly limitMs: number;
  readonly progress: Progress;
  /** Keys that it is counted by. */
  readonly levels: string[];
}

const level = (name: keyof typeof MOST_WAITING, of = ''): { readonly key: string; readonly most: number } => ({
  key: `${name} ${of}`,
  most: MOST_WAITING[name],
});

export class UnreadResponses {
  /** The oldest first. */
  readonly #all = new Set<UnreadResponse>();
  /** Finished ones by level and user or address, the oldest first. */
  readonly #waiting = new Map<string, Set<UnreadResponse>>();
  readonly #resets: Turns;

  /** @param resets of few steps in a turn: a reset connection closes hundreds of streams */
  constructor(resets: Turns) {
    this.#resets = resets;
  }

  /**
   * @param limitMs how long the client may read nothing of it
   * @returns a function to be called when the response has closed
   */
  add(response: ClientResponse, connection: ClientConnection, limitMs: number): () => void {
    const unread: UnreadResponse = { response, connection, limitMs, progress: new Progress(), levels: [] };
    this.#all.add(unread);
    if (response.finished) this.#finished(unread);
    else response.onFinished(() => this.#finished(unread));
    return () => this.#forget(unread);
  }

  #finished(unread: UnreadResponse): void {
    // Its end may have been noticed before.
    if (!this.#all.has(unread)) return;
    const { user, address } = unread.connection;
    const levels = user === undefined ? [level('address', bucketOf(address)), level('all')] : [level('user', user)];
    for (const { key } of levels) {
      this.#waiting.set(key, (this.#waiting.get(key) ?? new Set()).add(unread));
      unread.levels.push(key);
    }
    for (const { key, most } of levels) {
      const waiting = this.#waiting.get(key) ?? new Set();
      for (const oldest of waiting) {
        if (waiting.size <= most) break;
        this.#forget(oldest);
        // Now, and not in turns: as many come in one as may be rejected in it.
        oldest.response.reset();
      }
    }
  }

  #forget(unread: UnreadResponse): void {
    this.#all.delete(unread);
    for (const key of unread.levels.splice(0)) {
      const waiting = this.#waiting.get(key);
      waiting?.delete(unread);
      if (waiting?.size === 0) this.#waiting.delete(key);
    }
  }

  /**
   * True while a response of ours has not started. One that goes on after its start is a stream of events, which
   * may be cut.
   */
  get isAnyUnstarted(): boolean {
    for (const { response } of this.#all) if (!response.started) return true;
    return false;
  }

  /** @param nowMs monotonic */
  sweep(nowMs: number): void {
    const ending = new Set<{ reset(): void }>();
    const stalled: UnreadResponse[] = [];
    for (const unread of this.#all) {
      const { response, connection, limitMs, progress } = unread;
      if (response.gone || connection.ended) {
        this.#forget(unread);
        this.#resets.do(() => response.discard());
        continue;
      }
      if (!response.finished && response.waiting === 0) {
        progress.reset();
        continue;
      }
      const stalledMs = progress.stalledMs(response.waiting, nowMs);
      if (stalledMs >= limitMs) ending.add(response);
      else if (stalledMs > 0) stalled.push(unread);
    }
    for (const each of [...ending, ...surplusOf(stalled)]) this.#resets.do(() => each.reset());
  }
}

/** Returns what is beyond the limits: whole connections, and the oldest responses of an address, or of all. */
function surplusOf(stalled: readonly UnreadResponse[]): ReadonlySet<{ reset(): void }> {
  const counts = new Map<ClientConnection | string, number>();
  const exceeds = (key: ClientConnection | string, most: number): boolean => {
    const count = (counts.get(key) ?? 0) + 1;
    counts.set(key, count);
    return count > most;
  };
  const surplus = new Set<{ reset(): void }>();
  // The latest first, so that the oldest are beyond.
  for (const { response, connection } of stalled.toReversed()) {
    if (exceeds(connection, MOST.connection)) surplus.add(connection);
    else if (exceeds(bucketOf(connection.address), MOST.address) || exceeds('all', MOST.all)) surplus.add(response);
  }
  return surplus;
}

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
 * Responses that wait to be read on the connections of one user, whether they stand still or not. A user opens hundreds
 * of connections with windows of 0, sends as many requests as a replica can reject, 5,000 in a second, and opens other
 * connections when these are ended: a gigabyte. A client that reads has no more than its streams.
 */
const MOST_OF_USER = 500;

interface UnreadResponse {
  readonly response: ClientResponse;
  readonly connection: ClientConnection;
  readonly limitMs: number;
  readonly progress: Progress;
}

export class UnreadResponses {
  /** The oldest first. */
  readonly #all = new Set<UnreadResponse>();
  /** By user; the oldest first. */
  readonly #users = new Map<string, Set<UnreadResponse>>();
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
    const unread = { response, connection, limitMs, progress: new Progress() };
    this.#all.add(unread);
    const forgetOfUser = connection.user === undefined ? undefined : this.#addOfUser(unread, connection.user);
    return () => {
      this.#all.delete(unread);
      forgetOfUser?.();
    };
  }

  #addOfUser(unread: UnreadResponse, user: string): () => void {
    const ofUser = this.#users.get(user) ?? new Set();
    this.#users.set(user, ofUser.add(unread));
    const forget = (each: UnreadResponse): void => {
      ofUser.delete(each);
      if (ofUser.size === 0) this.#users.delete(user);
    };
    for (const oldest of ofUser) {
      if (ofUser.size <= MOST_OF_USER) break;
      forget(oldest);
      // Now, and not in turns: as many come in one as may be rejected in it.
      if (oldest.response.finished) oldest.response.reset();
    }
    return () => forget(unread);
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
        this.#all.delete(unread);
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

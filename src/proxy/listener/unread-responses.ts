/**
 * Responses that only wait for their client to read them: rejections, and responses of our own endpoints.
 *
 * An attacker without a credential opens an HTTP/2 window of 0 and asks for thousands of rejections. So each has a
 * time limit, one connection may have a few of them at most, and nothing is kept of the request itself.
 */
import type { ClientResponse } from './client.ts';
import type { ClientConnection } from './connection.ts';
import { Progress } from '../streams/progress.ts';

/**
 * Responses of one connection that have stood still for a whole interval. A client that reads takes hundreds of
 * rejections in one.
 */
const MAX_PER_CONNECTION = 32;

interface UnreadResponse {
  readonly response: ClientResponse;
  readonly connection: ClientConnection;
  readonly limitMs: number;
  readonly progress: Progress;
}

export class UnreadResponses {
  readonly #all = new Set<UnreadResponse>();

  /**
   * @param limitMs how long the client may read nothing of it
   * @returns a function to be called when the response has closed
   */
  add(response: ClientResponse, connection: ClientConnection, limitMs: number): () => void {
    const unread = { response, connection, limitMs, progress: new Progress() };
    this.#all.add(unread);
    return () => void this.#all.delete(unread);
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
    const stalled = new Map<ClientConnection, number>();
    for (const unread of this.#all) {
      const { response, connection, limitMs, progress } = unread;
      if (response.gone || connection.ended) {
        this.#all.delete(unread);
        continue;
      }
      if (!response.finished && response.waiting === 0) {
        progress.reset();
        continue;
      }
      const stalledMs = progress.stalledMs(response.waiting, nowMs);
      if (stalledMs >= limitMs) response.reset();
      else if (stalledMs > 0) stalled.set(connection, (stalled.get(connection) ?? 0) + 1);
    }
    for (const [connection, count] of stalled) if (count > MAX_PER_CONNECTION) connection.reset();
  }
}

/**
 * Limits the requests that are open at endpoints that anyone may call: of one connection, of one address and in all.
 *
 * An attacker without a credential begins thousands of requests and finishes none, or reads none of the responses. Each
 * holds memory until its time limit, so their number is limited. The attacker then keeps the limit full, from one
 * machine of an office, or from anywhere behind the same load balancer, so that no one else with that address can sign
 * in. So a limit that is full rejects no one while there is a request that only waits for its own client: the oldest of
 * those gives way. A client that goes on sends its body within a round trip, and is not the oldest for long.
 */
import { ConcurrencyLimit } from '../concurrency-limit.ts';
import { no } from '../result.ts';
import type { Result } from '../result.ts';
import { bucketOf } from './address.ts';

/** The largest body that an endpoint of ours takes: the limits of a delegated session, or a workload's token. */
export const MOST_BODY_BYTES = 32_768;

export type PendingLevel = 'connection' | 'address' | 'all';

/**
 * Requests that may be open. Not settings: they bound memory, and no honest client comes near them.
 *
 * - `connection`: as many as an HTTP/2 client may expect of a server (RFC 9113 §6.5.2).
 * - `address`: an office, or a whole company behind a load balancer that passes no addresses on. 10,000 users of whom
 *   each refreshes every five minutes are 33 requests a second. Each takes some milliseconds, and ten seconds where the
 *   identity provider hangs, so 330 are open then.
 * - `all`: four such companies. With 32 kB of body and 50 kB for its conversion from HTTP/2 at most, this is 180 MB.
 */
export const MOST_PENDING: Readonly<Record<PendingLevel, number>> = { connection: 100, address: 500, all: 2_000 };

/**
 * The same at a listener with few connections: one of HTTP/1.1 has one request, so that an attacker's unfinished ones
 * would otherwise take them all.
 * @param connections that the listener may have at a time
 */
export const mostPendingAt = (connections: number): Readonly<Record<PendingLevel, number>> => ({
  ...MOST_PENDING,
  all: Math.min(MOST_PENDING.all, Math.ceil(connections / 5)),
});

export interface PendingRequest {
  /** Its identity is compared. */
  readonly connection: object;
  /** As sockets report it; undefined: one that all clients of a proxy share, so no limit counts by it. */
  readonly address: string | undefined;
  /** Nothing is missing but the client: the rest of the body is to be sent, or the whole response to be read. */
  readonly waitsForClient: () => boolean;
  /** Ends the request, if its response has not begun. Its slots are released already. */
  readonly giveWay: (level: PendingLevel) => void;
}

interface Pending extends PendingRequest {
  readonly network: string | undefined;
  readonly release: () => void;
}

export class PendingRequests {
  readonly #limit: ConcurrencyLimit<PendingLevel>;
  /** The oldest first. */
  readonly #open = new Set<Pending>();

  /** @param most requests; those of an address are counted for the /64 of an IPv6 address */
  constructor({ connection, address, all }: Readonly<Record<PendingLevel, number>>) {
    this.#limit = new ConcurrencyLimit({ connection, address, all });
  }

  get size(): number {
    return this.#open.size;
  }

  /**
   * @returns a function to be called when the response has closed, or the level that is full, and of which no request
   *   gives way; none does for its own connection, whose client can wait for its own responses
   */
  add(request: PendingRequest): Result<() => void, PendingLevel> {
    const { connection, address } = request;
    const network = address === undefined ? undefined : bucketOf(address);
    const acquire = (): Result<() => void, PendingLevel> =>
      this.#limit.acquire({ connection, address: network, all: 'all' });
    let slot = acquire();
    while (!slot.ok) {
      const { reason } = slot;
      const oldest = reason === 'connection' ? undefined : this.#oldestWaiting(reason === 'address', network);
      if (oldest === undefined) return no(reason);
      this.#remove(oldest);
      oldest.giveWay(reason);
      slot = acquire();
    }
    const pending = { ...request, network, release: slot.value };
    this.#open.add(pending);
    return { ok: true, value: () => this.#remove(pending) };
  }

  #oldestWaiting(ofNetwork: boolean, network: string | undefined): Pending | undefined {
    for (const pending of this.#open)
      if ((!ofNetwork || pending.network === network) && pending.waitsForClient()) return pending;
    return undefined;
  }

  #remove(pending: Pending): void {
    this.#open.delete(pending);
    pending.release();
  }
}

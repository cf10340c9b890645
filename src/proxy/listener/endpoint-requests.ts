/**
 * Requests to our own endpoints (`/-/`), from their head until their endpoint is given them: with their whole body, or
 * not at all.
 *
 * The endpoints are for clients that have no credential yet, so anyone may call them. An attacker begins thousands of
 * requests and never sends their bodies: 22,050 of them, 2 MB in all, held 900 MB for 30 s. So an unfinished request
 * costs its stream and its body, which is small, and the number of those that are open is limited. Whatever of the body
 * is missing (an empty DATA frame, padding, a chunk of one byte at a time), the time limit is the same.
 */
import type { Awaitable } from '../../core/awaitable.ts';
import { MOST_BODY_BYTES, mostPendingAt, PendingRequests } from '../../core/http/pending-requests.ts';
import type { Turns } from '../../timing/timing.ts';
import { valuesOf } from '../raw-headers.ts';
import { bodyTooLarge, bodyTooSlow, tooManyPending } from '../rejections.ts';
import type { Rejection } from '../status.ts';
import type { Client } from './client.ts';
import type { ClientConnection } from './connection.ts';
import type { UnreadResponses } from './unread-responses.ts';

/**
 * Rejections that may wait for their turn. An attacker begins more requests in an instant than can be rejected in one,
 * and each that waits takes 15 kB. Beyond this number they are refused as they come: a client that gets REFUSED_STREAM
 * knows that nothing was done (RFC 9113 §8.7).
 */
const MOST_REJECTING = 500;

export interface EndpointRequestsOptions {
  readonly turns: Turns;
  readonly unread: UnreadResponses;
  /** Connections that the listener may have. */
  readonly connections: number;
  /** Time for the body. Milliseconds. */
  readonly bodyMs: number;
  /** Milliseconds that the client may read nothing of its response. */
  readonly unreadMs: number;
  /** Responds in a turn of its own, and writes the audit event: thousands that began together are late together. */
  readonly reject: (client: Client, connection: ClientConnection, rejection: Rejection) => Awaitable<void>;
  /** Counts a request that is refused without a response. */
  readonly refused: () => void;
}

export class EndpointRequests {
  readonly #options: EndpointRequestsOptions;
  readonly #pending: PendingRequests;
  #rejecting = 0;

  constructor(options: EndpointRequestsOptions) {
    this.#options = options;
    this.#pending = new PendingRequests(mostPendingAt(options.connections));
  }

  /** How many are open. */
  get size(): number {
    return this.#pending.size;
  }

  /** @param serve gives the request to its endpoint, which responds itself; not called if it is rejected */
  take(client: Client, connection: ClientConnection, serve: (body: Buffer) => void): void {
    const { request, response } = client;
    const { turns, unread, bodyMs, unreadMs, refused } = this.#options;
    if (this.#rejecting >= MOST_REJECTING) {
      refused();
      return response.refuse();
    }
    const reject = (rejection: Rejection): void => this.#reject(client, connection, rejection);
    let missesBody = request.hasBody;
    const end = (rejection: Rejection): void => {
      missesBody = false;
      close();
      reject(rejection);
    };
    const awaitsClient = (): boolean => missesBody || response.finished;
    const slot = this.#pending.add({
      connection,
      address: connection.address,
      waitsForClient: awaitsClient,
      // A response that is only to be read takes little, and has limits of its own (`unread-responses.ts`).
      giveWay: (level) => {
        if (missesBody) end(tooManyPending(level));
      },
    });
    if (!slot.ok) return reject(tooManyPending(slot.reason));
    // Announced, so that it need not be read first.
    if (Number(valuesOf(request.raw, 'content-length')[0] ?? 0) > MOST_BODY_BYTES) {
      slot.value();
      return reject(bodyTooLarge(MOST_BODY_BYTES));
    }
    const unreadClosed = unread.add(response, connection, unreadMs);
    const late = missesBody ? setTimeout(() => end(bodyTooSlow()), bodyMs) : undefined;
    const open = {
      inFlight: false,
      headLines: request.raw.length / 2,
      upstream: undefined,
      get finished() {
        return response.finished;
      },
      get awaitsClient() {
        return awaitsClient();
      },
    };
    const close = connection.responseOpened(open, () => {
      clearTimeout(late);
      unreadClosed();
      slot.value();
    });
    response.onClose(close);
    const begin = (body: Buffer): void => {
      clearTimeout(late);
      turns.do(() => {
        // Its end has been reported already, and endpoints that are given it now would wait for that.
        if (!response.gone) serve(body);
      }, connection.line);
    };
    if (request.expectsContinue) response.writeContinue();
    if (!missesBody) return begin(Buffer.alloc(0));
    request.whenWhole(MOST_BODY_BYTES, (body) => {
      // It has been rejected meanwhile.
      if (!missesBody) return;
      if (body === undefined) return end(bodyTooLarge(MOST_BODY_BYTES));
      missesBody = false;
      begin(body);
    });
  }

  #reject(client: Client, connection: ClientConnection, rejection: Rejection): void {
    const rejected = this.#options.reject(client, connection, rejection);
    if (!(rejected instanceof Promise)) return;
    this.#rejecting += 1;
    void rejected.finally(() => {
      this.#rejecting -= 1;
    });
  }
}

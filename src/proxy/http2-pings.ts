/** PINGs on an HTTP/2 connection (RFC 9113 §6.7), whichever side is the client. */
import type { Http2Session } from 'node:http2';
import type { Socket } from 'node:net';
import { timeLimit } from '../timing/timing.ts';

export interface PingOptions {
  readonly socket: Pick<Socket, 'bytesRead'>;
  /** Between two PINGs. Milliseconds. */
  readonly everyMs: number;
  readonly onGone: () => void;
  /** True while no stream is open. Absent: one that sends is never gone. */
  readonly isIdle?: () => boolean;
}

/** A response of megabytes may still be on its way over a slow network when its stream has closed. */
const IDLE_INTERVALS = 2;

/**
 * A peer that has acknowledged nothing and sent nothing for a whole interval is gone. One that reads slowly sends
 * window updates. A client that begins a head and sends a byte of it in each interval cannot acknowledge anything, and
 * would hold what it has begun for as long as it likes, so where no stream is open, bytes alone count for a while only.
 * @returns a function that ends the PINGs
 */
export function keepPinging(session: Http2Session, { socket, everyMs, onGone, isIdle }: PingOptions): () => void {
  let awaitingPong = false;
  let bytesAtPing = 0;
  let idleIntervals = 0;
  let stop: () => void;
  const ping = (): void => {
    const { bytesRead } = socket;
    idleIntervals = awaitingPong && isIdle?.() === true ? idleIntervals + 1 : 0;
    if (awaitingPong && (bytesRead === bytesAtPing || idleIntervals === IDLE_INTERVALS)) return onGone();
    bytesAtPing = bytesRead;
    if (awaitingPong || session.destroyed) return;
    awaitingPong = session.ping(() => {
      awaitingPong = false;
    });
  };
  // Not `setInterval`: after this process stood still its rounds would follow each other with no poll between them, in
  // which the PONG is read.
  const schedule = (): void => {
    stop = timeLimit(everyMs, () => {
      schedule();
      ping();
    });
  };
  schedule();
  return () => stop();
}

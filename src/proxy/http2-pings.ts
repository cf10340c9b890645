/** PINGs on an HTTP/2 connection (RFC 9113 §6.7), whichever side is the client. */
import type { Http2Session } from 'node:http2';
import type { Socket } from 'node:net';
import { timeLimit } from '../timing/timing.ts';

export interface PingOptions {
  readonly socket: Pick<Socket, 'bytesRead'>;
  /** Between two PINGs. Milliseconds. */
  readonly everyMs: number;
  readonly onGone: () => void;
}

/**
 * A peer that has acknowledged nothing and sent nothing for a whole interval is gone. One that reads slowly sends
 * window updates.
 * @returns a function that ends the PINGs
 */
export function keepPinging(session: Http2Session, { socket, everyMs, onGone }: PingOptions): () => void {
  let awaitingPong = false;
  let bytesAtPing = 0;
  let stop: () => void;
  const ping = (): void => {
    const { bytesRead } = socket;
    if (awaitingPong && bytesRead === bytesAtPing) return onGone();
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

/** The body of a request on its way from the client to the API server. */
import { timeLimit } from '../../timing/timing.ts';
import type { Exchange } from '../exchange.ts';
import type { ClientDelay } from './client-delay.ts';

export interface UploadOptions {
  readonly exchange: Pick<Exchange, 'mayPass' | 'audit'>;
  /** How long the client may send nothing of it. Milliseconds; 0: as long as it likes. */
  readonly limitMs: number;
  readonly onLate: () => void;
  readonly delay: Pick<ClientDelay, 'waits' | 'goesOn'>;
}

/**
 * Passes the client's body on piece by piece, with a check before each. The body is pulled, so nothing is read that the
 * API server cannot take, and the check is between the buffer and the write: a stream in between would hold pieces
 * that were checked long before they are sent. While the API server takes nothing, the client's time stands still.
 */
export async function* uploadPieces(
  pieces: AsyncIterable<Buffer>,
  { exchange, limitMs, onLate, delay }: UploadOptions,
): AsyncGenerator<Buffer, void> {
  const iterator = pieces[Symbol.asyncIterator]();
  try {
    for (;;) {
      delay.waits();
      const stopTimer = limitMs === 0 ? undefined : timeLimit(limitMs, onLate);
      const { done, value } = await iterator.next().finally(stopTimer);
      if (done === true) return;
      if (value.length > 0 && !exchange.mayPass()) throw new Error('the request was cut');
      exchange.audit.bytesIn += value.length;
      delay.goesOn();
      if (value.length === 0) continue;
      yield value;
    }
  } finally {
    delay.goesOn();
    await iterator.return?.();
  }
}

/** Puts a piece that has been pulled back in its place. */
export async function* startingWith(
  first: IteratorResult<Buffer, void>,
  others: AsyncIterable<Buffer>,
): AsyncGenerator<Buffer, void> {
  if (first.done === true) return;
  yield first.value;
  yield* others;
}

/** Where lines go: the seam between the queue that keeps their order and what takes their bytes. */
import type { Writable } from 'node:stream';
import type { AuditSinkSettings } from '../types.ts';

export interface LineTarget {
  readonly type: AuditSinkSettings['type'];
  /** For the operator's log: which one it is. */
  readonly place: string;
  /** False where nothing can be said before the first `prepare` has succeeded; the sink counts as failing until then. */
  readonly readyAtOnce: boolean;
  /** Milliseconds that a line may wait for others, where it costs much to take one. Absent: none. */
  readonly gatherMs?: number;
  /** Bytes that it has taken and not yet delivered. Absent: none. */
  readonly heldBytes?: number;
  /** It takes lines still, and cannot deliver them now. Absent: no such thing. */
  readonly behind?: boolean;
  /** It writes to another machine, so that nothing but memory keeps a line here until that has answered. */
  readonly remote?: boolean;
  /** The target itself tells what became of each line, because taking a line is not yet writing it. */
  readonly tellsOutcomes?: boolean;
  /**
   * Called before every write. `fresh` says that the next byte begins a line of its own (a file newly opened), so that a line
   * which had been written in part is written again from its start.
   */
  prepare(): Promise<'same' | 'fresh'>;
  /**
   * Resolves with how many bytes the operating system has taken, at least one; rejects when it took none.
   * @param sync the disk must have them as well, where there is one
   */
  write(bytes: Uint8Array, sync?: boolean): Promise<number>;
  close(): Promise<void>;
}

/** @returns the `code` of an error of the system, or of undici; empty where it has none */
export const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';

/** A failure that says itself when to try again. */
export class TryLater extends Error {
  readonly afterMs: number;

  constructor(message: string, afterMs: number) {
    super(message);
    this.afterMs = afterMs;
  }
}

export interface RetryLimits {
  /** First and longest wait between two tries; doubles in between. */
  readonly retryMs: number;
  readonly retryMaxMs: number;
}

/**
 * How long to wait after a failure. It varies by a quarter both ways, so that replicas that failed together do not come back together.
 * @param failures how many came before this one without a success
 * @returns milliseconds
 */
export function retryDelay({ retryMs, retryMaxMs }: RetryLimits, failures: number, error: Error): number {
  const wait = Math.min(retryMs * 2 ** failures, retryMaxMs) * (0.75 + Math.random() / 2);
  return error instanceof TryLater ? Math.max(wait, error.afterMs) : wait;
}

/**
 * A stream as a target; the process's own stdout in practice, so it is never ended here. After an error it is unknown how much
 * the reader got, so the batch is written again: a line twice rather than none.
 */
export function streamTarget(stream: Writable): LineTarget {
  // Without a listener an EPIPE of a log reader that went away would end the process.
  stream.on('error', () => {});
  return {
    type: 'stdout',
    place: 'stdout',
    readyAtOnce: true,
    prepare: async () => 'same',
    write: (bytes) =>
      new Promise((resolve, reject) => {
        // The callback comes when the bytes have left the process, not when the stream has put them into its buffer.
        stream.write(bytes, (error) => (error ? reject(error) : resolve(bytes.length)));
      }),
    close: async () => {},
  };
}

/** Targets: the seam between the queue that keeps the order of lines and what accepts their bytes. */
import type { Writable } from 'node:stream';
import type { AuditSinkSettings } from '../types.ts';

export interface LineTarget {
  readonly type: AuditSinkSettings['type'];
  /** Identifies the target in the operator's log. */
  readonly location: string;
  /** False if its state is unknown before the first `prepare` has succeeded; the sink counts as failing until then. */
  readonly readyImmediately: boolean;
  /** Milliseconds that a line may wait for others, if accepting one is expensive. Absent: none. */
  readonly gatherMs?: number;
  /**
   * Bytes of lines that it is given in one write; asked for after each `prepare`. Absent: 256 kB. An attacker causes as
   * much and more in each turn of the event loop, and a write takes one or two turns however fast the disk is: a queue
   * would grow in front of a target that takes less.
   */
  readonly batchBytes?: number;
  /** Bytes that it has accepted and not yet delivered. Absent: none. */
  readonly heldBytes?: number;
  /** True if it still accepts lines, but cannot deliver them now. Absent: it delivers immediately. */
  readonly behind?: boolean;
  /** Seconds that it holds a line at the speed of now before it deletes it. Absent: it deletes none, or none yet. */
  readonly holdsForSeconds?: number | undefined;
  /** It writes to another machine, so that a line is only in memory until that has responded. */
  readonly remote?: boolean;
  /** The target itself reports the outcome of each line, because accepting a line is not yet writing it. */
  readonly reportsOutcomes?: boolean;
  /**
   * Called before every write. `fresh` means that the next byte begins a new line (a newly opened file), so that a
   * partly written line is written again from its start.
   */
  prepare(): Promise<'same' | 'fresh'>;
  /**
   * Resolves with the number of bytes that the operating system has accepted, at least one; rejects if it accepted
   * none.
   * @param sync the disk must have them as well, if there is one
   */
  write(bytes: Uint8Array, sync?: boolean): Promise<number>;
  close(): Promise<void>;
}

/** @returns the `code` of an error of the system, or of undici; empty if it has none */
export const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';

/**
 * A stream as a target; in practice the process's own stdout, so it is never ended here. After an error it is
 * unknown how much the reader got, so the batch is written again: a line twice is better than none.
 */
export function streamTarget(stream: Writable): LineTarget {
  // Without a listener the EPIPE of a log reader that has exited would end the process.
  stream.on('error', () => {});
  return {
    type: 'stdout',
    location: 'stdout',
    readyImmediately: true,
    prepare: async () => 'same',
    write: (bytes) =>
      new Promise((resolve, reject) => {
        // The callback is called when the bytes have left the process, not when the stream has buffered them.
        stream.write(bytes, (error) => (error ? reject(error) : resolve(bytes.length)));
      }),
    close: async () => {},
  };
}

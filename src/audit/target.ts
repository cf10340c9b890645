/** Where lines go: the seam between the queue that keeps their order and what takes their bytes. */
import type { Writable } from 'node:stream';
import type { AuditSinkSettings } from './audit.ts';

export interface LineTarget {
  readonly type: AuditSinkSettings['type'];
  /** For the operator's log: which one it is. */
  readonly place: string;
  /** False where nothing can be said before the first `prepare` has succeeded; the sink counts as failing until then. */
  readonly readyAtOnce: boolean;
  /**
   * Called before every write. `fresh` says that the next byte begins a line of its own (a file newly opened), so that a line
   * which had been written in part is written again from its start.
   */
  prepare(): Promise<'same' | 'fresh'>;
  /** Resolves with how many bytes the operating system has taken, at least one; rejects when it took none. */
  write(bytes: Uint8Array): Promise<number>;
  close(): Promise<void>;
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

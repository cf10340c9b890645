/**
 * Errors without a stack, for errors that nothing reads: Node requires an error to reset a stream, and writes out
 * its stack even so.
 */

/**
 * Runs `work` with errors that have no stack. A stack costs more than the reset that it is made for, and a cut
 * makes thousands in one tick. Synchronous: errors made anywhere else keep theirs.
 */
export function withoutStacks(work: () => void): void {
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0;
  try {
    work();
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
}

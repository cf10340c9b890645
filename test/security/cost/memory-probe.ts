/** Loaded into a server that is measured: collects garbage when it is asked to, and says how much is left. */
process.on('message', () => {
  globalThis.gc?.();
  // What a finalizer has let go of is collected by another one.
  setImmediate(() => {
    globalThis.gc?.();
    const { heapUsed, external } = process.memoryUsage();
    process.send?.(heapUsed + external);
  });
});

/**
 * The bound of an LRU cache, in entries. With the library's own `max` a cache allocates space for all of them at once,
 * which for the caches of one server took tens of milliseconds and megabytes at every start.
 */
export const atMost = (entries: number) => ({ maxSize: entries, sizeCalculation: () => 1 });

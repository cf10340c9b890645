/** For tests of what something costs: unlike the time on the wall, what other processes do meanwhile does not count. */
function used(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** @returns milliseconds of CPU that this process has used for it */
export function cpuMs(work: () => unknown): number {
  const before = used();
  work();
  return used() - before;
}

/** @returns a function that says how many milliseconds of CPU this process has used since */
export function cpuClock(): () => number {
  const before = used();
  return () => used() - before;
}

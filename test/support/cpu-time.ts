/** For tests of what something costs: unlike the time on the wall, what other processes do meanwhile does not count. */
import { closeSync, openSync, readdirSync, readSync } from 'node:fs';

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

/** One for all: readFile takes 64 kB for each file of the kernel's, and they are read hundreds of times a second. */
const schedstat = Buffer.alloc(128);

function threadMicroseconds(path: string): number {
  try {
    const file = openSync(path, 'r');
    const text = schedstat.toString('latin1', 0, readSync(file, schedstat));
    closeSync(file);
    return Number(text.split(' ')[0]) / 1000;
  } catch {
    // A thread may end between the two samples.
    return 0;
  }
}

/**
 * CPU time of a process with all its threads, in microseconds. From `schedstat`, which counts nanoseconds: `stat` counts hundredths of a
 * second, too coarse for a thousand requests.
 */
export function cpuMicroseconds(pid: number): number {
  const threads = readdirSync(`/proc/${pid}/task`);
  return threads.reduce((sum, thread) => sum + threadMicroseconds(`/proc/${pid}/task/${thread}/schedstat`), 0);
}

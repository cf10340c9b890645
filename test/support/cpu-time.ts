/** For tests of what something costs: unlike the time on the wall, what other processes do meanwhile does not count. */
import { readdir, readFile } from 'node:fs/promises';

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

/**
 * CPU time of a process with all its threads, in microseconds. From `schedstat`, which counts nanoseconds: `stat` counts hundredths of a
 * second, too coarse for a thousand requests.
 */
export async function cpuMicroseconds(pid: number): Promise<number> {
  const threads = await readdir(`/proc/${pid}/task`);
  const times = threads.map(async (thread) => {
    // A thread may end between the two samples.
    const text = await readFile(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').catch(() => '0');
    return Number(text.split(' ')[0]) / 1000;
  });
  return (await Promise.all(times)).reduce((sum, time) => sum + time, 0);
}

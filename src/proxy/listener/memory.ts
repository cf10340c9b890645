/** How much of the memory that this process may have is in use. */
import { totalmem } from 'node:os';

/** @returns a share: 1 is where the system ends the process, whose limit is its container's, or all there is */
export function memoryInUse(): number {
  const machine = totalmem();
  // 0 or an endless number where there is no limit.
  const limit = process.constrainedMemory();
  return process.memoryUsage.rss() / (limit > 0 && limit < machine ? limit : machine);
}

/** How much of the memory that this process may have is in use. */
import { readFileSync } from 'node:fs';
import { totalmem } from 'node:os';

/** Where the system shows control groups of version 2, and which one this process is in. */
export interface ControlGroup {
  readonly root: string;
  readonly membership: string;
}

const OWN: ControlGroup = { root: '/sys/fs/cgroup', membership: '/proc/self/cgroup' };

/**
 * What the system can take back from no one, of all that it counts for a container (cgroup-v2, `memory.stat`). One
 * account has 625 MB in buffers of sockets that it does not read, none of which is in the memory of the process.
 */
const COUNTED = /^(?:anon|shmem|sock|kernel_stack|pagetables|percpu|slab_unreclaimable) (\d+)$/gm;

/** @returns bytes; 0 where there is no such group */
function chargedBytes({ root, membership }: ControlGroup): number {
  try {
    const [, path] = /^0::(.*)$/m.exec(readFileSync(membership, 'utf8')) ?? [];
    if (path === undefined) return 0;
    const stat = readFileSync(`${root}${path}/memory.stat`, 'utf8');
    return [...stat.matchAll(COUNTED)].reduce((sum, [, bytes]) => sum + Number(bytes), 0);
  } catch {
    // An older system, or the root of all groups, which has no limit either.
    return 0;
  }
}

/** @returns a share: 1 is where the system ends the process, whose limit is its container's, or all there is */
export function memoryInUse(group = OWN): number {
  const machine = totalmem();
  // 0 or an endless number where there is no limit.
  const limit = process.constrainedMemory();
  const isLimited = limit > 0 && limit < machine;
  const bytes = process.memoryUsage.rss();
  return isLimited ? Math.max(bytes, chargedBytes(group)) / limit : bytes / machine;
}

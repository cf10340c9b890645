/**
 * Identifies the calling program: kubectl does not say why it asks again, so the plugin tells its callers apart by
 * itself.
 */
import { readFileSync } from 'node:fs';

/** Process id and start time, because ids are reused. Used as a file name. */
export type ParentId = string;

/**
 * Returns the parent of this process.
 *
 * Where the system does not report the start time (Windows), only the id is used: a reused id then costs one needless
 * refresh, or one call that gets the last error of the earlier program (see failures.ts); `portcullis login` ends that.
 */
export function parentProcess(pid: number = process.ppid, platform: NodeJS.Platform = process.platform): ParentId {
  return `${pid}-${startTime(pid, platform) ?? 'unknown'}`;
}

function startTime(pid: number, platform: NodeJS.Platform): string | undefined {
  try {
    if (platform === 'linux') return linuxStartTime(readFileSync(`/proc/${pid}/stat`, 'utf8'));
    if (platform === 'darwin') {
      // Loaded here, because loading it takes a tenth of the time in which a cached credential is served.
      const { execFileSync } = process.getBuiltinModule('node:child_process');
      const reported = execFileSync('/bin/ps', ['-o', 'lstart=', '-p', String(pid)], {
        encoding: 'utf8',
        timeout: 2000,
      });
      return reported.replaceAll(/[^A-Za-z0-9]+/g, '') || undefined;
    }
  } catch {
    // The parent may have ended.
  }
  return undefined;
}

/**
 * Returns clock ticks after boot, field 22 of `/proc/PID/stat` (proc_pid_stat(5)).
 * @param stat its text; the second field, the program's name, may hold blanks and brackets, so fields are counted
 *   after it
 */
export function linuxStartTime(stat: string): string | undefined {
  const afterName = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const ticks = afterName[22 - 3];
  return ticks !== undefined && /^\d+$/.test(ticks) ? ticks : undefined;
}

/** The bounds are milliseconds of CPU of one machine. Another is slower, and this one is while others share it. */
import { createHash } from 'node:crypto';
import { cpuMs } from './cpu-time.ts';

const TEXT = JSON.stringify(Array.from({ length: 200 }, (_, at) => ({ name: `n${at}`, groups: ['a', 'b'], at })));
/** Of `work`, on the machine that the bounds are for. */
const USUAL_MS = 6;
const TIMES = 5;

function work(): void {
  for (let round = 0; round < 40; round += 1) {
    createHash('sha256')
      .update(JSON.stringify(JSON.parse(TEXT)))
      .digest();
  }
}

/** @returns how many times as long a fixed piece of work takes now, at least 1 */
export function slowness(): number {
  const each = Array.from({ length: TIMES }, () => cpuMs(work)).toSorted((a, b) => a - b);
  return Math.max(1, (each[TIMES >> 1] ?? 0) / USUAL_MS);
}

/** How fast a target took the last writes. */
import { performance } from 'node:perf_hooks';
import { BATCH_BYTES } from './batch.ts';

/** What a small write takes is one call, or one sync, and says nothing of how long many lines take. */
const LEAST_BYTES = BATCH_BYTES / 2;
/** A target that was slow is not slow for ever. */
const KNOWN_MS = 10_000;

export class WriteSpeed {
  #bytes = 0;
  #ms = 0;
  #knownUntil = -Infinity;

  /** Bytes per millisecond. Infinity: not known. */
  get bytesPerMs(): number {
    return performance.now() > this.#knownUntil ? Infinity : this.#bytes / this.#ms;
  }

  /** Each write counts half of the next one: one that hung is forgotten after a few. */
  add(bytes: number, ms: number): void {
    if (bytes < LEAST_BYTES) return;
    const nowMs = performance.now();
    const kept = nowMs > this.#knownUntil ? 0 : 1 / 2;
    this.#bytes = this.#bytes * kept + bytes;
    this.#ms = this.#ms * kept + ms;
    this.#knownUntil = nowMs + KNOWN_MS;
  }
}

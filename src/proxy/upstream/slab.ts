/**
 * Memory for the bodies of large responses, used again and again.
 *
 * Each piece of a body would otherwise be memory outside the heap of its own, and V8 begins a full collection for
 * every few megabytes of it: four fifths of what a long list costs.
 *
 * The danger is one user's bytes in another user's response. So a slab is used again only if every holder has
 * released it, each of them exactly once; one that is never released is left to the collector.
 */

/** A write of as much is a good size for TLS and for the kernel. Bytes. */
export const SLAB_BYTES = 262_144;
/** Slabs that are kept for the next response. 8 MB. */
const MAX_SPARE = 32;

export class Slab {
  readonly bytes = Buffer.allocUnsafeSlow(SLAB_BYTES);
  #holders = 0;

  /**
   * Keeps the bytes as they are.
   * @returns a function that releases them; further calls of it do nothing
   */
  hold(): () => void {
    this.#holders += 1;
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      this.#holders -= 1;
      if (this.#holders === 0) giveBack(this);
    };
  }
}

const spare: Slab[] = [];

/** @returns a slab that no one else holds or will be given before it is released */
export function takeSlab(): Slab {
  return spare.pop() ?? new Slab();
}

function giveBack(slab: Slab): void {
  if (spare.length < MAX_SPARE) spare.push(slab);
}

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
/**
 * Slabs that may be in use. 64 MB. An attacker requests hundreds of large lists and reads none of them, so that each keeps
 * a slab or two for as long as it may; beyond this number a piece has memory of its own, no larger than it is.
 */
export const MAX_IN_USE = 256;

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
let inUse = 0;
/** Counts those that no holder has released. */
const lost = new FinalizationRegistry<void>(() => (inUse -= 1));

/** @returns a slab that no one else holds or will be given before it is released; undefined: too many are in use */
export function takeSlab(): Slab | undefined {
  if (inUse >= MAX_IN_USE) return undefined;
  inUse += 1;
  const used = spare.pop();
  if (used !== undefined) return used;
  const slab = new Slab();
  lost.register(slab, undefined, slab);
  return slab;
}

function giveBack(slab: Slab): void {
  inUse -= 1;
  if (spare.length < MAX_SPARE) spare.push(slab);
  else lost.unregister(slab);
}

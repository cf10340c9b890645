/** The pieces of a response on their way from a connection to its handler: how many at once. */
import { SLAB_BYTES, takeSlab } from './slab.ts';
import type { Slab } from './slab.ts';

/** Pieces from this size on are gathered in slabs. A TLS record has 16 kB at most. */
const GATHERED_BYTES = 8_192;
/**
 * Smaller pieces that are handed on in one turn of the event loop, one after the other: the echo of a keystroke is one.
 *
 * An attacker's pod sends single bytes through hundreds of port-forwards: each is a TLS record here, and a write of its
 * own for the client, 2,700 of them for 64 kB that are read. And a client that does not read has a queue of 64 kB, so that
 * 32,000 of these wait at a few hundred bytes each. So the others of a turn are joined.
 */
const MOST_SMALL = 8;

let turn = 0;
let isCounting = false;
/** Returns a number that is another one in each turn. */
function thisTurn(): number {
  if (!isCounting) {
    isCounting = true;
    setImmediate(() => {
      isCounting = false;
      turn += 1;
    });
  }
  return turn;
}

interface GatheringOptions {
  /** @param slab whose memory the piece is; undefined: it has its own */
  readonly hand: (piece: Buffer, slab: Slab | undefined) => void;
  /** Runs what is done at the end of a turn. */
  readonly later: (step: () => void) => void;
}

export class Gathering {
  readonly #options: GatheringOptions;
  #slab: Slab | undefined;
  /** Those that are joined at the end of this turn. */
  #small: Buffer[] = [];
  /** Bytes in the slab, or of the small pieces; never of both. */
  #gathered = 0;
  /** Small pieces that were handed on in a turn. */
  #handed = 0;
  #handedIn = -1;
  #flush: NodeJS.Immediate | undefined;

  constructor(options: GatheringOptions) {
    this.#options = options;
  }

  /**
   * Large pieces are gathered until the end of this turn; a smaller one is handed on, after what it follows.
   * @param piece its memory is used again after the call
   */
  take(piece: Buffer, from: number, to: number): void {
    const bytes = to - from;
    const isLarge = bytes >= GATHERED_BYTES;
    if (this.#gathered > 0 && (isLarge ? !this.#fitsSlab(bytes) : this.#slab !== undefined)) this.flush();
    const slab = isLarge ? (this.#slab ??= takeSlab()) : undefined;
    if (slab === undefined) return this.#takeSmall(Buffer.from(piece.subarray(from, to)));
    piece.copy(slab.bytes, this.#gathered, from, to);
    this.#gather(bytes);
  }

  /** Hands on what was gathered. */
  flush(): void {
    clearImmediate(this.#flush);
    this.#flush = undefined;
    const [slab, small, gathered] = [this.#slab, this.#small, this.#gathered];
    this.#slab = undefined;
    this.#gathered = 0;
    if (small.length > 0) {
      this.#small = [];
      this.#options.hand(Buffer.concat(small, gathered), undefined);
    }
    if (slab === undefined) return;
    const release = slab.hold();
    this.#options.hand(slab.bytes.subarray(0, gathered), slab);
    release();
  }

  /** Gives what was gathered to no one. */
  drop(): void {
    clearImmediate(this.#flush);
    this.#flush = undefined;
    this.#slab?.hold()();
    this.#slab = undefined;
    this.#small = [];
    this.#gathered = 0;
  }

  #fitsSlab(bytes: number): boolean {
    return this.#slab !== undefined && SLAB_BYTES - this.#gathered >= bytes;
  }

  /** @param piece memory of its own */
  #takeSmall(piece: Buffer): void {
    const now = thisTurn();
    this.#handed = this.#handedIn === now ? this.#handed + 1 : 1;
    this.#handedIn = now;
    if (this.#handed <= MOST_SMALL) {
      this.flush();
      return this.#options.hand(piece, undefined);
    }
    this.#small.push(piece);
    this.#gather(piece.length);
    if (this.#gathered >= GATHERED_BYTES) this.flush();
  }

  #gather(bytes: number): void {
    this.#gathered += bytes;
    this.#flush ??= setImmediate(() => this.#options.later(() => this.flush()));
  }
}

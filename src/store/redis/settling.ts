/**
 * When an epoch is settled: once a replica has seen it, in one regime, for W. By then whoever held a lease in the epoch before has lost
 * it, or has written its locks back into this one; until then nothing is minted (REVOCATION.md, rule 3 of the head).
 */
export class Settling {
  readonly #waitMs: number;
  readonly #monotonic: () => number;
  #seen: { readonly life: string; readonly at: number } | undefined;

  /**
   * @param leaseMs L: how long a lease lasts
   * @param monotonic milliseconds of a clock that is never set back
   */
  constructor(leaseMs: number, monotonic: () => number) {
    // W: L, the drift of the other's clock, and a margin for timers.
    this.#waitMs = leaseMs * 1.001 + 100;
    this.#monotonic = monotonic;
  }

  /** To be called when the reply of a renewal has come that counts. @returns whether this epoch has been seen for W */
  seen(epoch: string, regime: string): boolean {
    const now = this.#monotonic();
    const life = `${epoch} ${regime}`;
    if (this.#seen?.life !== life) this.#seen = { life, at: now };
    return now - this.#seen.at >= this.#waitMs;
  }
}

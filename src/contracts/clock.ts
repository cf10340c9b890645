/**
 * Contracts: shapes that several modules share, so that none is written twice.
 *
 * Owns: interfaces, and what follows from them in one line. Must not know: any module, or how anything is done.
 */

/** The wall clock. It is injected, so that a test can move it. */
export interface Clock {
  /** Epoch milliseconds. */
  nowMs(): number;
}

/** Returns epoch seconds, the unit of everything that is stored. */
export const nowSeconds = ({ clock }: { readonly clock: Clock }): number => Math.floor(clock.nowMs() / 1000);

/** The result of a verification. */

/**
 * - `edited`: a line differs from what neighbouring lines, a signature or an anchor state
 * - `removed`: lines are missing between others
 * - `reordered`: lines are not where they were written
 * - `inserted`: a line that the chain does not know
 * - `duplicated`: lines that are in another place as well
 * - `cut`: a chain continued after its last line here
 * - `missing-chain`: a whole chain is missing
 * - `unsigned`: none of the given keys has signed it, so that anyone may have written it
 * - `unreadable`: bytes that Portcullis does not write
 * - `anchor`: an invalid anchor
 */
export type FindingKind =
  | 'edited'
  | 'removed'
  | 'reordered'
  | 'inserted'
  | 'duplicated'
  | 'cut'
  | 'missing-chain'
  | 'unsigned'
  | 'unreadable'
  | 'anchor';

export interface FileLine {
  readonly file: string;
  readonly line: number;
}

export interface Finding extends Partial<FileLine> {
  readonly kind: FindingKind;
  readonly chain?: string;
  /** Number in the chain. */
  readonly seq?: number;
  readonly message: string;
}

/** Information for an auditor that is no sign of tampering. */
export interface Note extends Partial<FileLine> {
  /** `limit`: cannot be proven with the given keys and anchors. `gap`: lines that a sink lost, as it declared. */
  readonly kind: 'limit' | 'gap' | 'torn' | 'repeated';
  readonly chain?: string;
  readonly message: string;
}

export interface ChainVerdict {
  readonly chain: string;
  readonly replica: string;
  readonly first: number;
  readonly last: number;
  /** Last line that is proven; 0: none. */
  readonly provenTo: number;
  /** Nothing followed its last line. */
  readonly ended: boolean;
}

export interface Verdict {
  readonly proven: boolean;
  readonly files: number;
  readonly lines: number;
  readonly chains: readonly ChainVerdict[];
  readonly findings: readonly Finding[];
  readonly notes: readonly Note[];
}

/** What is said in the end. */

/**
 * - `edited`: a line is not what the lines beside it, a signature or an anchor say it was
 * - `removed`: lines are missing between others
 * - `reordered`: lines stand where they were not written
 * - `inserted`: a line that the chain does not know
 * - `duplicated`: lines that stand in another place as well
 * - `cut`: a chain went on after the last line that is there
 * - `missing-chain`: a whole chain is not there
 * - `unsigned`: no key that was given has signed it, so that anybody may have written it
 * - `unreadable`: bytes that no gate writes
 * - `anchor`: an anchor that is none
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

export interface Place {
  readonly file: string;
  readonly line: number;
}

export interface Finding extends Partial<Place> {
  readonly kind: FindingKind;
  readonly chain?: string;
  /** Number in the chain. */
  readonly seq?: number;
  readonly message: string;
}

/** Something that an officer should know and that is no tampering. */
export interface Note extends Partial<Place> {
  /** `limit`: cannot be proven by what was given. `gap`: lines that a sink lost, and said so. */
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
  /** Nothing came after its last line. */
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

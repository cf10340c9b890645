import type { SessionRecord } from '../store/store.ts';

/** What deciding about a token request found out, for its answer and its line in the record. */
export interface TokenFacts {
  /** The session, once it has been read. */
  record?: SessionRecord;
  /** Of the token that was minted. */
  audience?: string;
  /** Precise reason why nothing was minted, snake_case. */
  refusal?: string;
  /** What kept the server from deciding. */
  serverFault?: unknown;
}

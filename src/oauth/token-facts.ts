import type { KoaContextWithOIDC } from 'oidc-provider';
import type { Account, Identity } from '../core/identity/identity.ts';
import type { SessionRecord } from '../store/store.ts';
import { TOKEN_EXCHANGE } from './workload/grant-type.ts';

/** What deciding about a token request found out, for its answer and its line in the record. */
export interface TokenFacts {
  /** The session, once it has been read. */
  record?: SessionRecord;
  /** Of the token that was minted. */
  audience?: string;
  /** Precise reason why nothing was minted, snake_case. */
  rejection?: string;
  /** The same for whoever asked. */
  message?: string;
  /** The workload rule that a subject token fell under. */
  rule?: string;
  /** Whose subject token it was, once that was verified. */
  owner?: { readonly account: Account; readonly identity: Identity };
  /** The code that was redeemed is good for nothing any more. */
  codeConsumed?: true;
  /** What kept the server from deciding, or from finishing its answer. */
  serverError?: unknown;
}

/** Whether a token request brings a workload's token. */
export const isExchange = (ctx: KoaContextWithOIDC): boolean => ctx.oidc.params?.['grant_type'] === TOKEN_EXCHANGE;

export const DEVICE_CODE_GRANT = 'urn:ietf:params:oauth:grant-type:device_code';

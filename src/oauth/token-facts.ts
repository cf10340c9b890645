import type { KoaContextWithOIDC } from 'oidc-provider';
import type { Account, Identity } from '../core/identity/identity.ts';
import type { SessionRecord } from '../store/store.ts';
import { TOKEN_EXCHANGE } from './workload/grant-type.ts';

/** What is found out while a token request is decided, for its response and its audit event. */
export interface TokenFacts {
  /** The session, once it has been read. */
  record?: SessionRecord;
  /** Of the token that was minted. */
  audience?: string;
  /** Precise reason why nothing was minted, snake_case. */
  rejection?: string;
  /** The message for the client. */
  message?: string;
  /** The workload rule that applies to a subject token. */
  rule?: string;
  /** The owner of the subject token, once it was verified. */
  owner?: { readonly account: Account; readonly identity: Identity };
  /** The code that was redeemed is consumed. */
  codeConsumed?: true;
  /** The error that kept the server from deciding, or from finishing its response. */
  serverError?: unknown;
}

/** Returns whether a token request presents a workload's token. */
export const isExchange = (ctx: KoaContextWithOIDC): boolean => ctx.oidc.params?.['grant_type'] === TOKEN_EXCHANGE;

export const DEVICE_CODE_GRANT = 'urn:ietf:params:oauth:grant-type:device_code';

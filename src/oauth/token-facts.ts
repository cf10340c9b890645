/** What is found out about a token request while it is decided. */
import type { KoaContextWithOIDC } from 'oidc-provider';
import type { Account, Identity } from '../core/identity/identity.ts';
import type { SessionRecord } from '../store/store.ts';
import { TOKEN_EXCHANGE } from './grant-type.ts';

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
  /** The user's session whose token a registered client exchanges, once it is known. */
  user?: SessionRecord;
  /** There is an audit event of the rejection already. */
  audited?: true;
  /** The code that was redeemed is consumed. */
  codeConsumed?: true;
  /** The error that kept the server from deciding, or from finishing its response. */
  serverError?: unknown;
}

/** Returns whose token a token request exchanges: a workload's own, or a user's by a registered client; undefined if none. */
export function exchangeOf({ oidc }: KoaContextWithOIDC): 'workload' | 'delegation' | undefined {
  if (oidc.params?.['grant_type'] !== TOKEN_EXCHANGE) return undefined;
  const client = oidc.entities.Client;
  // A workload's client is public, and a registered one never is.
  const authenticates =
    client === undefined ? oidc.params['client_assertion'] !== undefined : client.tokenEndpointAuthMethod !== 'none';
  return authenticates ? 'delegation' : 'workload';
}

export const DEVICE_CODE_GRANT = 'urn:ietf:params:oauth:grant-type:device_code';

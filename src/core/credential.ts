/**
 * The access token as a credential: its claims (RFC 9068), and whether it is still good.
 */
import type { Account, Identity } from './identity.ts';
import type { Coverable, LogPosition } from './revocation.ts';

/** Claims of our access token after its signature, issuer, type, audience and times have been verified. */
export interface Credential extends Coverable {
  readonly account: Account;
  /** `jti`. */
  readonly tokenId: string;
  readonly audience: string;
  readonly client: string;
  /** Epoch seconds. */
  readonly issuedAt: number;
  /** Epoch seconds. */
  readonly expiresAt: number;
  /** `ep` and `ln`: the log's place when it was minted. */
  readonly position: LogPosition;
  /** `cnf.x5t#S256` (RFC 8705 §3.1): SHA-256 of the client certificate, base64url. Absent in an unbound token. */
  readonly thumbprint?: string;
}

/** Who is calling, once everything about the credential has been found good. */
export interface Caller {
  readonly credential: Credential;
  readonly identity: Identity;
  /** Epoch seconds at which the session ends whatever happens; for the `Warning` header. */
  readonly sessionExpiresAt: number;
}

/** Why a credential is refused. Precise for the audit record; the wire sees vaguer words. */
export type CredentialRefusal =
  | 'no_token'
  | 'malformed_token'
  | 'foreign_token' // not signed by us, or not an access token of ours (an ID token, a refresh token, a provider's token)
  | 'token_expired'
  | 'wrong_audience'
  | 'certificate_missing'
  | 'certificate_mismatch'
  | 'token_unbound' // no `cnf` although the settings ask for one
  | 'session_unknown'
  | 'session_expired'
  | 'session_revoked'
  | 'epoch_changed'; // minted in an earlier life of the store

/** Keys of the server, as they are read from files. */
import type { JWK } from 'jose';

/** Keys that sign our tokens, read from `keys.signingDir` (`loadSigningKeys`). */
export interface SigningKeys {
  /** Signs now. */
  readonly current: { readonly kid: string; readonly alg: 'ES256'; readonly privateJwk: JWK };
  /** Of the current one: epoch seconds at which it was made. */
  readonly issuedAt: number;
  /** Every key's public part, for discovery and verification; no private member is in it. */
  readonly publicJwks: { readonly keys: JWK[] };
  /** Every key, the one that signs first. */
  readonly privateJwks: { readonly keys: JWK[] };
}

/** Keys that seal what is kept in the store, read from `keys.sealingDir` (`loadSealingKeys`). */
export interface SealingKeys {
  /** Seals now. 256 bits. */
  readonly current: { readonly kid: string; readonly key: Uint8Array };
  /** Of the current one: epoch seconds at which it was made. */
  readonly issuedAt: number;
  /** Every key that can open a value, by `kid`. */
  readonly all: ReadonlyMap<string, Uint8Array>;
}

/** Keys that sign the audit log, read from `keys.auditDir` (`loadAuditKeys`). */
export interface AuditKeys {
  /** Signs now. */
  readonly current: { readonly kid: string; readonly privateJwk: JWK };
  /** Of the current one: epoch seconds at which it was made. */
  readonly issuedAt: number;
}

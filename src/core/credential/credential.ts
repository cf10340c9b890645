/** The access token as a credential: its claims (RFC 9068), and whether it is still valid. */
import { ADMIN_ROLE } from '../core.ts';
import { isActorName, MOST_LEVELS, type Delegation } from '../delegation/delegation.ts';
import type { SessionGrant } from '../access/request.ts';
import { AppError } from '../errors.ts';
import type { Account, Identity } from '../identity/identity.ts';
import { no, ok, type Result } from '../result.ts';
import { coveringKeys, type Coverable, type CoveringKeys, type LogPosition } from './revocation.ts';

/** Claims of our access token after its signature, issuer, type, audience and times were verified. */
export interface Credential extends Coverable {
  readonly account: Account;
  /** Keys for look-ups in the view, so that no digest is computed on the path of a request. */
  readonly keys: CoveringKeys;
  /** `jti`. */
  readonly tokenId: string;
  readonly audience: string;
  readonly client: string;
  /** Epoch seconds. */
  readonly issuedAt: number;
  /** Epoch seconds. */
  readonly expiresAt: number;
  /** `ep` and `ln`: the log's position when it was minted. */
  readonly position: LogPosition;
  /** `psid`, of a delegated session's token. */
  readonly ancestors?: readonly string[] | undefined;
  /** `act` of a delegated session's token, as text, for messages; the session itself has the actors that count. */
  readonly actor?: string | undefined;
  /**
   * Monotonic milliseconds of this process at which the first of the grants ends that the request is made with (`keys.grants`).
   * Not of the token: the authenticator sets it for one request.
   */
  readonly grantsEndAtMs?: number;
  /** `cnf.x5t#S256` (RFC 8705 §3.1): SHA-256 of the client certificate, base64url. Absent in an unbound token. */
  readonly thumbprint?: string;
  /**
   * `roles` of a token for the admin API: its user was an admin when it was minted. Groups may have changed since,
   * so this allows only one action: to hold a target (`RevocationGuard.hold`) while the session cannot be read.
   */
  readonly wasAdmin?: true;
  /** `auth_time` (RFC 9068 §2.2.1) of such a token, as in the session. */
  readonly authTime?: number;
}

/** What of a credential decides which revocations and ends cut what is in flight with it. */
export type FlightCredential = Pick<
  Credential,
  'keys' | 'position' | 'grantsEndAtMs' | 'session' | 'ancestors' | 'account' | 'provider' | 'actor'
>;

/** Returns the user's own session; of a delegated one's credential, the first of those above it. */
export const ownSession = ({ session, ancestors }: Pick<Credential, 'session' | 'ancestors'>): string =>
  ancestors?.[0] ?? session;

/** The credential is valid, but its session cannot be read, so access is denied. */
export class SessionUnread extends AppError {
  readonly credential: Credential;

  constructor(credential: Credential, cause: AppError) {
    super(cause.code, cause.message, { reason: cause.reason, cause });
    this.credential = credential;
  }
}

/** The caller, once everything about the credential was found valid. */
export interface Caller {
  readonly credential: Credential;
  readonly identity: Identity;
  /** Present if the session is a delegated one. */
  readonly delegation?: Delegation;
  /**
   * The grants that this request is made with: `identity` has their groups, and `credential` their keys and their end. Absent
   * for none. Only for the clusters of each grant, never for the admin API or one's own sessions.
   */
  readonly grants?: readonly SessionGrant[];
  /** Without the groups of the grants, for decisions of Portcullis itself. Present where there are grants. */
  readonly ownIdentity?: Identity;
  /** Epoch seconds at which the session ends in any case; for the `Warning` header. */
  readonly sessionExpiresAt: number;
  /** Epoch seconds at which it ends if no further token is minted for it; moves with each mint. */
  readonly sessionIdleAt: number;
  /** `auth_time` of the last proof at the provider, epoch seconds, if it reported one: of the sign-in, or of a step-up. */
  readonly authTime?: number;
}

/** Ids of the grants that a request is made with, separated by blanks, as both audit logs have them. */
export const grantIds = ({ grants }: Pick<Caller, 'grants'>): string | undefined =>
  grants?.map(({ id }) => id).join(' ');

/** Why a credential is rejected. Precise for the audit log; the response is vaguer. */
export type CredentialRejection =
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
  | 'grant_ended' // groups granted for a while ended while the request was on its way
  | 'epoch_changed'; // minted in an earlier epoch of the store

/** SHA-256 as base64url (RFC 8705 §3.1): 43 characters, without padding. */
const THUMBPRINT = /^[A-Za-z0-9_-]{43}$/;

/**
 * Reads our own access token's claims (RFC 9068 §2.2, RFC 8705 §3.1). The caller has verified signature, `typ`,
 * issuer and times.
 *
 * An attacker presents other tokens signed by the same keys, above all ID tokens, so a token that lacks anything
 * an access token of ours has is foreign.
 * @param expectedAudience the one audience it must have; a token for two audiences is rejected by both
 */
export function readCredential(
  payload: Readonly<Record<string, unknown>>,
  expectedAudience: string,
): Result<Credential, CredentialRejection> {
  const audience = soleAudience(payload['aud']);
  if (audience === undefined) return no('foreign_token');
  if (audience !== expectedAudience) return no('wrong_audience');

  const account = readAccount(payload['sub']);
  const session = text(payload['sid']);
  const tokenId = text(payload['jti']);
  const client = text(payload['client_id']);
  const issuedAt = count(payload['iat']);
  const expiresAt = count(payload['exp']);
  const epoch = text(payload['ep']);
  const number = count(payload['ln']);
  if (account === undefined || session === undefined || tokenId === undefined || client === undefined) {
    return no('foreign_token');
  }
  if (issuedAt === undefined || expiresAt === undefined || epoch === undefined || number === undefined) {
    return no('foreign_token');
  }
  const confirmation = readConfirmation(payload['cnf']);
  if (!confirmation.ok) return confirmation;
  const ancestors = readAncestors(payload['psid']);
  if (!ancestors.ok) return ancestors;
  const above = ancestors.value === undefined ? {} : { ancestors: ancestors.value, actor: actorOf(payload) };
  return ok({
    ...account,
    ...above,
    session,
    keys: coveringKeys({ ...account, ...above, session }),
    tokenId,
    audience,
    client,
    issuedAt,
    expiresAt,
    position: { epoch, number },
    ...(confirmation.value === undefined ? {} : { thumbprint: confirmation.value }),
    ...readAdmin(payload),
  });
}

/**
 * Checks that the client holds the certificate to which the token is bound. On every request, cache hit or not
 * (docs/architecture.md#invariant-8).
 * @param presented thumbprint of the connection's client certificate
 * @param sessionThumbprint the binding in the session's record
 * @param mayBeUnbound the token's client is one of the few whose tokens have no binding. An unbound token must
 * never reach a bound session, so this counts only if the session has no binding either
 * @returns undefined if it does
 */
export function checkBinding(
  credential: Pick<Credential, 'thumbprint'>,
  presented: string | undefined,
  sessionThumbprint: string | undefined,
  mayBeUnbound = false,
): 'token_unbound' | 'certificate_missing' | 'certificate_mismatch' | undefined {
  if (credential.thumbprint === undefined) {
    return mayBeUnbound && sessionThumbprint === undefined ? undefined : 'token_unbound';
  }
  if (presented === undefined) return 'certificate_missing';
  const held = presented === credential.thumbprint && presented === sessionThumbprint;
  return held ? undefined : 'certificate_mismatch';
}

const text = (value: unknown): string | undefined => (typeof value === 'string' && value !== '' ? value : undefined);

const count = (value: unknown): number | undefined =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : undefined;

function soleAudience(aud: unknown): string | undefined {
  if (!Array.isArray(aud)) return text(aud);
  return aud.length === 1 ? text(aud[0]) : undefined;
}

/** Returns the account with its provider: the part before the first slash, which no provider's name contains. */
function readAccount(sub: unknown): { readonly account: Account; readonly provider: string } | undefined {
  const account = text(sub);
  const slash = account?.indexOf('/') ?? -1;
  if (account === undefined || slash < 1 || slash === account.length - 1) return undefined;
  const provider = account.slice(0, slash);
  return { account: `${provider}/${account.slice(slash + 1)}`, provider };
}

/** A list that is not understood must not count as none: the end of a session above would not end this one. */
function readAncestors(psid: unknown): Result<readonly string[] | undefined, 'malformed_token'> {
  if (psid === undefined) return ok(undefined);
  if (!Array.isArray(psid) || psid.length === 0 || psid.length > MOST_LEVELS) return no('malformed_token');
  const ancestors = psid.map(text);
  return ancestors.every((each) => each !== undefined) ? ok(ancestors) : no('malformed_token');
}

/**
 * Returns the actors of a delegated session's token as `actorText` writes them (RFC 8693 §4.1: the current one is the
 * outermost); undefined if it is no such token.
 */
export function actorOf({ psid, act }: Readonly<Record<string, unknown>>): string | undefined {
  if (psid === undefined) return undefined;
  const names: string[] = [];
  for (let level = act; names.length < MOST_LEVELS && typeof level === 'object' && level !== null;) {
    const { sub, act: before }: { readonly sub?: unknown; readonly act?: unknown } = level;
    if (typeof sub === 'string' && isActorName(sub)) names.unshift(sub);
    level = before;
  }
  return names.join('/');
}

function readAdmin({ roles, auth_time }: Readonly<Record<string, unknown>>): Pick<Credential, 'wasAdmin' | 'authTime'> {
  if (!Array.isArray(roles) || !roles.includes(ADMIN_ROLE)) return {};
  const authTime = count(auth_time);
  return { wasAdmin: true, ...(authTime === undefined ? {} : { authTime }) };
}

/** A confirmation of another kind (a DPoP key, for example) cannot be checked here, and must not count as none. */
function readConfirmation(cnf: unknown): Result<string | undefined, 'malformed_token'> {
  if (cnf === undefined) return ok(undefined);
  if (typeof cnf !== 'object' || cnf === null || Object.keys(cnf).length !== 1) return no('malformed_token');
  const thumbprint = 'x5t#S256' in cnf ? cnf['x5t#S256'] : undefined;
  return typeof thumbprint === 'string' && THUMBPRINT.test(thumbprint) ? ok(thumbprint) : no('malformed_token');
}

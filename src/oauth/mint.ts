/**
 * The mint: the only place that decides whether an access token is issued, whatever grant asked for it.
 *
 * Order: first the store's script (the session is there and active, no watermark covers it, the binding matches),
 * which returns the position of the log; then the revocation guard of this replica, which may have received a
 * revocation of this session a moment ago; then whether a delegated session may go on, and whether the user may have this
 * audience.
 */
import type { Clock } from '../contracts/clock.ts';
import { AppError } from '../core/errors.ts';
import { coveringKeys } from '../core/credential/revocation.ts';
import type { RevocationGuard, GuardRejection } from '../revocation/revocation.ts';
import type { MintRejection, SessionRecord, SessionStore } from '../store/store.ts';
import type { Audiences, DelegationOver } from './audiences.ts';
import { defined } from '../core/defined.ts';

/** Our claims in the access token, in addition to those of RFC 9068. */
export interface MintedClaims {
  readonly sid: string;
  /** The store's epoch and the log's number when this token was minted. */
  readonly ep: string;
  readonly ln: number;
  /** Of a delegated session: ids of the sessions above it, the user's own first. */
  readonly psid?: readonly string[];
  /** Who acts in a delegated session (RFC 8693 §4.1). */
  readonly act?: ActClaim;
}

interface ActClaim {
  readonly sub: string;
  /** Who acted before. */
  readonly act?: ActClaim;
}

export type MintDecision =
  | { readonly ok: true; readonly claims: MintedClaims; readonly record: SessionRecord }
  | { readonly ok: false; readonly reason: 'session_over'; readonly detail: MintRejection | GuardRejection }
  | {
      readonly ok: false;
      readonly reason: DelegationOver;
      readonly detail: DelegationOver;
      readonly record: SessionRecord;
    }
  | { readonly ok: false; readonly reason: 'audience_refused'; readonly detail: string };

export interface MintRequest {
  readonly session: string;
  readonly audience: string;
  /**
   * SHA-256 of the client certificate, base64url (RFC 8705 §3.1). Absent for an unbound token, which a bound
   * session rejects.
   */
  readonly thumbprint?: string;
}

export async function mint(
  deps: {
    readonly sessions: Pick<SessionStore, 'mint'>;
    readonly guard: Pick<RevocationGuard, 'check'>;
    readonly audiences: Pick<Audiences, 'allows' | 'delegationOver'>;
    readonly clock: Clock;
  },
  request: MintRequest,
): Promise<MintDecision> {
  const outcome = await deps.sessions.mint(request.session, defined({ thumbprint: request.thumbprint }));
  if (!outcome.ok) return { ok: false, reason: 'session_over', detail: outcome.reason };
  const { position, record } = outcome;
  const ancestors = record.delegation?.ancestors;
  const shut = deps.guard.check({ keys: coveringKeys({ ...record, session: record.id, ancestors }), position });
  if (shut === 'fenced') throw new AppError('fenced', 'Portcullis is not ready. Try again in a moment.');
  if (shut !== undefined) return { ok: false, reason: 'session_over', detail: shut };
  const over = deps.audiences.delegationOver(record, Math.floor(deps.clock.nowMs() / 1000));
  if (over !== undefined) return { ok: false, reason: over, detail: over, record };
  if (!deps.audiences.allows(request.audience, record)) {
    return { ok: false, reason: 'audience_refused', detail: request.audience };
  }
  // test seam: TOKEN_CLAIMS
  const claims = { sid: record.id, ep: position.epoch, ln: position.number, ...delegationClaims(record) };
  return { ok: true, claims, record };
}

function delegationClaims({ delegation }: SessionRecord): Pick<MintedClaims, 'psid' | 'act'> {
  if (delegation === undefined) return {};
  const act = delegation.actors.reduce<ActClaim | undefined>(
    (before, { name }) => ({ sub: name, ...defined({ act: before }) }),
    undefined,
  );
  return { psid: delegation.ancestors, ...defined({ act }) };
}

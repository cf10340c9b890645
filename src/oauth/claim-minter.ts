/**
 * The check that oidc-provider runs before it signs an access token, whatever the grant: whether there may be one,
 * and which of our claims it has. Nothing else in the library may allow one.
 */
import { errors, type KoaContextWithOIDC } from 'oidc-provider';
import type { Clock } from '../contracts/clock.ts';
import { ADMIN_AUDIENCE, ADMIN_ROLE } from '../core/core.ts';
import type { RevocationGuard } from '../revocation/revocation.ts';
import type { ArtefactStore, SessionRecord, SessionStore } from '../store/store.ts';
import type { Audiences, DelegationOver } from './audiences.ts';
import { mint, type MintDecision } from './mint.ts';
import type { PublicClients } from './public-clients.ts';
import type { RefreshRotation } from './refresh-rotation.ts';
import type { SessionEnding } from './audit-events.ts';
import { exchangeOf, type TokenFacts } from './token-facts.ts';
import { sessionOverMessage } from './workload/messages.ts';
import { defined } from '../core/defined.ts';

export interface ClaimMinterDeps {
  readonly sessions: Pick<SessionStore, 'mint'>;
  readonly guard: Pick<RevocationGuard, 'check'>;
  readonly audiences: Pick<Audiences, 'allows' | 'delegationOver' | 'isAdmin'>;
  readonly publicClients: Pick<PublicClients, 'audiencesOf' | 'isUnregistered'>;
  /** `client_id`s whose tokens carry no binding. */
  readonly unboundClients: ReadonlySet<string>;
  readonly rotation: RefreshRotation;
  readonly codes: Pick<ArtefactStore, 'find' | 'consume'>;
  /** Ends a session whose consumed code or refresh token came back. Resolves when that is written. */
  readonly endReplayed: (session: string, reason: Exclude<SessionEnding, 'sign-out'>) => Promise<void>;
  readonly factsOf: (ctx: KoaContextWithOIDC) => TokenFacts;
  readonly clock: Clock;
}

interface TokenPayload {
  readonly kind?: string;
  readonly grantId?: string;
  readonly clientId?: string;
  readonly aud?: string | readonly string[];
  /** Thumbprint of the certificate that the token will be bound to (RFC 8705 §3.1). */
  readonly 'x5t#S256'?: string;
}

export function claimMinter(deps: ClaimMinterDeps) {
  return async (ctx: KoaContextWithOIDC, token: object) => {
    const { kind, grantId, clientId = '', aud, 'x5t#S256': thumbprint }: TokenPayload = token;
    if (kind !== 'AccessToken') return undefined;
    // The session is bound to exactly what the token will contain: a binding that only one of the two has would
    // allow, or deny, too much.
    const mayBeUnbound = deps.unboundClients.has(clientId) || deps.publicClients.isUnregistered(clientId);
    if (grantId === undefined || (thumbprint === undefined && !mayBeUnbound)) {
      throw new errors.InvalidGrant('nothing to bind to');
    }
    const audience = typeof aud === 'string' ? aud : '';
    if (deps.publicClients.audiencesOf(clientId)?.includes(audience) === false) throw new errors.InvalidTarget();
    const decision = await mint(deps, {
      session: grantId,
      audience,
      ...defined({ thumbprint }),
    });
    const facts = deps.factsOf(ctx);
    await consumeCode(deps, ctx, grantId);
    if (!decision.ok) throw rejection(ctx, facts, decision);
    await consumeRotation(deps, ctx, grantId);
    facts.record = decision.record;
    facts.audience = audience;
    return { ...decision.claims, ...adminClaims(deps, audience, decision.record) };
  };
}

/**
 * Further claims of an admin's token for the admin API, for the time in which no replica can read the session
 * (decision 0028).
 */
function adminClaims({ audiences }: ClaimMinterDeps, audience: string, record: SessionRecord): object {
  if (audience !== ADMIN_AUDIENCE || !audiences.isAdmin(record)) return {};
  return { roles: [ADMIN_ROLE], ...defined({ auth_time: record.authTime }) };
}

/**
 * Consumes the code, whatever was decided, and not before. Where the store is unavailable or this replica is
 * fenced, nothing is decided, and a client that sends the code again must not be taken for an attacker.
 */
async function consumeCode(deps: ClaimMinterDeps, ctx: KoaContextWithOIDC, session: string): Promise<void> {
  const { AuthorizationCode, DeviceCode } = ctx.oidc.entities;
  const code = AuthorizationCode ?? DeviceCode;
  if (code === undefined) return;
  const kind = code === AuthorizationCode ? 'AuthorizationCode' : 'DeviceCode';
  const facts = deps.factsOf(ctx);
  if (await deps.codes.consume(kind, code.jti)) {
    facts.codeConsumed = true;
    return;
  }
  // It was deleted with its session, which another request has just ended.
  if ((await deps.codes.find(kind, code.jti)) === undefined) throw sessionEnded(facts);
  facts.rejection = 'code_replayed';
  throw await endReplayedSession(deps, facts, { session, reason: 'code-replayed', what: 'the code of its sign-in' });
}

/**
 * Consumes the rotation of a refresh token, after every check that may reject the refresh, so that a rejection
 * costs no user their session.
 */
async function consumeRotation(deps: ClaimMinterDeps, ctx: KoaContextWithOIDC, session: string): Promise<void> {
  const rotated = ctx.oidc.entities.RotatedRefreshToken;
  if (rotated === undefined) return;
  const turn = await deps.rotation.consume(session, rotated.rotations ?? 0);
  if (turn === 'first' || turn === 'again') return;
  const facts = deps.factsOf(ctx);
  if (turn === 'over') throw sessionEnded(facts);
  facts.rejection = 'refresh_token_replayed';
  throw await endReplayedSession(deps, facts, {
    session,
    reason: 'refresh-token-replayed',
    what: 'a refresh token of it',
  });
}

function sessionEnded(facts: TokenFacts): Error {
  facts.rejection = 'session_unknown';
  return new errors.InvalidGrant('the session has ended');
}

interface Replay {
  readonly session: string;
  readonly reason: Parameters<ClaimMinterDeps['endReplayed']>[1];
  readonly what: string;
}

/**
 * Ends a session whose one-time value was used twice: one of its two holders has stolen it, and it is unknown
 * which.
 */
async function endReplayedSession(
  deps: ClaimMinterDeps,
  facts: TokenFacts,
  { session, reason, what }: Replay,
): Promise<Error> {
  facts.message = `This session was ended, because ${what} was used a second time: it may have been copied. Sign in again.`;
  await deps.endReplayed(session, reason);
  return new errors.InvalidGrant(`${what} has been used before`);
}

function rejection(
  ctx: KoaContextWithOIDC,
  facts: TokenFacts,
  decision: Extract<MintDecision, { readonly ok: false }>,
): Error {
  facts.rejection = decision.detail;
  const exchanged = exchangeOf(ctx);
  if ('record' in decision) {
    facts.record = decision.record;
    facts.message = OUT_OF_BOUNDS[decision.detail];
    return exchanged === undefined
      ? new errors.InvalidGrant(decision.detail)
      : new errors.InvalidRequest(facts.message);
  }
  if (exchanged !== undefined) return exchangeRejection(facts, decision, exchanged);
  return decision.reason === 'session_over' ? new errors.InvalidGrant(decision.detail) : new errors.InvalidTarget();
}

/** RFC 8693 §2.2.2. */
function exchangeRejection(
  facts: TokenFacts,
  decision: Extract<MintDecision, { readonly ok: false }>,
  exchanged: 'workload' | 'delegation',
): Error {
  const isWorkload = exchanged === 'workload';
  if (decision.reason === 'session_over') {
    facts.message = isWorkload ? sessionOverMessage(decision.detail) : DELEGATED_OVER;
    return new errors.InvalidRequest(facts.message);
  }
  facts.message = `This ${isWorkload ? 'workload' : 'user'} may not use that cluster. Ask your platform team.`;
  return new errors.InvalidTarget();
}

const OUT_OF_BOUNDS: Readonly<Record<DelegationOver, string>> = {
  delegation_disabled:
    'Delegated sessions are switched off here, so this one gets no more tokens. Use your own session.',
  delegation_not_allowed:
    'The user of this delegated session may not delegate any more, so it gets no more tokens. Ask your platform team.',
  delegation_client_removed:
    'The program that this session was delegated to is no longer registered here. Ask your platform team.',
  delegation_too_old: 'Delegated sessions last less long here now, and this one is over. Delegate again.',
};

const DELEGATED_OVER =
  'The session was ended, by its user, an administrator or its provider. The user has to sign in again.';

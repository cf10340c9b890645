/**
 * From a workload's own token to a session (docs/architecture.md#invariant-9): one for each issuer, subject and
 * token id, for one client certificate.
 *
 * An attacker who reads a job's log may find its token. So a token opens one session only, bound to the key that
 * came with it first; with another key it is rejected, and once that session is over, by its end or by a
 * revocation, it opens no other.
 */
import { createHash } from 'node:crypto';
import type { Clock } from '../../contracts/clock.ts';
import { AppError } from '../../core/errors.ts';
import type { Account, Identity } from '../../core/identity/identity.ts';
import type { LogPosition } from '../../core/credential/revocation.ts';
import { no, ok, type Result } from '../../core/result.ts';
import type { AuditTrail } from '../../audit/audit.ts';
import { revokeAudited, type RevocationFacts, type RevocationGuard } from '../../revocation/revocation.ts';
import type { ArtefactStore, MintOutcome, MintRejection, NewSession, SessionStore } from '../../store/store.ts';
import { WORKLOAD_CLIENT } from '../grant-type.ts';
import { identifyWorkload, type CompiledRule, type Workload, type WorkloadRejection } from './rules.ts';
import { sessionOverMessage } from './messages.ts';

/** How much longer a used token is remembered than it may be used (seconds). */
const REMEMBERED_LONGER_SECONDS = 60;

export interface WorkloadExchangeDeps {
  readonly rules: readonly CompiledRule[];
  /** The required audience of a subject token. */
  readonly publicUrl: string;
  readonly store: {
    readonly sessions: Pick<SessionStore, 'open'>;
    readonly artefacts: Pick<ArtefactStore, 'find' | 'save' | 'consume'>;
  };
  readonly guard: Pick<RevocationGuard, 'position' | 'fenced' | 'revoke'>;
  readonly audit: Pick<AuditTrail, 'recordAhead'>;
  readonly clock: Clock;
  /** `clockSkew`, seconds. */
  readonly clockSkew: number;
}

export interface ExchangeRequest {
  /** Never logged. */
  readonly subjectToken: string;
  readonly address: string;
  readonly userAgent: string;
  /** Who asks and from where, as the event of the outcome has it. */
  readonly facts: RevocationFacts;
}

/** A session that exists; the mint decides what may be minted from it, and for which key. */
export interface WorkloadSession {
  readonly id: string;
  readonly account: Account;
  readonly provider: string;
  readonly identity: Identity;
}

export type ExchangeRejection = WorkloadRejection & {
  readonly owner?: { readonly account: Account; readonly identity: Identity };
};

/**
 * @throws AppError `provider_unavailable`, `store_unavailable` or `fenced`: nothing was decided, and the same
 *   token may be sent again
 */
export type ExchangeWorkloadToken = (request: ExchangeRequest) => Promise<Result<WorkloadSession, ExchangeRejection>>;

export function createWorkloadExchange(deps: WorkloadExchangeDeps): ExchangeWorkloadToken {
  return async (request) => {
    // Before anything is awaited: what is revoked from here on is not opened.
    const startedAt = currentPosition(deps.guard);
    const found = await identifyWorkload(deps.rules, request.subjectToken, {
      audience: deps.publicUrl,
      nowMs: deps.clock.nowMs(),
      clockSkew: deps.clockSkew,
    });
    if (!found.ok) return found;
    return joinOrOpen(deps, found.value, { request, startedAt });
  };
}

function currentPosition({ position, fenced }: Pick<RevocationGuard, 'position' | 'fenced'>): LogPosition {
  if (position !== undefined && !fenced) return position;
  throw new AppError('fenced', 'Portcullis is not ready. Try again in a moment.');
}

interface ExchangeContext {
  readonly request: ExchangeRequest;
  readonly startedAt: LogPosition;
}

async function joinOrOpen(
  deps: WorkloadExchangeDeps,
  workload: Workload,
  context: ExchangeContext,
): Promise<Result<WorkloadSession, ExchangeRejection>> {
  const { account, identity, rule } = workload;
  const use = tokenUseId(workload, context.startedAt);
  const existing: WorkloadSession = { id: use.slice(0, SESSION_ID_LENGTH), account, provider: rule.name, identity };
  // Used before: the session exists, or it is over and the mint says so.
  if ((await deps.store.artefacts.find('ReplayDetection', use)) !== undefined) return ok(existing);
  const refused = (reason: MintRejection | 'subject_token_used'): Result<never, ExchangeRejection> =>
    no({ reason, message: sessionOverMessage(reason), rule: rule.name, owner: { account, identity } });
  const opened = await open(deps, newSession(deps, workload, existing.id, context));
  if (opened === 'there') {
    // The request that opened it may have failed before it could mark the token. Marked, not consumed: consuming
    // tells the request that opened it that it was the first.
    await markUsed(deps, workload, use);
    return ok(existing);
  }
  if (!opened.ok) return refused(opened.reason);
  if (await markFirstUse(deps, workload, use)) return ok(existing);
  // Another request opened it with this token and it ended again, all within this one. A session that is over
  // stays over.
  const order = { target: { kind: 'session', session: existing.id }, ended: true } as const;
  const about = { account, identity, session: existing.id, provider: rule.name };
  await revokeAudited(deps, order, { ...context.request.facts, ...about, reason: 'subject_token_used' });
  return refused('subject_token_used');
}

/** 128 bits, as every session's id; never a credential by itself. */
const SESSION_ID_LENGTH = 22;

/**
 * Returns one name for each issuer, subject and token id, within one epoch of the store: after it all workloads
 * begin again.
 */
const tokenUseId = ({ rule, token }: Workload, { epoch }: LogPosition): string =>
  createHash('sha256')
    .update(JSON.stringify(['workload', epoch, rule.name, token.issuer, token.subject, token.tokenId]))
    .digest('base64url');

async function open(deps: WorkloadExchangeDeps, session: NewSession): Promise<MintOutcome | 'there'> {
  try {
    return await deps.store.sessions.open(session, {});
  } catch (error) {
    // Two requests with one token at once: one of them has opened it, and the binding decides which one gets it.
    if (error instanceof AppError && error.code === 'conflict') return 'there';
    throw error;
  }
}

/** Marks the token as used. */
async function markUsed(deps: WorkloadExchangeDeps, { token }: Workload, use: string): Promise<void> {
  const left = token.expiresAt - Math.floor(deps.clock.nowMs() / 1000) + deps.clockSkew;
  await deps.store.artefacts.save('ReplayDetection', use, {}, { ttlSeconds: left + REMEMBERED_LONGER_SECONDS });
}

/**
 * Marks the token for the request that has opened its session. @returns false where another one had done so
 * before, which is decided in one step
 */
async function markFirstUse(deps: WorkloadExchangeDeps, workload: Workload, use: string): Promise<boolean> {
  await markUsed(deps, workload, use);
  return deps.store.artefacts.consume('ReplayDetection', use);
}

function newSession(
  deps: WorkloadExchangeDeps,
  { rule, token, account, identity }: Workload,
  id: string,
  { request, startedAt }: ExchangeContext,
): NewSession {
  const createdAt = Math.floor(deps.clock.nowMs() / 1000);
  return {
    id,
    account,
    provider: rule.name,
    subject: token.subject,
    client: WORKLOAD_CLIENT,
    identity,
    createdAt,
    expiresAt: Math.min(token.expiresAt, createdAt + rule.life),
    // A job that waits for an hour is not idle; the two limits above end it.
    idleSeconds: rule.life,
    address: request.address,
    userAgent: request.userAgent,
    startedAt,
    // The token is the proof, so a token that was issued before the account was revoked opens nothing any more.
    authTime: token.issuedAt,
  };
}

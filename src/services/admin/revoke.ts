/**
 * Runs a revocation: the approval of a second admin, the order to the revocation guard, and the audit events.
 *
 * A revocation has three shapes on its way: `RevocationRequest` (as the admin sent it), `RevocationPlan` (the same,
 * resolved), and the guard's `RevocationOrder`, which is the store's `AppendRequest` with two optional fields.
 */
import { createHash, randomUUID } from 'node:crypto';
import type { AuditFacts } from '../../core/audit/event.ts';
import { targetName, type RevocationTarget } from '../../core/credential/revocation.ts';
import { ADMIN_PROBLEMS } from '../../core/api/admin-problems.ts';
import type { AdminRejection, AdminResult } from '../../core/api/rejections.ts';
import { AppError } from '../../core/errors.ts';
import { no, ok } from '../../core/result.ts';
import type { SessionRecord } from '../../store/store.ts';
import { revokeAudited, type RevocationResult, type RevocationOrder } from '../../revocation/revocation.ts';
import { delegatedOf, receiptsOf, type RevocationReceipt, type RevocationResults } from './revocation-results.ts';
import { requireSecondAdmin, type Consent } from './approvals.ts';
import type { AdminContext, AdminDeps } from './dependencies.ts';
import { nowSeconds } from '../../contracts/clock.ts';
import { holdInstead } from './holds.ts';
import { record, requestFacts } from '../../http/audit-events.ts';
import {
  judgeSeen,
  planOf,
  targetWithoutStore,
  type RevocationPlan,
  type RevocationRequest,
} from './revocation-request.ts';
import { defined } from '../../core/defined.ts';

const NOT_WRITTEN = 'revocation_not_written';

/** The service that the admin pages and the admin API share. */
export interface AdminService {
  readonly deps: AdminDeps;
  readonly results: RevocationResults;
}

/** Who revokes: an admin, or the user of the server's own shell, who has no account here. */
type Revoker = AdminContext | (Pick<AdminContext, 'context' | 'path'> & { readonly shellUser: string });

/** The parts of the service that a revocation itself needs. */
interface RevokeService {
  readonly deps: Pick<AdminDeps, 'audit' | 'clock' | 'endings'> & {
    readonly guard: Pick<AdminDeps['guard'], 'revoke'>;
    readonly store: Pick<AdminDeps['store'], 'sessions'>;
  };
  readonly results: Pick<RevocationResults, 'expect' | 'keep'>;
}

function failureOf(cause: unknown): AdminRejection | undefined {
  if (!(cause instanceof AppError)) return undefined;
  // Another request with the same approval was faster.
  if (cause.reason === 'approval_spent') return { reason: 'approval_not_good', cause };
  if (cause.code === 'conflict') return { reason: 'request_id_reused', cause };
  return cause.code === 'store_unavailable' ? { reason: NOT_WRITTEN, cause, audited: true } : undefined;
}

function resultDetails(result: RevocationResult): AuditFacts {
  return {
    revocation: result.id,
    complete: String(result.complete),
    receipts: receiptsOf(result),
    sessions: String(result.sessions),
    'delegated-sessions': delegatedOf(result),
    'streams-closed': String(result.streamsClosed),
  };
}

function guardOrder(
  deps: RevokeService['deps'],
  revoker: Revoker,
  { target, canSignInAgain, asksFreshSignIn, lock, reason }: RevocationPlan,
  { requestId, consent }: { readonly requestId: string; readonly consent: Consent | undefined },
): RevocationOrder {
  const consented =
    consent === undefined || !('actor' in revoker) ? {} : { approval: consent.approval, by: revoker.actor.account };
  const order = { target, requestId, canSignInAgain, ...defined({ asksFreshSignIn }), ...consented };
  if (!lock) return order;
  return { ...order, lock: { reason, by: namesOf(revoker, consent), at: nowSeconds(deps) } };
}

const namesOf = (revoker: Revoker, consent: Consent | undefined): string =>
  [consent?.first?.username, 'actor' in revoker ? revoker.actor.identity.username : revoker.shellUser]
    .filter((name) => name !== undefined)
    .join(', ');

/**
 * Returns the facts of two admins for the audit event. The approval id leads to the event `approval-asked` of the
 * first.
 */
const consentDetails = ({ approval, first }: Partial<Consent> = {}): AuditFacts =>
  defined({ approval, 'asked-by': first?.username, 'asked-by-account': first?.account });

/** Returns 200 for a proven revocation, and 202 for one that is written and still being proven. */
export const revocationStatus = (result: RevocationResult): 200 | 202 => (result.complete ? 200 : 202);

/** In the past, because it is still shown once the account is unlocked. It says whom to ask, so no client adds *sign in*. */
const LOCKED =
  'Your account was locked by an administrator, which has ended your session. Ask your platform team to unlock it.';
/** Sessions of a locked account whose users are told why they ended. */
const MOST_TOLD = 4;

/** Returns the newest sessions of an account, as they were before the revocation, which does not wait for it. Never rejects. */
const sessionsOf = async (
  { store }: RevokeService['deps'],
  target: RevocationTarget,
): Promise<readonly SessionRecord[]> =>
  target.kind !== 'account'
    ? []
    : await store.sessions.list({ account: target.account, limit: MOST_TOLD }).then(
        ({ sessions }) => sessions,
        () => [],
      );

interface RevokeOptions {
  /** Of the request; absent if it cannot be repeated. */
  readonly fingerprint?: string;
  /** Of the two admins, if two were needed. */
  readonly consent?: Consent | undefined;
}

/**
 * Revokes, and audits it before (`revocation-begun`), and success and failure: with `revocation`, and also with `lock` where the
 * account is locked.
 */
export async function revoke(
  { deps, results }: RevokeService,
  revoker: Revoker,
  plan: RevocationPlan,
  { fingerprint, consent }: RevokeOptions = {},
): Promise<AdminResult<RevocationReceipt>> {
  const { context, path } = revoker;
  const { reason, requestId = randomUUID() } = plan;
  const target = targetName(plan.target);
  const by = 'shellUser' in revoker ? { by: revoker.shellUser } : {};
  const facts = { target, ...by, ...consentDetails(consent) };
  const expected = results.expect(requestId, {
    context,
    path,
    reason,
    target,
    lock: plan.lock,
    ...defined({ sessions: plan.sessions }),
    by: namesOf(revoker, consent),
    // Only a drill has none.
    receipt: fingerprint !== undefined,
    fingerprint: fingerprint ?? requestId,
  });
  if (!expected.ok) return expected;
  try {
    const order = guardOrder(deps, revoker, plan, { requestId, consent });
    const locked = plan.lock ? sessionsOf(deps, plan.target) : Promise.resolve([]);
    const begun = requestFacts(context, { path, reason, details: { ...facts, lock: String(plan.lock) } });
    const result = await revokeAudited(deps, order, begun, () => {
      // An admin who was revoked meanwhile revokes nothing. What a drill has opened is revoked in any case.
      if (fingerprint !== undefined && 'actor' in revoker) revoker.actor.assertValid();
    });
    const action = { path, code: revocationStatus(result), reason, details: { ...facts, ...resultDetails(result) } };
    record(deps, context, { event: 'revocation', ...action });
    if (plan.lock) record(deps, context, { event: 'lock', ...action });
    const told = locked.then((ended) => Promise.all(ended.map(async (one) => deps.endings?.keep(one, LOCKED))));
    const [receipt] = await Promise.all([results.keep(result), told]);
    return ok(receipt);
  } catch (cause) {
    expected.value();
    const rejection = failureOf(cause);
    if (rejection === undefined) throw cause;
    if (rejection.reason === NOT_WRITTEN) {
      const { status: code } = ADMIN_PROBLEMS[NOT_WRITTEN];
      record(deps, context, { event: 'revocation', path, code, reason, details: { ...facts, outcome: NOT_WRITTEN } });
    }
    return no(rejection);
  }
}

/** Returns a hash of the request and its admin, without the fields that may differ between two attempts. */
function fingerprintOf(
  { actor }: AdminContext,
  { approval: _approval, requestId: _requestId, ...fields }: RevocationRequest,
): string {
  const parts = Object.entries({ ...fields, by: actor.account }).toSorted(([left], [right]) => (left < right ? -1 : 1));
  return createHash('sha256').update(JSON.stringify(parts)).digest('base64url');
}

/**
 * Handles an admin's request for a revocation. A request with the same id again is the same revocation and returns
 * its result, brought up to date.
 * @param options.asks whether the admin can be asked about an account of which nothing is known
 */
export async function handleRevocation(
  service: AdminService,
  admin: AdminContext,
  request: RevocationRequest,
  options: { readonly asks?: boolean } = {},
): Promise<AdminResult<RevocationReceipt>> {
  const { deps, results } = service;
  const { reason, requestId, approval } = request;
  const { actor } = admin;
  if (actor.unread !== undefined) {
    const target = await targetWithoutStore(deps, request);
    return target.ok ? holdInstead(deps, admin, { target: target.value, reason, cause: actor.unread }) : target;
  }
  const fingerprint = fingerprintOf(admin, request);
  const repeated = requestId === undefined ? ok(undefined) : await results.repeated(requestId, fingerprint);
  if (!repeated.ok) return repeated;
  const { value: before } = repeated;
  if (before !== undefined) {
    const details = { revocation: before.id };
    const code = revocationStatus(before);
    record(deps, admin.context, { event: 'admin-read', path: admin.path, code, reason: 'revocation', details });
    return ok(before);
  }
  const planned = await planOf(deps, request);
  if (!planned.ok) return planned;
  const { value: plan } = planned;
  const seen = await judgeSeen(deps, plan, { ...options, force: request.force });
  if (!seen.ok) return seen;
  const ask = { actor, plan, reason, path: admin.path, approval, requestId };
  const consent = await requireSecondAdmin(deps, admin.context, ask).catch((cause: unknown) => {
    // While the store is unavailable we cannot know whether two admins are needed, so we do what one admin may do
    // alone.
    if (!(cause instanceof AppError) || cause.code !== 'store_unavailable') throw cause;
    return holdInstead(deps, admin, { target: plan.target, reason, cause });
  });
  return consent.ok ? revoke(service, admin, plan, { fingerprint, consent: consent.value }) : consent;
}

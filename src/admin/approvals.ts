/**
 * Dual control (`admin.dualControl: on`): what could shut many people out takes two admins.
 *
 * Threat: one stolen or rogue admin ends every session and locks the other admins out, so that nobody is left to stop them. Revoking one
 * account or session stays in one hand: it must not wait, and it undoes itself with the next sign-in.
 */
import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import type { Account } from '../core/identity/identity.ts';
import { type AdminDeps } from './dependencies.ts';
import { nowSeconds } from '../contracts/clock.ts';
import { rfc3339 } from '../core/time.ts';
import { AdminError } from './problem.ts';
import { record } from '../http/audit-events.ts';
import { targetName, type RevocationPlan } from './revocation-request.ts';
import { roleOf, workloadRule } from './roles.ts';
import type { Actor, RequestContext } from '../http/request-context.ts';

const TTL_SECONDS = 900;
const LIST_PAGE = 200;

/** The admin who asked first. */
interface FirstAdmin {
  readonly username: string;
  readonly account: string;
}

/** What two admins agree on. The approval is spent with the revocation's own write, and only there. */
export interface Consent {
  readonly approval: string;
  /** Absent where this request was written before, and only its answer was lost: its first line in the record names them. */
  readonly first?: FirstAdmin;
}

export interface ApprovalAsk {
  readonly actor: Actor;
  readonly plan: RevocationPlan;
  readonly reason: string;
  /** For the record. */
  readonly path: string;
  /** The id that the first admin was given. */
  readonly approval?: string | undefined;
  readonly requestId?: string | undefined;
}

const payloadSchema = z.object({
  username: z.string(),
  account: z.string(),
  /** What was asked for, as `deedOf` says it. */
  deed: z.string(),
});

const deedOf = ({ target, lock }: RevocationPlan): string => `${targetName(target)}${lock ? ' with a lock' : ''}`;

/**
 * Whether this account counts as an admin's. An account without a live session does: its groups are not known, and a lone admin could
 * otherwise end another's sessions first and lock the account then. A person who is signed in and has no admin group can be locked
 * by one admin at once, and so can a workload, which is never an admin.
 */
async function mayBeAdmin(deps: AdminDeps, account: Account): Promise<boolean> {
  if (workloadRule(account, deps.config) !== undefined) return false;
  let cursor: string | undefined;
  let seen = 0;
  do {
    const query = { account, limit: LIST_PAGE, ...(cursor === undefined ? {} : { cursor }) };
    const page = await deps.store.sessions.list(query);
    if (page.sessions.some((session) => roleOf(session, deps.config) === 'admin')) return true;
    seen += page.sessions.length;
    cursor = page.cursor;
  } while (cursor !== undefined);
  return seen === 0;
}

async function takesTwo(deps: AdminDeps, { target, lock }: RevocationPlan): Promise<boolean> {
  if (deps.config.admin.dualControl === 'off') return false;
  if (target.kind === 'provider' || target.kind === 'all') return true;
  return lock && target.kind === 'account' && mayBeAdmin(deps, target.account);
}

async function askForSecond(deps: AdminDeps, context: RequestContext, ask: ApprovalAsk): Promise<never> {
  const { actor, plan, reason, path } = ask;
  const approval = randomBytes(16).toString('base64url');
  const expiresAt = rfc3339(nowSeconds(deps) + TTL_SECONDS);
  const deed = deedOf(plan);
  const payload = { username: actor.identity.username, account: actor.account, deed };
  await deps.store.artefacts.save('Approval', approval, payload, { ttlSeconds: TTL_SECONDS });
  const details = { target: targetName(plan.target), lock: String(plan.lock), approval };
  record(deps, context, { event: 'approval-asked', path, code: 409, reason, details });
  throw new AdminError(
    'second_admin_needed',
    'conflict',
    `Nothing was done yet: this takes a second admin. Until ${expiresAt} another admin can do the same with “--approval ${approval}”, or with that id on the admin page: ${deed}.`,
    { members: { approval, expiresAt }, recorded: true },
  );
}

export const approvalNotGood = (cause?: unknown): AdminError =>
  new AdminError(
    'approval_not_good',
    'conflict',
    'This approval is unknown, used up, older than 15 minutes, or for something else. Ask anew without one.',
    { cause },
  );

/** The same request once more, after its answer was lost on the way back from the store: its approval went with what stands now. */
async function wasWritten({ store }: AdminDeps, { requestId, plan: { target, lock } }: ApprovalAsk): Promise<boolean> {
  if (requestId === undefined) return false;
  return store.log.hasWritten({ requestId, target, ...(lock ? { lock: { reason: '', by: '', at: 0 } } : {}) });
}

/**
 * Judges an approval and leaves it: the gate here is shut before anything is written, so nobody gets so far with one that is no good.
 * @throws AdminError `approval_not_good`, `same_admin`
 */
async function judgeApproval(deps: AdminDeps, ask: ApprovalAsk, approval: string): Promise<Consent> {
  const found = await deps.store.artefacts.find('Approval', approval);
  if (found === undefined && (await wasWritten(deps, ask))) return { approval };
  const asked = payloadSchema.safeParse(found);
  if (!asked.success || asked.data.deed !== deedOf(ask.plan)) throw approvalNotGood();
  // By account, not by session: who has stolen one session of an admin can open another.
  if (asked.data.account === ask.actor.account) {
    const words = 'You have asked for this yourself. Another admin must do it, with the same approval.';
    throw new AdminError('same_admin', 'forbidden', words);
  }
  return { approval, first: { username: asked.data.username, account: asked.data.account } };
}

/**
 * To be called before a revocation is carried out.
 * @returns what the second admin brings; undefined where one admin is enough
 * @throws AdminError `second_admin_needed` with `approval` and `expiresAt`, `approval_not_good`, `same_admin`
 */
export async function secondAdmin(
  deps: AdminDeps,
  context: RequestContext,
  ask: ApprovalAsk,
): Promise<Consent | undefined> {
  if (!(await takesTwo(deps, ask.plan))) return undefined;
  if (ask.approval === undefined) return askForSecond(deps, context, ask);
  return judgeApproval(deps, ask, ask.approval);
}

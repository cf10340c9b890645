/**
 * Opens delegated sessions, lists and ends them.
 *
 * Nothing is half-made: the order of the steps is such that a failure at any of them leaves nothing that could be used.
 * The key is claimed first, the session opened second, its credential made third, and it is audited before anyone gets
 * it. What fails after the session was opened ends it again; where even that cannot be written, no one has a credential
 * for it.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import type { LogPosition } from '../../core/credential/revocation.ts';
import { coveringKeys } from '../../core/credential/revocation.ts';
import { PLUGIN_CLIENT_ID } from '../../core/core.ts';
import type { CreateDelegation, DelegatedSession, DelegationOrder } from '../../core/delegation/delegation.ts';
import type { DelegationRejection, DelegationResult } from '../../core/api/rejections.ts';
import { no, ok } from '../../core/result.ts';
import { assertAuditable } from '../../http/audit-events.ts';
import { fencedError } from '../../http/error-status.ts';
import { revokeAudited, type RevocationFacts, type RevocationResult } from '../../revocation/revocation.ts';
import type { MintRejection, SessionPage, SessionRecord } from '../../store/store.ts';
import { createDelegationAudit, PATH, type DelegationAudit } from './audit-events.ts';
import type { DelegationDeps } from './dependencies.ts';
import { judge, type Judged } from './judge.ts';
import { defined } from '../../core/defined.ts';

/** A delegated session, and what its holder refreshes with. */
export interface Delegated {
  readonly session: DelegatedSession;
  readonly refreshToken: string;
}

export interface Delegations {
  /** For a client that gets its tokens in another way: the session has no refresh token. */
  readonly create: CreateDelegation;
  /**
   * Opens a session with a refresh token, which is bound to the key of the order.
   * @throws AppError as `create`
   */
  createWithToken(order: DelegationOrder): Promise<DelegationResult<Delegated>>;
  /**
   * Returns a page of the delegated sessions that the holder of a session may see, newest first: beneath a delegated one,
   * those beneath it; of a user's own session, all of the account. It may be short, even empty, and still have a cursor.
   * @throws AppError `bad_request` (`bad_cursor`)
   */
  list(holder: SessionRecord, page: { readonly cursor?: string; readonly limit: number }): Promise<SessionPage>;
  /** Returns one of them; undefined where there is no such session among those of `list`. */
  find(holder: SessionRecord, session: string): Promise<SessionRecord | undefined>;
  /**
   * Ends one of them, with all beneath it. Undefined where there is no such session among those of `list`.
   * @param factsOf what the audit log says before
   */
  end(
    holder: SessionRecord,
    session: string,
    factsOf: (record: SessionRecord) => RevocationFacts,
  ): Promise<{ readonly record: SessionRecord; readonly result: RevocationResult } | undefined>;
}

export function createDelegations(deps: DelegationDeps): Delegations {
  const audit = createDelegationAudit(deps);
  return {
    create: (order) => open(deps, audit, order, async (session) => session),
    createWithToken: (order) =>
      open(deps, audit, order, async (session, { thumbprint }) => ({
        session,
        refreshToken: await deps.grant(grantOf(session, thumbprint)),
      })),
    list: (holder, page) => visibleTo(deps, holder, page),
    find: (holder, session) => visible(deps, holder, session),
    async end(holder, session, factsOf) {
      const record = await visible(deps, holder, session);
      if (record === undefined) return undefined;
      const order = { target: { kind: 'session', session }, ended: true } as const;
      return { record, result: await revokeAudited(deps, order, factsOf(record)) };
    },
  };
}

const isVisibleTo = (holder: SessionRecord, { account, delegation }: SessionRecord): boolean =>
  delegation !== undefined &&
  account === holder.account &&
  (holder.delegation === undefined || delegation.ancestors.includes(holder.id));

async function visible(
  { store }: DelegationDeps,
  holder: SessionRecord,
  session: string,
): Promise<SessionRecord | undefined> {
  const record = await store.sessions.read(session);
  return record !== undefined && isVisibleTo(holder, record) ? record : undefined;
}

async function visibleTo(
  { store }: DelegationDeps,
  holder: SessionRecord,
  page: { readonly cursor?: string; readonly limit: number },
): Promise<SessionPage> {
  const which =
    holder.delegation === undefined
      ? ({ account: holder.account, only: 'delegated' } as const)
      : { ancestor: holder.id };
  const { sessions, ...more } = await store.sessions.list({ ...which, ...page });
  return { ...more, sessions: sessions.filter((record) => isVisibleTo(holder, record)) };
}

const grantOf = (
  { id, account, expiresAt, delegation }: DelegatedSession,
  thumbprint: string | undefined,
): Parameters<DelegationDeps['grant']>[0] => ({
  session: { id, account },
  clusters: delegation.clusters,
  expiresAt,
  ...defined({ thumbprint }),
});

/** @param makeCredential makes what the holder gets; it is given the order without what counts for nothing here */
async function open<T>(
  deps: DelegationDeps,
  audit: DelegationAudit,
  given: DelegationOrder,
  makeCredential: (session: DelegatedSession, order: DelegationOrder) => Promise<T>,
): Promise<DelegationResult<T>> {
  assertAuditable(deps);
  // Before anything is awaited: what is revoked from here on is not opened.
  const startedAt = currentPosition(deps);
  // One reading for all times of the session: between two, the clock may have been set back.
  const nowSeconds = Math.floor(deps.clock.nowMs() / 1000);
  // All events of one order have one id.
  const order = { ...withoutUselessKey(deps, given), request: given.request ?? { id: randomUUID(), path: PATH } };
  const above = await sessionsAbove(deps, order.parent);
  const refuse = (rejection: DelegationRejection): DelegationResult<never> => {
    audit.refused(order, rejection, above?.at(-1));
    return no({ ...rejection, audited: true });
  };
  if (above === undefined) return refuse({ reason: 'parent_over' });
  const judged = judge(deps, order, { above, nowSeconds });
  if (!judged.ok) return refuse(judged.reason);
  const session = sessionOf(order, above, { startedAt, nowSeconds, judged: judged.value });
  if (!(await claimKey(deps, order, session))) return refuse({ reason: 'key_used' });
  const opened = await deps.store.sessions.open(session, {}, { mostDelegations: deps.config.delegation.perSession });
  if (!opened.ok) {
    await releaseKey(deps, order);
    return refuse(openingRejection(deps, opened.reason));
  }
  try {
    const { ancestors } = session.delegation;
    const shut = deps.guard.check({
      keys: coveringKeys({ ...session, session: session.id, ancestors }),
      position: opened.position,
    });
    if (shut === 'fenced') throw fencedError();
    if (shut !== undefined) {
      await endAgain(deps, audit.abandoned(order, session), session.id);
      return refuse({ reason: 'parent_over' });
    }
    const { id, account, provider, createdAt, expiresAt, delegation } = session;
    const { identity } = opened.record;
    const delegated = { id, account, provider, identity, createdAt, expiresAt, delegation };
    const credential = await makeCredential(delegated, order);
    assertAuditable(deps);
    audit.opened(order, delegated);
    return ok(credential);
  } catch (thrown) {
    await endAgain(deps, audit.abandoned(order, session), session.id);
    throw thrown;
  }
}

function currentPosition({ guard }: DelegationDeps): LogPosition {
  const { position, fenced } = guard;
  if (position === undefined || fenced) throw fencedError();
  return position;
}

/** Where tokens are bound to no key, no certificate arrives either: a session that is bound to one could do nothing. */
function withoutUselessKey({ config }: DelegationDeps, order: DelegationOrder): DelegationOrder {
  if (config.sessions.binding === 'required' || order.actor.registered === true) return order;
  const { thumbprint: _useless, ...unbound } = order;
  return unbound;
}

/** Returns the sessions above, the user's own first; undefined where one of them is over. */
async function sessionsAbove(
  { store }: DelegationDeps,
  parent: string,
): Promise<readonly [SessionRecord, ...SessionRecord[]] | undefined> {
  const nearest = await store.sessions.read(parent);
  if (nearest === undefined) return undefined;
  const ids = nearest.delegation?.ancestors ?? [];
  const others = await Promise.all(ids.map((id) => store.sessions.read(id)));
  const above = [...others, nearest].flatMap((record) => record ?? []);
  const [first, ...rest] = above;
  return first === undefined || above.length <= ids.length ? undefined : [first, ...rest];
}

/** 128 bits, as those of all sessions. */
const newSessionId = (): string => randomBytes(16).toString('base64url');

function sessionOf(
  { actor, thumbprint, address, userAgent }: DelegationOrder,
  above: readonly [SessionRecord, ...SessionRecord[]],
  {
    startedAt,
    nowSeconds,
    judged,
  }: { readonly startedAt: LogPosition; readonly nowSeconds: number; readonly judged: Judged },
) {
  const { account, provider, subject, identity, idleSeconds } = above[0];
  return {
    id: newSessionId(),
    account,
    provider,
    subject,
    // Stored because a record has one; one who reads it gets that of the user's own session.
    identity,
    client: actor.registered === true ? actor.name : PLUGIN_CLIENT_ID,
    createdAt: nowSeconds,
    expiresAt: judged.expiresAt,
    idleSeconds,
    address,
    userAgent,
    startedAt,
    delegation: judged.delegation,
    ...defined({ thumbprint }),
  };
}

/**
 * Claims the key for as long as the session may live. An attacker who gets at the key of one script would otherwise have
 * the sessions of all that share it. Of any number of concurrent callers one gets it.
 */
async function claimKey(
  { store }: DelegationDeps,
  { actor, thumbprint }: DelegationOrder,
  { id, createdAt, expiresAt }: Pick<SessionRecord, 'id' | 'createdAt' | 'expiresAt'>,
): Promise<boolean> {
  // A registered client has one key for all of its users. It has authenticated itself, and its tokens are its own.
  if (thumbprint === undefined || actor.registered === true) return true;
  // Saved again it stays consumed, so the second claim fails; its time only becomes longer.
  await store.artefacts.save('DelegationKey', thumbprint, { session: id }, { ttlSeconds: expiresAt - createdAt });
  return store.artefacts.consume('DelegationKey', thumbprint);
}

async function releaseKey({ store }: DelegationDeps, { thumbprint }: DelegationOrder): Promise<void> {
  // A key that stays claimed does no harm: each attempt has a new one.
  if (thumbprint !== undefined) await store.artefacts.destroy('DelegationKey', thumbprint).catch(() => undefined);
}

/** Ends a session whose credential no one got. Never rejects. */
async function endAgain(deps: DelegationDeps, facts: RevocationFacts, session: string): Promise<void> {
  await revokeAudited(deps, { target: { kind: 'session', session }, ended: true }, facts).catch((err: unknown) => {
    deps.logger.error({ err, session }, 'a delegated session whose credential no one got could not be ended');
  });
}

function openingRejection({ config }: DelegationDeps, reason: MintRejection): DelegationRejection {
  switch (reason) {
    case 'delegations_too_many':
      return { reason, most: config.delegation.perSession };
    case 'account_locked':
    case 'sessions_too_many':
      return { reason };
    case 'epoch_changed':
      return { reason: 'store_restarted' };
    // Its own end: that of a session above it is `parent_over`.
    case 'session_expired':
      return { reason: 'time_over' };
    case 'parent_over':
    case 'session_unknown':
    case 'session_revoked':
    case 'fresh_sign_in_needed':
    case 'certificate_mismatch':
      return { reason: 'parent_over' };
  }
}

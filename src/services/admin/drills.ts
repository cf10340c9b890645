/**
 * Drills: a complete revocation, practised on a session that exists only for it. Every replica opens a watch to
 * itself for that session (src/proxy/drill); then the session is revoked, and each replica must report that its
 * watch was cut.
 */
import { randomUUID } from 'node:crypto';
import type { z } from 'zod';
import type { drillResultSchema, replicaDrillSchema } from '../../core/api/responses.ts';
import type { drillSchema } from '../../core/api/requests.ts';
import { DRILL_CLIENT_ID } from '../../core/core.ts';
import { defined } from '../../core/defined.ts';
import type { LogPosition } from '../../core/credential/revocation.ts';
import type { DrillOrder } from '../../core/drill-order.ts';
import type { ReplicaView } from '../../revocation/revocation.ts';
import { idleEndOf, type DrillPart, type SessionRecord } from '../../store/store.ts';
import { ADMIN, type AdminResult } from '../../core/api/rejections.ts';
import { no, ok } from '../../core/result.ts';
import { problemFor } from '../../http/problem.ts';
import type { AdminDeps, AdminContext } from './dependencies.ts';
import { nowSeconds } from '../../contracts/clock.ts';
import { appErrorOf, fencedError } from '../../http/error-status.ts';
import { createClusters, type Clusters } from '../../core/identity/cluster-access.ts';
import { record } from '../../http/audit-events.ts';
import { workloadRule } from './roles.ts';
import { revoke, type AdminService } from './revoke.ts';
import { setTimeout as delay } from 'node:timers/promises';

const SESSION_SECONDS = 60;

export type DrillRequest = z.infer<typeof drillSchema>;

type ReplicaDrill = z.output<typeof replicaDrillSchema>;

export type DrillResult = z.output<typeof drillResultSchema>;

interface DrillService extends AdminService {
  readonly clusters: Clusters;
}

export type RunDrill = (admin: AdminContext, request: DrillRequest) => Promise<AdminResult<DrillResult>>;

/** Returns the function that runs drills on this replica, one at a time. */
export function createDrills(admin: AdminService): RunDrill {
  const service = { ...admin, clusters: createClusters(admin.deps.config) };
  let running = false;
  return async (admin, request) => {
    if (running || runsElsewhere(service.deps)) return no({ reason: 'drill_running' });
    running = true;
    try {
      return await drill(service, admin, request);
    } finally {
      running = false;
    }
  };
}

/** `revoke --config` opens no watch, and its receipt is none. */
const live = ({ guard }: AdminDeps): readonly ReplicaView[] =>
  guard.replicas.filter(({ state, servesNothing }) => state === 'live' && servesNothing === undefined);

const runsElsewhere = (deps: AdminDeps): boolean => live(deps).some((replica) => replica.drill?.state === 'open');

/**
 * Returns the cluster of the watch. The caller must be able to use it, because the drill's session acts as the
 * caller.
 */
function clusterOf(
  { deps, clusters }: DrillService,
  { actor }: AdminContext,
  callerSession: SessionRecord,
  requested?: string,
): AdminResult<string> {
  const rule = workloadRule(callerSession.account, deps.config);
  const usable = clusters
    .usableBy(actor.identity)
    .map(({ name }) => name)
    .filter((name) => rule?.clusters.includes(name) ?? true);
  const cluster = requested === undefined ? usable[0] : usable.find((name) => name === requested);
  return cluster === undefined ? no({ reason: 'cluster_not_found', isWorkload: rule !== undefined }) : ok(cluster);
}

/**
 * Opens the temporary session of a drill, and returns its id. It is one of the caller's own account, from the position at which
 * the caller's credential was valid: an attacker who was an admin until now keeps no watch by it. And it proves no
 * sign-in that the caller has not made: with a newer one it would pass the rules for step-up.
 */
async function openSession(
  deps: AdminDeps,
  { context, actor }: AdminContext,
  callerSession: SessionRecord,
  startedAt: LogPosition,
): Promise<AdminResult<string>> {
  const id = randomUUID();
  const { account, provider, subject, authTime } = callerSession;
  const now = nowSeconds(deps);
  const opened = await deps.store.sessions.open(
    {
      id,
      account,
      provider,
      subject,
      client: DRILL_CLIENT_ID,
      identity: actor.identity,
      createdAt: now,
      expiresAt: now + SESSION_SECONDS,
      idleSeconds: SESSION_SECONDS,
      address: context.address,
      userAgent: context.userAgent,
      startedAt,
      ...defined({ authTime }),
    },
    {},
  );
  return opened.ok ? ok(id) : no({ reason: 'drill_refused', because: opened.reason });
}

async function drill(
  service: DrillService,
  admin: AdminContext,
  request: DrillRequest,
): Promise<AdminResult<DrillResult>> {
  const { deps } = service;
  const id = randomUUID();
  const callerSession = await deps.store.sessions.read(admin.actor.session);
  if (callerSession === undefined) return no({ reason: 'session_not_found' });
  const chosen = clusterOf(service, admin, callerSession, request.cluster);
  if (!chosen.ok) return chosen;
  const { value: cluster } = chosen;
  admin.actor.assertValid();
  const { position } = deps.guard;
  if (position === undefined) throw fencedError();
  const session = await openSession(deps, admin, callerSession, position);
  if (!session.ok) return session;
  const revokeIt = () =>
    revoke(service, admin, {
      target: { kind: 'session', session: session.value },
      lock: false,
      canSignInAgain: true,
      asksFreshSignIn: false,
      reason: request.reason,
    });
  let opened: { readonly replicas: readonly ReplicaView[]; readonly parts: Parts };
  try {
    const caller = callerOf(callerSession, position);
    const order = { session: session.value, cluster, path: request.path, caller };
    opened = await openWatches(deps, admin, id, order);
  } catch (error) {
    // The session is revoked in any case. The first error says more than a failure of that.
    await Promise.allSettled([revokeIt()]);
    throw error;
  }
  const startedAtMs = performance.now();
  const auditFailed = (code: number, outcome: string): void => {
    const details = { drill: id, verdict: 'failed', cluster, outcome };
    const { context, path } = admin;
    record(deps, context, { event: 'drill', path, code, reason: request.reason, details });
  };
  const revoked = await revokeIt().catch((thrown: unknown) => {
    const { error, status } = appErrorOf(thrown);
    auditFailed(status, error.reason);
    throw thrown;
  });
  if (!revoked.ok) {
    const { status, reason } = problemFor(ADMIN, revoked.reason);
    auditFailed(status, reason);
    return revoked;
  }
  const receipt = revoked.value;
  const outcome = { id, receipt, ...(await awaitCuts(deps, id, opened, startedAtMs)) };
  const passed = receipt.complete && outcome.replicas.every((replica) => replica.opened && replica.cut);
  const result: DrillResult = { ...outcome, verdict: passed ? 'passed' : 'failed' };
  auditDrill(deps, admin, { request, cluster, result });
  return ok(result);
}

const callerOf = (record: SessionRecord, position: LogPosition): DrillOrder['caller'] => ({
  session: record.id,
  account: record.account,
  provider: record.provider,
  position,
  expiresAt: record.expiresAt,
  idleAt: idleEndOf(record),
  ...defined({ ancestors: record.delegation?.ancestors }),
});

async function openWatches(
  deps: AdminDeps,
  { actor }: AdminContext,
  id: string,
  order: DrillOrder,
): Promise<{ readonly replicas: readonly ReplicaView[]; readonly parts: Parts }> {
  const { session } = order;
  await deps.store.artefacts.save('Drill', id, { ...order }, { ttlSeconds: SESSION_SECONDS, session });
  await deps.guard.refresh();
  const replicas = live(deps);
  actor.assertValid();
  await deps.store.log.announceDrill(id);
  const incarnations = replicas.map(({ incarnation }) => incarnation);
  const settled = (part: DrillPart | undefined): boolean => part !== undefined;
  return { replicas, parts: await pollParts(deps, { id, incarnations, settled }) };
}

async function awaitCuts(
  deps: AdminDeps,
  id: string,
  opened: { readonly replicas: readonly ReplicaView[]; readonly parts: Parts },
  startedAtMs: number,
): Promise<{ readonly replicas: readonly ReplicaDrill[] }> {
  const cutAfterMs = new Map<string, number>();
  const seen = (parts: Parts): void => {
    for (const [incarnation, part] of parts) {
      if (part?.state !== 'cut' || cutAfterMs.has(incarnation)) continue;
      cutAfterMs.set(incarnation, performance.now() - startedAtMs);
    }
  };
  const incarnations = opened.replicas.map(({ incarnation }) => incarnation);
  const settled = (part: DrillPart | undefined): boolean => part?.state !== 'open';
  const ended = await pollParts(deps, { id, incarnations, settled, seen });
  const replicas = opened.replicas.map(({ id: name, incarnation }) => {
    const outcome = outcomeOf(opened.parts.get(incarnation), ended.get(incarnation));
    const ms = outcome.cut ? cutAfterMs.get(incarnation) : undefined;
    return { id: name, ...outcome, ...(ms === undefined ? {} : { ms: Math.round(ms) }) };
  });
  return { replicas };
}

function auditDrill(
  deps: AdminDeps,
  { context, path }: AdminContext,
  drilled: { readonly request: DrillRequest; readonly cluster: string; readonly result: DrillResult },
): void {
  const { request, cluster, result } = drilled;
  const details = {
    drill: result.id,
    verdict: result.verdict,
    cluster,
    revocation: result.receipt.id,
    replicas: String(result.replicas.length),
    'replicas-passed': String(result.replicas.filter(({ cut }) => cut).length),
  };
  record(deps, context, { event: 'drill', path, code: 200, reason: request.reason, details });
}

/**
 * The replicas' parts in a drill, as this replica reads them from their lease renewals.
 */

/** How long all replicas may take to open their watches, and again to report them cut. */
const TIMEOUT_MS = 5_000;
/** Each poll renews this replica's lease, so there is a pause between two of them. */
const POLL_INTERVAL_MS = 20;

/** By incarnation; undefined for a replica that has no part in this drill yet, or has left. */
type Parts = ReadonlyMap<string, DrillPart | undefined>;

/** Returns the parts of those replicas in this drill; undefined for a replica that has none yet. */
function partsOf(deps: AdminDeps, id: string, incarnations: readonly string[]): Parts {
  const known = new Map(deps.guard.replicas.map((replica) => [replica.incarnation, replica.drill]));
  return new Map(
    incarnations.map((incarnation) => {
      const part = known.get(incarnation);
      return [incarnation, part?.id === id ? part : undefined];
    }),
  );
}

/** Polls the parts until each of them is `settled`, or until the timeout. Calls `seen` at each poll. */
async function pollParts(
  deps: AdminDeps,
  poll: {
    readonly id: string;
    readonly incarnations: readonly string[];
    readonly settled: (part: DrillPart | undefined) => boolean;
    readonly seen?: (parts: Parts) => void;
  },
): Promise<Parts> {
  const untilMs = performance.now() + TIMEOUT_MS;
  for (;;) {
    await deps.guard.refresh();
    const parts = partsOf(deps, poll.id, poll.incarnations);
    poll.seen?.(parts);
    if ([...parts.values()].every(poll.settled) || performance.now() >= untilMs) return parts;
    await delay(POLL_INTERVAL_MS);
  }
}

/** Returns the result of one replica, from its part when the watches were open and its part at the end. */
function outcomeOf(
  opened: DrillPart | undefined,
  ended: DrillPart | undefined,
): { readonly opened: boolean; readonly cut: boolean; readonly reason?: string } {
  const wasOpen = opened !== undefined && opened.state !== 'failed';
  const wasCut = wasOpen && ended?.state === 'cut';
  if (wasCut) return { opened: true, cut: true };
  const failed = [ended, opened].find((part) => part?.state === 'failed');
  const timedOut = wasOpen ? 'its watch was not reported cut in time' : 'its watch did not open in time';
  return { opened: wasOpen, cut: false, reason: failed?.reason ?? timedOut };
}

/**
 * Drills: the whole of a revocation, practised on a session that exists only for it. Every replica opens a watch to itself for that
 * session (room `revocation`); then the session is revoked, and each must report that its watch was cut.
 */
import { randomUUID } from 'node:crypto';
import type { z } from 'zod';
import type { drillResultSchema, replicaDrillSchema } from '../core/admin-api/responses.ts';
import type { drillSchema } from '../core/admin-api/requests.ts';
import { DRILL_CLIENT_ID } from '../core/core.ts';
import { accountOf } from '../core/identity/identity.ts';
import type { ReplicaView } from '../revocation/revocation.ts';
import type { DrillPart, SessionRecord } from '../store/store.ts';
import { type AdminDeps, type AdminContext } from './dependencies.ts';
import { nowSeconds } from '../contracts/clock.ts';
import { outcomeOf, watchParts, type Parts } from './drill-results.ts';
import { appErrorOf } from '../http/error-status.ts';
import { createClusters, type Clusters } from '../core/identity/cluster-access.ts';
import { AdminError } from './problem.ts';
import { record } from '../http/audit-events.ts';
import { sessionGone } from './revocation-request.ts';
import { workloadRule } from './roles.ts';
import { revoke, type AdminService } from './revoke.ts';

const SESSION_SECONDS = 60;

export type DrillRequest = z.infer<typeof drillSchema>;

type ReplicaDrill = z.output<typeof replicaDrillSchema>;

export type DrillResult = z.output<typeof drillResultSchema>;

interface DrillService extends AdminService {
  readonly clusters: Clusters;
}

export type RunDrill = (admin: AdminContext, request: DrillRequest) => Promise<DrillResult>;

/** Makes the one place of this replica where drills run, one at a time. */
export function createDrills(admin: AdminService): RunDrill {
  const service = { ...admin, clusters: createClusters(admin.deps.config) };
  let running = false;
  return async (admin, request) => {
    if (running || othersRun(service.deps)) {
      const words = 'Another drill is running. It is over within half a minute; try again then.';
      throw new AdminError('drill_running', 'conflict', words);
    }
    running = true;
    try {
      return await drill(service, admin, request);
    } finally {
      running = false;
    }
  };
}

const live = ({ guard }: AdminDeps): readonly ReplicaView[] => guard.replicas.filter(({ state }) => state === 'live');

const othersRun = (deps: AdminDeps): boolean => live(deps).some((replica) => replica.drill?.state === 'open');

/** The cluster to watch through: the caller must be able to use it, because the session acts as they do. */
function clusterOf(
  { deps, clusters }: DrillService,
  { actor }: AdminContext,
  own: SessionRecord,
  wanted?: string,
): string {
  const rule = workloadRule(own.account, deps.config);
  const usable = clusters
    .usableBy(actor.identity)
    .map(({ name }) => name)
    .filter((name) => rule?.clusters.includes(name) ?? true);
  const cluster = wanted === undefined ? usable[0] : usable.find((name) => name === wanted);
  if (cluster !== undefined) return cluster;
  const whose = rule === undefined ? 'you may use' : 'the workload’s rule names';
  const words = `There is no such cluster among those that ${whose}. A drill watches through one of them.`;
  throw new AdminError('cluster_not_found', 'not_found', words);
}

/**
 * The throw-away session. It acts as the caller does and goes with the caller's provider, but has an account of its own: the revocation
 * of a session makes its account's next sign-in a fresh one, and the caller has done nothing to deserve that.
 */
async function openSession(deps: AdminDeps, { context, actor }: AdminContext, own: SessionRecord): Promise<string> {
  const id = randomUUID();
  const subject = 'portcullis:drill';
  const now = nowSeconds(deps);
  const opened = await deps.store.sessions.open(
    {
      id,
      account: accountOf(own.provider, subject),
      provider: own.provider,
      subject,
      client: DRILL_CLIENT_ID,
      identity: actor.identity,
      createdAt: now,
      expiresAt: now + SESSION_SECONDS,
      idleSeconds: SESSION_SECONDS,
      address: context.address,
      userAgent: context.userAgent,
      startedAt: await deps.store.log.position(),
      // The drill before this one has revoked a session of this account; nobody signs in by it.
      authTime: now,
    },
    {},
  );
  if (opened.ok) return id;
  const words = `The session for the drill was refused (${opened.reason}). Try again.`;
  throw new AdminError('drill_refused', 'conflict', words);
}

async function drill(service: DrillService, admin: AdminContext, request: DrillRequest): Promise<DrillResult> {
  const { deps } = service;
  const id = randomUUID();
  const own = await deps.store.sessions.read(admin.actor.session);
  if (own === undefined) throw sessionGone();
  const cluster = clusterOf(service, admin, own, request.cluster);
  admin.actor.assertGood();
  const session = await openSession(deps, admin, own);
  const revokeIt = () =>
    revoke(service, admin, {
      plan: { target: { kind: 'session', session }, lock: false, canSignInAgain: false },
      reason: request.reason,
    });
  let opened: { readonly replicas: readonly ReplicaView[]; readonly parts: Parts };
  try {
    opened = await openWatches(deps, { id, session, cluster, path: request.path });
  } catch (error) {
    // What was begun is ended in any case; the error says more than its end would.
    await Promise.allSettled([revokeIt()]);
    throw error;
  }
  const begun = performance.now();
  const receipt = await revokeIt().catch((error: unknown) => {
    const details = { drill: id, verdict: 'failed', cluster, outcome: appErrorOf(error).error.reason };
    const { context, path } = admin;
    record(deps, context, { event: 'drill', path, code: appErrorOf(error).status, reason: request.reason, details });
    throw error;
  });
  const answer = { id, receipt, ...(await awaitCuts(deps, id, opened, begun)) };
  const passed = receipt.complete && answer.replicas.every((replica) => replica.opened && replica.cut);
  return recorded(deps, admin, { request, cluster, answer: { ...answer, verdict: passed ? 'passed' : 'failed' } });
}

async function openWatches(
  deps: AdminDeps,
  drill: { readonly id: string; readonly session: string; readonly cluster: string; readonly path: string },
): Promise<{ readonly replicas: readonly ReplicaView[]; readonly parts: Parts }> {
  const { id, session, cluster, path } = drill;
  const payload = { session, cluster, path, until: nowSeconds(deps) + SESSION_SECONDS };
  await deps.store.artefacts.save('Drill', id, payload, { ttlSeconds: SESSION_SECONDS, session });
  await deps.guard.refresh();
  const replicas = live(deps);
  await deps.store.log.announceDrill(id);
  const incarnations = replicas.map(({ incarnation }) => incarnation);
  const settled = (part: DrillPart | undefined): boolean => part !== undefined;
  return { replicas, parts: await watchParts(deps, { id, incarnations, settled }) };
}

async function awaitCuts(
  deps: AdminDeps,
  id: string,
  opened: { readonly replicas: readonly ReplicaView[]; readonly parts: Parts },
  begun: number,
): Promise<{ readonly replicas: readonly ReplicaDrill[] }> {
  const cutAfter = new Map<string, number>();
  const seen = (parts: Parts): void => {
    for (const [incarnation, part] of parts) {
      if (part?.state === 'cut' && !cutAfter.has(incarnation)) cutAfter.set(incarnation, performance.now() - begun);
    }
  };
  const incarnations = opened.replicas.map(({ incarnation }) => incarnation);
  const settled = (part: DrillPart | undefined): boolean => part?.state !== 'open';
  const ended = await watchParts(deps, { id, incarnations, settled, seen });
  const replicas = opened.replicas.map(({ id: name, incarnation }) => {
    const outcome = outcomeOf(opened.parts.get(incarnation), ended.get(incarnation));
    const after = outcome.cut ? cutAfter.get(incarnation) : undefined;
    return { id: name, ...outcome, ...(after === undefined ? {} : { ms: Math.round(after) }) };
  });
  return { replicas };
}

function recorded(
  deps: AdminDeps,
  { context, path }: AdminContext,
  {
    request,
    cluster,
    answer,
  }: { readonly request: DrillRequest; readonly cluster: string; readonly answer: DrillResult },
): DrillResult {
  const details = {
    drill: answer.id,
    verdict: answer.verdict,
    cluster,
    revocation: answer.receipt.id,
    replicas: String(answer.replicas.length),
    'replicas-passed': String(answer.replicas.filter(({ cut }) => cut).length),
  };
  record(deps, context, { event: 'drill', path, code: 200, reason: request.reason, details });
  return answer;
}

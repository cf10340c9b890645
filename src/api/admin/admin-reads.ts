/**
 * The handlers of reads.
 */
import type { AdminApiDeps, AdminApiService } from '../dependencies.ts';
import type { Request } from 'express';
import type { z } from 'zod';
import type { componentSchema } from '../../core/api/responses.ts';
import {
  type ListSessions,
  freshSignInNeeded,
  listQuery,
  lockViews,
  parseQuery,
  planOf,
  revocationNotFound,
  scopeOf,
  sessionNotFound,
  targetName,
} from '../../services/admin/admin.ts';
import type { ComponentHealth } from '../../contracts/health.ts';
import { rfc3339 } from '../../core/time.ts';
import { scopeQuerySchema } from '../../core/api/requests.ts';
import { requestView, sessionView } from '../session-view.ts';
import type { ReadResult } from './admin-call.ts';
import { accountOfPath, sessionIdOf } from './admin-changes.ts';

/** Returns the filter of a query for the audit event, without the page: all pages of a search have the same filter. */
function filterDetails({ cursor: _cursor, limit: _limit, ...query }: Request['query']): { readonly filter?: string } {
  return Object.keys(query).length === 0 ? {} : { filter: JSON.stringify(query) };
}

export async function listSessions(list: ListSessions, req: Request): Promise<ReadResult> {
  const query = listQuery(req.query);
  const { sessions, cursor } = await list(query);
  const body = { sessions: sessions.map(sessionView), ...(cursor === undefined ? {} : { cursor }) };
  const target = query.account === undefined ? {} : { target: `account:${query.account}` };
  return { body, reason: 'sessions', details: { ...target, ...filterDetails(req.query) } };
}

async function liveSession(deps: AdminApiDeps, req: Request) {
  const session = await deps.store.sessions.read(sessionIdOf(req));
  if (session === undefined) throw sessionNotFound();
  return session;
}

export async function oneSession(deps: AdminApiDeps, req: Request): Promise<ReadResult> {
  const session = await liveSession(deps, req);
  return { body: sessionView(session), reason: 'session', details: { target: `session:${session.id}` } };
}

export async function sessionRequests(deps: AdminApiDeps, req: Request): Promise<ReadResult> {
  const { id } = await liveSession(deps, req);
  const requests = await deps.store.recent.read(id);
  return {
    body: { requests: requests.map(requestView) },
    reason: 'session_requests',
    details: { target: `session:${id}` },
  };
}

export async function oneRevocation({ results }: AdminApiService, req: Request): Promise<ReadResult> {
  const result = await results.find(String(req.params['id']));
  if (result === undefined) throw revocationNotFound();
  return { body: result, reason: 'revocation', details: { revocation: result.id } };
}

/** Returns what a revocation would cut. Nothing is done. */
export async function revocationScope(deps: AdminApiDeps, req: Request): Promise<ReadResult> {
  const { all, ...named } = parseQuery(scopeQuerySchema, req.query);
  const { target } = await planOf(deps, { ...named, ...(all && { all: true }), reason: '' });
  const { listed: _listed, ...body } = await scopeOf(deps, target);
  return { body, reason: 'revocation_scope', details: { target: targetName(target) } };
}

export async function listLocks(deps: AdminApiDeps): Promise<ReadResult> {
  return { body: { locks: await lockViews(deps) }, reason: 'locks' };
}

export async function freshSignIn(deps: AdminApiDeps, req: Request): Promise<ReadResult> {
  const account = accountOfPath(req);
  const since = await freshSignInNeeded(deps, account);
  const body = { account, needed: since !== undefined, ...(since === undefined ? {} : { since: rfc3339(since) }) };
  return { body, reason: 'fresh_sign_in', details: { target: `account:${account}` } };
}

export function listReplicas(deps: AdminApiDeps): ReadResult {
  return { body: { replicas: deps.guard.replicas }, reason: 'replicas' };
}

/**
 * Returns the components by name with their health. Their addresses and rules are not shown: only operators need
 * them.
 */
function components(
  names: readonly string[],
  checked: readonly ComponentHealth[] | undefined,
): readonly z.output<typeof componentSchema>[] {
  const byName = new Map(checked?.map((component) => [component.name, component]));
  return names.map((name) => {
    const component = byName.get(name);
    if (component === undefined) return { name, state: 'unknown' };
    const { checkedAt, ...rest } = component;
    return { ...rest, checkedAt: rfc3339(checkedAt) };
  });
}

export async function listClusters({ config, health }: AdminApiDeps): Promise<ReadResult> {
  const names = config.clusters.map(({ name }) => name);
  return { body: { clusters: components(names, await health?.clusters()) }, reason: 'clusters' };
}

export async function listProviders({ providers, health }: AdminApiDeps): Promise<ReadResult> {
  return { body: { providers: components([...providers.keys()], await health?.providers()) }, reason: 'providers' };
}

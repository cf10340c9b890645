/**
 * What the admin API tells.
 */
import type { Request } from 'express';
import type { z } from 'zod';
import type { componentSchema } from '../../core/admin-api/responses.ts';
import type { AdminDeps } from '../dependencies.ts';
import type { ComponentHealth } from '../../contracts/health.ts';
import { freshSignInNeeded } from '../fresh-sign-ins.ts';
import { rfc3339 } from '../../core/time.ts';
import { lockViews } from '../locks.ts';
import { AdminError } from '../problem.ts';
import { sessionGone } from '../revocation-request.ts';
import type { AdminService } from '../revoke.ts';
import { listQuery, type ListSessions } from '../session-query.ts';
import { requestView, sessionView } from '../session-view.ts';
import type { Reply } from './admin-call.ts';
import { accountOfPath, sessionIdOf } from './admin-changes.ts';

/** What of a query the record should say: which sessions were looked for, in the caller's words. Pages of one search are one search. */
function asked({ cursor: _cursor, limit: _limit, ...query }: Request['query']): { readonly filter?: string } {
  return Object.keys(query).length === 0 ? {} : { filter: JSON.stringify(query) };
}

export async function listSessions(list: ListSessions, req: Request): Promise<Reply> {
  const query = listQuery(req.query);
  const { sessions, cursor } = await list(query);
  const body = { sessions: sessions.map(sessionView), ...(cursor === undefined ? {} : { cursor }) };
  const target = query.account === undefined ? {} : { target: `account:${query.account}` };
  return { body, reason: 'sessions', details: { ...target, ...asked(req.query) } };
}

async function liveSession(deps: AdminDeps, req: Request) {
  const session = await deps.store.sessions.read(sessionIdOf(req));
  if (session === undefined) throw sessionGone();
  return session;
}

export async function oneSession(deps: AdminDeps, req: Request): Promise<Reply> {
  const session = await liveSession(deps, req);
  return { body: sessionView(session), reason: 'session', details: { target: `session:${session.id}` } };
}

export async function sessionRequests(deps: AdminDeps, req: Request): Promise<Reply> {
  const { id } = await liveSession(deps, req);
  const requests = await deps.store.recent.read(id);
  return {
    body: { requests: requests.map(requestView) },
    reason: 'session_requests',
    details: { target: `session:${id}` },
  };
}

export async function oneRevocation({ results }: AdminService, req: Request): Promise<Reply> {
  const answer = await results.find(String(req.params['id']));
  if (answer === undefined) {
    const words = 'No revocation of this id is known from the last ten minutes.';
    throw new AdminError('revocation_not_found', 'not_found', words);
  }
  return { body: answer, reason: 'revocation', details: { revocation: answer.id } };
}

export async function listLocks(deps: AdminDeps): Promise<Reply> {
  return { body: { locks: await lockViews(deps) }, reason: 'locks' };
}

export async function freshSignIn(deps: AdminDeps, req: Request): Promise<Reply> {
  const account = accountOfPath(req);
  const since = await freshSignInNeeded(deps, account);
  const body = { account, needed: since !== undefined, ...(since === undefined ? {} : { since: rfc3339(since) }) };
  return { body, reason: 'fresh_sign_in', details: { target: `account:${account}` } };
}

export function listReplicas(deps: AdminDeps): Reply {
  return { body: { replicas: deps.guard.replicas }, reason: 'replicas' };
}

/** By name, with what is known of each: addresses and rules are the operator's business. */
function components(
  names: readonly string[],
  found: readonly ComponentHealth[] | undefined,
): readonly z.output<typeof componentSchema>[] {
  const known = new Map(found?.map((component) => [component.name, component]));
  return names.map((name) => {
    const component = known.get(name);
    if (component === undefined) return { name, state: 'unknown' };
    const { checkedAt, ...rest } = component;
    return { ...rest, checkedAt: rfc3339(checkedAt) };
  });
}

export async function listClusters({ config, health }: AdminDeps): Promise<Reply> {
  const names = config.clusters.map(({ name }) => name);
  return { body: { clusters: components(names, await health?.clusters()) }, reason: 'clusters' };
}

export async function listProviders({ providers, health }: AdminDeps): Promise<Reply> {
  return { body: { providers: components([...providers.keys()], await health?.providers()) }, reason: 'providers' };
}

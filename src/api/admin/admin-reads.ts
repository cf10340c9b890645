/** The handlers of reads. */
import { targetName } from '../../core/credential/revocation.ts';
import type { z } from 'zod';
import type { ComponentHealth } from '../../contracts/health.ts';
import { ADMIN_API } from '../../core/api/admin-operations.ts';
import { ADMIN } from '../../core/api/rejections.ts';
import type { componentSchema } from '../../core/api/responses.ts';
import { rfc3339 } from '../../core/time.ts';
import { passed, problemFor } from '../../http/problem.ts';
import {
  createSessionList,
  freshSignInNeeded,
  lockViews,
  openStreams,
  planOf,
  scopeOf,
} from '../../services/admin/admin.ts';
import type { SessionRecord } from '../../store/store.ts';
import type { Call } from '../call.ts';
import type { AdminApiDeps, AdminApiService } from '../dependencies.ts';
import { openApiDocument, type JsonSchema } from '../openapi.ts';
import { requestView, sessionView } from '../session-view.ts';
import { accountOfPath, filterDetails, sessionIdOf, type AdminHandlers } from './handlers.ts';
import { defined } from '../../core/defined.ts';

async function liveSession(deps: AdminApiDeps, call: Call): Promise<SessionRecord> {
  const session = await deps.store.sessions.read(sessionIdOf(call));
  if (session === undefined) throw problemFor(ADMIN, { reason: 'session_not_found' });
  return session;
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

export function readHandlers({ deps, results }: AdminApiService) {
  const { config, store, guard, health, providers } = deps;
  const list = createSessionList(deps);
  /** Made when it is first asked for, so that no start waits for it. */
  let document: JsonSchema | undefined;
  return {
    async listSessions(call) {
      const { query } = call;
      const { sessions, cursor } = passed(ADMIN, await list(query));
      const target = query.account === undefined ? {} : { target: `account:${query.account}` };
      return {
        body: { sessions: sessions.map(sessionView), ...defined({ cursor }) },
        read: { reason: 'sessions', details: { ...target, ...filterDetails(call) } },
      };
    },
    async getSession(call) {
      const session = await liveSession(deps, call);
      return { body: sessionView(session), read: { reason: 'session', details: { target: `session:${session.id}` } } };
    },
    async listSessionRequests(call) {
      const { id } = await liveSession(deps, call);
      const requests = await store.recent.read(id);
      return {
        body: { requests: requests.map(requestView) },
        read: { reason: 'session_requests', details: { target: `session:${id}` } },
      };
    },
    async getRevocation({ params }) {
      const result = await results.find(String(params['id']));
      if (result === undefined) throw problemFor(ADMIN, { reason: 'revocation_not_found' });
      return { body: result, read: { reason: 'revocation', details: { revocation: result.id } } };
    },
    /** Nothing is done. */
    async getRevocationScope({ query: { all, ...named } }) {
      const { target } = passed(ADMIN, await planOf(deps, { ...named, ...(all && { all: true }), reason: '' }));
      const { listed: _listed, ...body } = await scopeOf(deps, target);
      return { body, read: { reason: 'revocation_scope', details: { target: targetName(target) } } };
    },
    async listLocks() {
      return { body: { locks: await lockViews(deps) }, read: { reason: 'locks' } };
    },
    async getFreshSignIn(call) {
      const account = accountOfPath(call);
      const since = await freshSignInNeeded(deps, account);
      return {
        body: { account, needed: since !== undefined, ...(since === undefined ? {} : { since: rfc3339(since) }) },
        read: { reason: 'fresh_sign_in', details: { target: `account:${account}` } },
      };
    },
    async listStreams({ query: { account } }) {
      const { streams, ...asked } = await openStreams(deps, account);
      const body = {
        streams: streams.map(({ request, ...where }) => ({ ...requestView(request), ...where })),
        ...asked,
      };
      return { body, read: { reason: 'streams', details: { target: `account:${account}` } } };
    },
    listReplicas: () => ({ body: { replicas: guard.replicas }, read: { reason: 'replicas' } }),
    async listClusters() {
      const names = config.clusters.map(({ name }) => name);
      return { body: { clusters: components(names, await health?.clusters()) }, read: { reason: 'clusters' } };
    },
    async listProviders() {
      const names = [...providers.keys()];
      return { body: { providers: components(names, await health?.providers()) }, read: { reason: 'providers' } };
    },
    getOpenApi: () => ({ body: (document ??= openApiDocument(ADMIN_API)), read: { reason: 'openapi' } }),
  } satisfies Partial<AdminHandlers>;
}

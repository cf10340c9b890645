/** Searches in the latest requests that the store has, for a replica without audit files. */
import type { AuditQuery } from '../../audit/query/matcher.ts';
import { AppError } from '../../core/errors.ts';
import type { SessionQuery, SessionRecord } from '../../store/store.ts';
import type { WebDeps } from '../dependencies.ts';
import { latestRequests, type LatestRequest } from '../page/recent-requests.ts';

/** As many sessions as are read at most. */
const MOST_SESSIONS = 20;

/** Returns the latest matching requests of live sessions, newest first; undefined where the store cannot be read. */
export async function recentMatches(
  deps: Pick<WebDeps, 'store' | 'logger'>,
  query: AuditQuery,
): Promise<readonly LatestRequest[] | undefined> {
  // Nothing that Portcullis did is among them.
  if (query.event !== undefined) return [];
  const { account, user } = query;
  try {
    const sessions = (await sessionsOf(deps, query)).filter(
      (session) =>
        (account === undefined || session.account === account) &&
        (user === undefined || session.identity.username === user),
    );
    return (await latestRequests(deps, sessions))?.filter((request) => matches(query, request));
  } catch (err) {
    if (!(err instanceof AppError) || err.code !== 'store_unavailable') throw err;
    deps.logger.warn({ err }, 'sessions not readable; the page shows no recent requests');
    return undefined;
  }
}

async function sessionsOf({ store }: Pick<WebDeps, 'store'>, query: AuditQuery): Promise<readonly SessionRecord[]> {
  if (query.session !== undefined) {
    const session = await store.sessions.read(query.session);
    return session === undefined ? [] : [session];
  }
  const { account, user: username } = query;
  const limit = MOST_SESSIONS;
  const whose = account === undefined ? (username === undefined ? { order: 'last-used' } : { username }) : { account };
  return (await store.sessions.list({ ...whose, limit } as SessionQuery)).sessions;
}

function matches(
  { actor, verb, resource, namespace, cluster, code, refused, auditId, since, until }: AuditQuery,
  request: LatestRequest,
): boolean {
  const fits = (wanted: string | undefined, found: string | undefined): boolean =>
    wanted === undefined || wanted === found;
  const time = new Date(request.at).toISOString();
  const isRejection = request.reason !== undefined || request.code === 401 || request.code === 403;
  return (
    (actor === undefined || request.actor === actor || request.actor?.split('/').includes(actor) === true) &&
    fits(verb, request.verb) &&
    (fits(resource, request.resource) || fits(resource, request.resource?.split('/', 1)[0])) &&
    fits(namespace, request.namespace) &&
    fits(cluster, request.cluster) &&
    fits(code, String(request.code)) &&
    fits(auditId, request.auditId) &&
    (refused === undefined || isRejection) &&
    (since === undefined || time >= since) &&
    (until === undefined || time < until)
  );
}

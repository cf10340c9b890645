/**
 * What may be asked of the list of sessions: the admin API and the admin pages take the same query and find the same sessions.
 */
import type { z } from 'zod';
import { sessionsQuerySchema } from '../core/admin-api/requests.ts';
import { AppError } from '../core/errors.ts';
import type { SessionPage, SessionQuery as StoredQuery, SessionRecord } from '../store/store.ts';
import { type AdminConfig, type AdminDeps } from './dependencies.ts';
import { nowSeconds } from '../contracts/clock.ts';
import { createClusters, type Clusters } from '../core/identity/cluster-access.ts';
import { workloadRule } from './roles.ts';

/** `idle` in seconds. */
export type SessionQuery = z.output<typeof sessionsQuerySchema>;

/** Zod's findings as one sentence, each with its place. Values are not repeated. */
export function findings(error: z.ZodError): string {
  return error.issues
    .map((issue) => (issue.path.length === 0 ? issue.message : `${issue.path.join('.')}: ${issue.message}`))
    .join('; ');
}

const malformed = (words: string): AppError => new AppError('bad_request', words, { reason: 'query_malformed' });

/** @param query of a URL; what is `undefined` is not there. @throws AppError `bad_request` */
export function listQuery(query: object): SessionQuery {
  const given = Object.fromEntries(Object.entries(query).filter(([, value]) => value !== undefined));
  const parsed = sessionsQuerySchema.safeParse(given);
  if (!parsed.success) throw malformed(findings(parsed.error));
  return parsed.data;
}

/** What a session is judged by, beside its query. */
interface FilterParts {
  readonly clusters: Clusters;
  readonly config: Pick<AdminConfig, 'admin' | 'workload'>;
  /** Epoch seconds. */
  readonly now: number;
}

const inAnyCase = (text: string): string => text.toLocaleLowerCase('en');

/** Every word that an admin may know a session by. */
const searched = ({ identity, account, address, client, id }: SessionRecord): readonly string[] =>
  [identity.username, account, address, client, id].map(inAnyCase);

function mayUse(session: SessionRecord, cluster: string, { clusters, config }: FilterParts): boolean {
  const rule = workloadRule(session.account, config);
  if (rule !== undefined && !rule.clusters.includes(cluster)) return false;
  return clusters.mayUse(session.identity, cluster);
}

/**
 * The parts of a query that the store has no index for, as `SessionStore.list` takes them in `where`.
 * @returns undefined where there are none
 */
function sessionFilter(query: SessionQuery, parts: FilterParts): ((session: SessionRecord) => boolean) | undefined {
  const { search, account, username, provider, cluster, idle } = query;
  const tests: ((session: SessionRecord) => boolean)[] = [];
  if (provider !== undefined) tests.push((session) => session.provider === provider);
  // The store finds by one of the two; by account, then.
  if (account !== undefined && username !== undefined) tests.push(({ identity }) => identity.username === username);
  if (idle !== undefined) tests.push(({ lastUsedAt }) => parts.now - lastUsedAt >= idle);
  if (search !== undefined) {
    const wanted = inAnyCase(search);
    tests.push((session) => searched(session).some((text) => text.includes(wanted)));
  }
  // Last, because it evaluates an expression for each session.
  if (cluster !== undefined) tests.push((session) => mayUse(session, cluster, parts));
  return tests.length === 0 ? undefined : (session) => tests.every((test) => test(session));
}

/** Threat: after a mistyped name nothing would be found, and "nobody" would be believed. @throws AppError `bad_request` */
function assertNames({ config, providers }: AdminDeps, { cluster, provider }: SessionQuery): void {
  if (cluster !== undefined && !config.clusters.some(({ name }) => name === cluster)) {
    throw malformed('cluster: there is no cluster of this name. GET clusters lists them.');
  }
  const isRule = config.workload.some(({ name }) => name === provider);
  if (provider !== undefined && !providers.has(provider) && !isRule) {
    throw malformed('provider: there is no identity provider or workload rule of this name. GET providers lists them.');
  }
}

function storedQuery(query: SessionQuery, parts: FilterParts): StoredQuery {
  const { account, username, sort, cursor, limit } = query;
  const where = sessionFilter(query, parts);
  return {
    limit,
    order: sort,
    ...(account !== undefined ? { account } : username !== undefined ? { username } : {}),
    ...(cursor === undefined ? {} : { cursor }),
    ...(where === undefined ? {} : { where }),
  };
}

/** Finds one page. With a filter it may be short, even empty, and still have a cursor: then there may be more. */
export type ListSessions = (query: SessionQuery) => Promise<SessionPage>;

/**
 * Compiles each cluster's rule once.
 * @returns a function that throws AppError `bad_request` for a name that is not configured, or a cursor of another order
 */
export function createSessionList(deps: AdminDeps): ListSessions {
  const clusters = createClusters(deps.config);
  return async (query) => {
    assertNames(deps, query);
    return deps.store.sessions.list(storedQuery(query, { clusters, config: deps.config, now: nowSeconds(deps) }));
  };
}

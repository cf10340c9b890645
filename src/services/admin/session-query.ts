/**
 * The query of the list of sessions. The admin API and the admin pages take the same query and find the same sessions.
 */
import type { z } from 'zod';
import type { AdminResult } from '../../core/api/rejections.ts';
import { checked } from '../../core/api/issues.ts';
import { sessionsQuerySchema } from '../../core/api/requests.ts';
import { actorText } from '../../core/delegation/delegation.ts';
import { no, ok } from '../../core/result.ts';
import {
  lastUseOf,
  type SessionPage,
  type SessionQuery as StoredQuery,
  type SessionRecord,
} from '../../store/store.ts';
import type { AdminConfig, AdminDeps } from './dependencies.ts';
import { nowSeconds } from '../../contracts/clock.ts';
import { createClusters, type Clusters } from '../../core/identity/cluster-access.ts';
import { workloadRule } from './roles.ts';
import { defined } from '../../core/defined.ts';

/** `idle` in seconds. */
export type SessionQuery = z.output<typeof sessionsQuerySchema>;

export const malformed = (message: string): AdminResult<never> => no({ reason: 'query_malformed', message });

/** Parses the query of a URL. What is rejected names each field. */
export function parseQuery<T extends z.ZodType>(schema: T, query: object): AdminResult<z.output<T>> {
  const result = checked(schema, query);
  return result.ok ? result : malformed(result.reason);
}

/** Parses the query of a list of sessions; a parameter that is `undefined` counts as absent. */
export function listQuery(query: object): AdminResult<SessionQuery> {
  const given = Object.fromEntries(Object.entries(query).filter(([, value]) => value !== undefined));
  return parseQuery(sessionsQuerySchema, given);
}

/** What the filter of a query needs besides the query. */
interface FilterContext {
  readonly clusters: Clusters;
  readonly config: Pick<AdminConfig, 'admin' | 'workload'>;
  readonly nowSeconds: number;
}

const lowerCased = (text: string): string => text.toLocaleLowerCase('en');

/** Returns every text by which an admin may search for a session. */
function searchableTexts(session: SessionRecord): readonly string[] {
  const { identity, account, address, client, deviceName = '', id, delegation } = session;
  const actors = delegation === undefined ? '' : actorText(delegation);
  return [identity.username, account, address, client, deviceName, actors, id].map(lowerCased);
}

const isActedIn = ({ delegation }: SessionRecord, actor: string): boolean =>
  delegation !== undefined && (actorText(delegation) === actor || delegation.actors.some(({ name }) => name === actor));

function mayUse(session: SessionRecord, cluster: string, { clusters, config }: FilterContext): boolean {
  const rule = workloadRule(session.account, config);
  if (rule !== undefined && !rule.clusters.includes(cluster)) return false;
  if (session.delegation?.clusters.includes(cluster) === false) return false;
  return clusters.mayUse(session.identity, cluster);
}

/**
 * Returns a filter for the parts of a query that the store has no index for, as `SessionStore.list` takes it in
 * `where`.
 * @returns undefined where there are none
 */
function sessionFilter(query: SessionQuery, parts: FilterContext): ((session: SessionRecord) => boolean) | undefined {
  const { search, account, username, provider, cluster, idle, delegated, actor, ancestor } = query;
  const tests: ((session: SessionRecord) => boolean)[] = [];
  if (provider !== undefined) tests.push((session) => session.provider === provider);
  // The store has an index for one of the three at a time, and the narrowest is used.
  if (ancestor !== undefined && account !== undefined) tests.push((session) => session.account === account);
  if ((ancestor ?? account) !== undefined && username !== undefined) {
    tests.push(({ identity }) => identity.username === username);
  }
  // The store itself has it for one account.
  const byStore = account !== undefined && ancestor === undefined;
  if (delegated !== undefined && !byStore)
    tests.push(({ delegation }) => (delegation !== undefined) === (delegated === 'true'));
  if (actor !== undefined) tests.push((session) => isActedIn(session, actor));
  if (idle !== undefined) tests.push((session) => parts.nowSeconds - lastUseOf(session) >= idle);
  if (search !== undefined) {
    const wanted = lowerCased(search);
    tests.push((session) => searchableTexts(session).some((text) => text.includes(wanted)));
  }
  // This test is the last one, because it evaluates an expression for each session.
  if (cluster !== undefined) tests.push((session) => mayUse(session, cluster, parts));
  return tests.length === 0 ? undefined : (session) => tests.every((test) => test(session));
}

/**
 * Checks that the cluster and the provider exist. With a mistyped name no session would be found, and an admin
 * would believe that no user is signed in.
 */
function judgeNames({ config, providers }: AdminDeps, { cluster, provider }: SessionQuery): AdminResult<undefined> {
  if (cluster !== undefined && !config.clusters.some(({ name }) => name === cluster)) {
    return malformed('cluster: there is no cluster of this name. GET clusters lists them.');
  }
  const isRule = config.workload.some(({ name }) => name === provider);
  if (provider !== undefined && !providers.has(provider) && !isRule) {
    return malformed(
      'provider: there is no identity provider or workload rule of this name. GET providers lists them.',
    );
  }
  return ok(undefined);
}

/** Returns the narrowest of them, by which the store has an index. */
function indexed({ ancestor, account, username, delegated }: SessionQuery): Partial<StoredQuery> {
  if (ancestor !== undefined) return { ancestor };
  if (account !== undefined && delegated !== undefined) {
    return { account, only: delegated === 'true' ? 'delegated' : 'own' };
  }
  if (account !== undefined) return { account };
  return defined({ username });
}

function storedQuery(query: SessionQuery, parts: FilterContext): StoredQuery {
  const { sort, cursor, limit } = query;
  const where = sessionFilter(query, parts);
  return {
    limit,
    order: sort,
    ...indexed(query),
    ...defined({ cursor, where }),
  };
}

/**
 * Finds one page. With a filter the page may be short, even empty, and still have a cursor: then there may be more.
 */
export type ListSessions = (query: SessionQuery) => Promise<AdminResult<SessionPage>>;

/**
 * Compiles each cluster's rule once, for all lists.
 * @returns a function that rejects a name that is not configured, and throws AppError `bad_request` for a cursor of
 *   another order
 */
export function createSessionList(deps: AdminDeps): ListSessions {
  const clusters = createClusters(deps.config);
  return async (query) => {
    const names = judgeNames(deps, query);
    if (!names.ok) return names;
    const parts = { clusters, config: deps.config, nowSeconds: nowSeconds(deps) };
    return ok(await deps.store.sessions.list(storedQuery(query, parts)));
  };
}

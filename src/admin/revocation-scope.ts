/**
 * The scope of a revocation: what it would cut, as far as this is known before.
 */
import { isCoveredBy, targetKey, type RevocationTarget } from '../core/credential/revocation.ts';
import type { SessionQuery, SessionRecord } from '../store/store.ts';
import type { AdminDeps } from './dependencies.ts';

const LISTED = 10;
const PAGE_SIZE = 200;
/** No admin needs the exact number of thousands of sessions, and the page must load quickly. */
const MAX_COUNTED = 2000;

export interface RevocationScope {
  /** Ten of the sessions: the target itself, then the newest. */
  readonly listed: readonly SessionRecord[];
  readonly sessions: number;
  /** How many of them are delegated sessions. */
  readonly delegated: number;
  readonly users: number;
  /** True where there are more than were counted. */
  readonly more: boolean;
  /** The requests and streams that are open on this replica now. */
  readonly openHere: number;
}

/** Returns the query for a target; of a single session, which is read by its id, for those beneath it. */
function queryFor(target: RevocationTarget): Pick<SessionQuery, 'account' | 'ancestor' | 'where'> {
  switch (target.kind) {
    case 'session':
      return { ancestor: target.session };
    case 'account':
      return { account: target.account };
    case 'provider':
      return { where: ({ provider }) => provider === target.provider };
    case 'all':
      return {};
    case 'grant':
      return { where: () => false };
  }
}

async function sessionsOf(
  { store }: AdminDeps,
  target: RevocationTarget,
): Promise<{ readonly sessions: readonly SessionRecord[]; readonly more: boolean }> {
  const own = target.kind === 'session' ? await store.sessions.read(target.session) : undefined;
  const sessions = own === undefined ? [] : [own];
  let cursor: string | undefined;
  for (let pages = 0; pages < MAX_COUNTED / PAGE_SIZE; pages += 1) {
    const query = { ...queryFor(target), limit: PAGE_SIZE };
    const page = await store.sessions.list({ ...query, ...(cursor === undefined ? {} : { cursor }) });
    sessions.push(...page.sessions);
    cursor = page.cursor;
    if (cursor === undefined) break;
  }
  return { sessions, more: cursor !== undefined };
}

/** Returns the scope of a revocation. @throws AppError `store_unavailable` */
export async function scopeOf(deps: AdminDeps, target: RevocationTarget): Promise<RevocationScope> {
  const { sessions, more } = await sessionsOf(deps, target);
  const key = targetKey(target);
  const openHere = deps.guard
    .sessionsInFlight()
    .filter(({ keys }) => isCoveredBy(keys, key))
    .reduce((sum, { flights }) => sum + flights, 0);
  const users = new Set(sessions.map(({ account }) => account)).size;
  const delegated = sessions.filter(({ delegation }) => delegation !== undefined).length;
  return { listed: sessions.slice(0, LISTED), sessions: sessions.length, delegated, users, more, openHere };
}

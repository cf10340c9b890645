/**
 * The scope of a revocation: what it would cut, as far as this is known before.
 */
import { isCoveredBy, targetKey, type RevocationTarget } from '../../core/credential/revocation.ts';
import type { SessionGroup, SessionRecord, SessionTally } from '../../store/store.ts';
import type { AdminDeps } from './dependencies.ts';
import { isSeen } from './revocation-request.ts';

const LISTED = 10;
/** Of a provider's sessions, to find those that are listed. */
const MOST_EXAMINED = 200;

export interface RevocationScope {
  /** Ten of the sessions at most: the target itself, then the newest. */
  readonly listed: readonly SessionRecord[];
  readonly sessions: number;
  /** How many of them are delegated sessions. */
  readonly delegated: number;
  readonly users: number;
  /** True where there are more than were counted: 2,000 at most are. */
  readonly more: boolean;
  /** The requests and streams that are open on this replica now. */
  readonly openHere: number;
  /** False for an account of which nothing is known, because its name may be mistyped (`isSeen`). */
  readonly known: boolean;
}

/** What a scope is read from. A process that serves nothing has no session in flight. */
interface ScopeDeps {
  readonly store: Pick<AdminDeps['store'], 'sessions' | 'locks' | 'freshSignIns'>;
  readonly guard: Pick<AdminDeps['guard'], 'sessionsInFlight'>;
}

/** Returns which sessions a target has; of a single session, which is read by its id, those beneath it. */
function groupOf(target: RevocationTarget): SessionGroup | undefined {
  switch (target.kind) {
    case 'session':
      return { ancestor: target.session };
    case 'account':
      return { account: target.account };
    case 'provider':
      return { provider: target.provider };
    case 'all':
      return {};
    case 'grant':
      return undefined;
  }
}

/** Returns the newest of a group. The store has no index of a provider's sessions by age, so there may be none among those examined. */
async function newestOf({ store }: ScopeDeps, { provider, ...group }: SessionGroup, limit: number) {
  const where = (session: SessionRecord): boolean => session.provider === provider;
  const filter = provider === undefined ? {} : { where, mostExamined: MOST_EXAMINED };
  return (await store.sessions.list({ ...group, ...filter, limit })).sessions;
}

const NONE: SessionTally = { sessions: 0, delegated: 0, users: 0, more: false };

/** Returns the scope of a revocation. @throws AppError `store_unavailable` */
export async function scopeOf(deps: ScopeDeps, target: RevocationTarget): Promise<RevocationScope> {
  const group = groupOf(target);
  const own = target.kind === 'session' ? await deps.store.sessions.read(target.session) : undefined;
  const listed = own === undefined ? [] : [own];
  const [found, tally] =
    group === undefined
      ? [[], NONE]
      : await Promise.all([newestOf(deps, group, LISTED - listed.length), deps.store.sessions.tally(group)]);
  const key = targetKey(target);
  const openHere = deps.guard
    .sessionsInFlight()
    .filter(({ keys }) => isCoveredBy(keys, key))
    .reduce((sum, { flights }) => sum + flights, 0);
  return {
    listed: [...listed, ...found],
    sessions: tally.sessions + listed.length,
    delegated: tally.delegated + listed.filter(({ delegation }) => delegation !== undefined).length,
    users: Math.max(tally.users, listed.length),
    more: tally.more,
    openHere,
    known: target.kind !== 'account' || tally.sessions > 0 || (await isSeen(deps, target.account)),
  };
}

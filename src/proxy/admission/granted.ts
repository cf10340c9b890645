/**
 * Adds to a caller the groups that were granted to their session for a while, for one cluster and one request.
 *
 * A grant counts only while all of this is true: its time is not over by this replica's own clock, no entry of the log
 * and no local hold ends it, its role is configured, the user's own groups may ask for that role, and cluster and groups
 * are in what was approved as well as in what is configured now. Whatever is unknown gives nothing.
 */
import type { SessionGrant } from '../../core/access/request.ts';
import { isForCluster, mayRequest, type AccessRole } from '../../core/access/role.ts';
import type { Caller, Credential } from '../../core/credential/credential.ts';
import type { TargetKey } from '../../core/credential/revocation.ts';
import type { Identity } from '../../core/identity/identity.ts';
import type { RevocationGuard } from '../../revocation/revocation.ts';
import type { SessionRecord } from '../../store/store.ts';
import { GrantDeadlines } from './grant-deadlines.ts';

/** Why a grant is to be ended: the user has left the groups that may ask for its role, or the role is not configured any more. */
export type Ineligible = 'group' | 'role';

export interface GrantSettings {
  /** `access.roles`. */
  readonly roles: readonly AccessRole[];
  /** Milliseconds of a clock that is never set back; the revocation guard's. */
  readonly monotonicMs: () => number;
  /**
   * Called once for each read of a session that has a grant to be ended. Whether or not that succeeds, the grant gives
   * nothing here. Must not throw.
   */
  readonly onIneligibleGrant?: (grant: SessionGrant, session: SessionRecord, why: Ineligible) => void;
}

/** What several requests share: the same objects while the same grants are active, because headers are kept by identity. */
interface Shared {
  readonly identity: Identity;
  readonly keys: readonly TargetKey[];
}

export class Granted {
  readonly #settings: GrantSettings;
  readonly #guard: Pick<RevocationGuard, 'check'>;
  readonly #roles: ReadonlyMap<string, AccessRole>;
  readonly #deadlines = new GrantDeadlines();
  /** Once for each read of a session: by cluster and ids of grants. */
  readonly #shared = new WeakMap<SessionRecord, Map<string, Shared>>();
  readonly #reported = new WeakSet<SessionGrant>();

  constructor(settings: GrantSettings, guard: Pick<RevocationGuard, 'check'>) {
    this.#settings = settings;
    this.#guard = guard;
    this.#roles = new Map(settings.roles.map((role) => [role.name, role]));
  }

  /** Reads a session, and notes when each of its grants is over. */
  async read(read: () => Promise<SessionRecord | undefined>): Promise<SessionRecord | undefined> {
    const askedAtMs = this.#settings.monotonicMs();
    const record = await read();
    for (const grant of record?.grants ?? []) this.#deadlines.note(grant, askedAtMs);
    return record;
  }

  /** @param cluster name of the cluster that the request is for */
  withGrants(caller: Caller, record: SessionRecord, cluster: string): Caller {
    const { grants } = record;
    // A delegated session never has one, and gets none from the session above it.
    if (grants === undefined || record.delegation !== undefined) return caller;
    const active = grants.filter(
      (grant) => this.#isActive(caller.credential, record, grant) && this.#gives(grant, record, cluster).length > 0,
    );
    if (active.length === 0) return caller;
    const { identity, keys } = this.#sharedOf(record, cluster, active);
    const ends = active.map(({ id }) => this.#deadlines.of(id)?.atMs ?? Number.NEGATIVE_INFINITY);
    const { credential } = caller;
    return {
      ...caller,
      credential: { ...credential, keys: { ...credential.keys, grants: keys }, grantsEndAtMs: Math.min(...ends) },
      identity,
      ownIdentity: record.identity,
      grants: active,
    };
  }

  #isActive({ keys, position }: Credential, record: SessionRecord, grant: SessionGrant): boolean {
    const deadline = this.#deadlines.of(grant.id);
    if (deadline === undefined) return false;
    const made = { keys: { ...keys, grants: [deadline.key] }, position, grantsEndAtMs: deadline.atMs };
    if (this.#guard.check(made) !== undefined) return false;
    const role = this.#roles.get(grant.role);
    if (role === undefined) return this.#ineligible(grant, record, 'role');
    return mayRequest(role, record.identity) || this.#ineligible(grant, record, 'group');
  }

  /** Returns the groups that it adds there to the user's own: what was approved and is configured still. */
  #gives(grant: SessionGrant, { identity }: SessionRecord, cluster: string): readonly string[] {
    const role = this.#roles.get(grant.role);
    if (role === undefined || !isForCluster(grant, cluster) || !isForCluster(role, cluster)) return [];
    return grant.groups.filter((group) => role.groups.includes(group) && !identity.groups.includes(group));
  }

  #ineligible(grant: SessionGrant, record: SessionRecord, why: Ineligible): false {
    if (!this.#reported.has(grant)) {
      this.#reported.add(grant);
      this.#settings.onIneligibleGrant?.(grant, record, why);
    }
    return false;
  }

  #sharedOf(record: SessionRecord, cluster: string, active: readonly SessionGrant[]): Shared {
    const ofRecord = this.#shared.get(record) ?? new Map<string, Shared>();
    this.#shared.set(record, ofRecord);
    const name = [cluster, ...active.map(({ id }) => id)].join(' ');
    const known = ofRecord.get(name);
    if (known !== undefined) return known;
    const { identity } = record;
    const groups = [
      ...new Set([...identity.groups, ...active.flatMap((grant) => this.#gives(grant, record, cluster))]),
    ];
    const keys = active.flatMap(({ id }) => this.#deadlines.of(id)?.key ?? []);
    const shared = { identity: { ...identity, groups }, keys };
    ofRecord.set(name, shared);
    return shared;
  }
}

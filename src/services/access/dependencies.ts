/** The dependencies of this module. The module `server` builds the real ones. */
import type { RecheckUser } from '../admin/admin.ts';
import type { AuditTrail } from '../../audit/audit.ts';
import type { Config } from '../../config/config.ts';
import type { Clock } from '../../contracts/clock.ts';
import type { Logger } from '../../contracts/logger.ts';
import type { NotifyAccess } from '../../core/access/notice.ts';
import type { Account, Identity } from '../../core/identity/identity.ts';
import type { RevocationGuard } from '../../revocation/revocation.ts';
import type { SessionRecord, Store } from '../../store/store.ts';

/** What became of a request; `refused`: it was not stored, or a decision about it was rejected. */
export type RequestOutcome = 'requested' | 'approved' | 'denied' | 'withdrawn' | 'expired' | 'refused';

export interface AccessDeps {
  readonly config: Pick<Config, 'access' | 'admin' | 'sessions' | 'clockSkew' | 'publicUrl'> & {
    readonly clusters: readonly Pick<Config['clusters'][number], 'name'>[];
    readonly workload: readonly Pick<Config['workload'][number], 'name' | 'role' | 'clusters'>[];
  };
  readonly store: Pick<Store, 'sessions' | 'recent' | 'access' | 'artefacts' | 'locks'>;
  readonly guard: Pick<
    RevocationGuard,
    'check' | 'register' | 'revoke' | 'fenced' | 'incarnation' | 'onChange' | 'result' | 'onResult'
  >;
  readonly audit: Pick<AuditTrail, 'record' | 'blocked'>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Of each provider, whether it says when its users authenticated. */
  readonly providers: ReadonlyMap<string, { readonly provesFreshness: boolean }>;
  readonly recheck: RecheckUser;
  /** `clusters[].allow`, compiled. */
  readonly mayUse: (cluster: string, identity: Identity) => boolean;
  /** Tells approvers and requesters. Absent: no one is told. */
  readonly notify?: NotifyAccess;
  readonly countRequest?: (role: string, outcome: RequestOutcome) => void;
  readonly countGrant?: (role: string, event: 'begun' | 'ended') => void;
  /** A role without approval was used. */
  readonly countBreakGlass?: (role: string) => void;
  /** The number of grants of each configured role that have begun and are not ended. */
  readonly observeActive?: (grants: ReadonlyMap<string, number>) => void;
}

/** A user as a session of theirs has them: with their own groups, never those that were granted. */
export interface KnownUser {
  readonly record: SessionRecord;
  readonly account: Account;
  readonly identity: Identity;
  readonly knownAs: readonly string[];
}

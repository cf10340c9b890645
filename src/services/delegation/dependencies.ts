/** The dependencies of this module. The module `server` builds the real ones. */
import type { AuditTrail } from '../../audit/audit.ts';
import type { Config } from '../../config/config.ts';
import type { GrantDelegation } from '../../contracts/authorization.ts';
import type { Clock } from '../../contracts/clock.ts';
import type { Logger } from '../../contracts/logger.ts';
import type { Identity } from '../../core/identity/identity.ts';
import type { RevocationGuard } from '../../revocation/revocation.ts';
import type { Store } from '../../store/store.ts';

export type DelegationOutcome = 'opened' | 'refused' | 'unavailable';

export interface DelegationDeps {
  readonly config: Pick<Config, 'delegation' | 'sessions'> & {
    readonly clusters: readonly Pick<Config['clusters'][number], 'name' | 'publicUrl'>[];
    readonly workload: readonly Pick<Config['workload'][number], 'name'>[];
  };
  readonly store: Pick<Store, 'sessions' | 'artefacts' | 'recent'>;
  readonly guard: Pick<RevocationGuard, 'check' | 'register' | 'revoke' | 'position' | 'fenced'>;
  readonly audit: Pick<AuditTrail, 'record' | 'recordAhead' | 'blocked'>;
  readonly clock: Clock;
  readonly logger: Pick<Logger, 'error'>;
  /** `clusters[].allow`, compiled. */
  readonly mayUse: (cluster: string, identity: Identity) => boolean;
  /** Makes the refresh token of a delegated session. */
  readonly grant: GrantDelegation;
  readonly countDelegation: (outcome: DelegationOutcome) => void;
}

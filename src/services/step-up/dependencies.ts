/** The dependencies of this module. The module `server` builds the real ones. */
import type { AuditTrail } from '../../audit/audit.ts';
import type { Config } from '../../config/config.ts';
import type { Clock } from '../../contracts/clock.ts';
import type { RevocationGuard } from '../../revocation/revocation.ts';
import type { Store } from '../../store/store.ts';

export type StepUpOutcome = 'done' | 'refused';

export interface StepUpDeps {
  readonly config: Pick<Config, 'publicUrl' | 'clockSkew' | 'stepUp'> & {
    readonly sessions: Pick<Config['sessions'], 'deviceCode'>;
    readonly providers: readonly Pick<Config['providers'][number], 'name' | 'freshness'>[];
  };
  readonly store: Pick<Store, 'sessions' | 'artefacts'>;
  readonly guard: Pick<RevocationGuard, 'check'>;
  readonly audit: Pick<AuditTrail, 'record' | 'blocked'>;
  readonly clock: Clock;
  /** Absent: it is not counted. */
  readonly countStepUp?: (outcome: StepUpOutcome) => void;
}

/**
 * The dependencies of the admin service. The module `server` builds the real ones; this module opens no connection.
 */
import type { Actor, RequestContext } from '../../http/request-context.ts';
import type { RecheckUser } from './confirmed-user.ts';
import type { AuditHistory, AuditTrail, ReplicaQuestions } from '../../audit/audit.ts';
import type { Config } from '../../config/config.ts';
import type { Clock } from '../../contracts/clock.ts';
import type { Logger } from '../../contracts/logger.ts';
import type { IdentityProviders } from '../../idp/idp.ts';
import type { RevocationGuard } from '../../revocation/revocation.ts';
import type { EndingReasons, Store } from '../../store/store.ts';

/** The parts of the configuration that the admin service needs. */
export type AdminConfig = Pick<Config, 'publicUrl' | 'clusters' | 'admin' | 'sessions' | 'clockSkew'> & {
  readonly workload: readonly Pick<Config['workload'][number], 'name' | 'role' | 'clusters'>[];
};

export interface AdminDeps {
  readonly config: AdminConfig;
  readonly store: Pick<Store, 'artefacts' | 'sessions' | 'locks' | 'freshSignIns' | 'recent'> & {
    readonly log: Pick<Store['log'], 'position' | 'announceDrill' | 'hasWritten'>;
  };
  readonly providers: IdentityProviders;
  readonly guard: Pick<
    RevocationGuard,
    | 'position'
    | 'fenced'
    | 'check'
    | 'register'
    | 'revoke'
    | 'hold'
    | 'result'
    | 'onResult'
    | 'onChange'
    | 'replicas'
    | 'refresh'
    | 'sessionsInFlight'
    | 'openStreams'
    | 'cutStream'
  >;
  readonly audit: Pick<AuditTrail, 'record' | 'recordAhead' | 'blocked'>;
  readonly logger: Logger;
  readonly clock: Clock;
  readonly recheckUser: RecheckUser;
  /** Absent: the users of a locked account are not told why their sessions have ended. */
  readonly endings?: Pick<EndingReasons, 'keep'>;
  /** The audit log in the files of the replicas. */
  readonly history?: AuditHistory;
  /** Absent: there is no other replica. */
  readonly questions?: ReplicaQuestions;
}

/** The caller of an operation, with the request that the audit event is about. */
export interface AdminContext {
  readonly context: RequestContext;
  readonly actor: Actor;
  readonly path: string;
}

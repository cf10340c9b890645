/**
 * The dependencies of the admin service. The module `server` builds the real ones; this module opens no connection.
 */
import type { Actor, RequestContext } from '../http/request-context.ts';
import type { AccessRequests } from './access-requests.ts';
import type { RecheckUser } from './confirmed-user.ts';
import type { AuditHistory, AuditTrail } from '../audit/audit.ts';
import type { LiveTails } from '../audit/live/live-tails.ts';
import type { Config } from '../config/config.ts';
import type { Clock } from '../contracts/clock.ts';
import type { Health } from '../contracts/health.ts';
import type { Logger } from '../contracts/logger.ts';
import type { Caller } from '../core/credential/credential.ts';
import type { Result } from '../core/result.ts';
import type { IdentityProviders } from '../idp/idp.ts';
import type { RevocationGuard } from '../revocation/revocation.ts';
import type { Store } from '../store/store.ts';

/** The parts of the configuration that the admin service needs. */
export type AdminConfig = Pick<Config, 'publicUrl' | 'clusters' | 'admin' | 'sessions' | 'clockSkew'> & {
  readonly workload: readonly Pick<Config['workload'][number], 'name' | 'role' | 'clusters'>[];
};

/**
 * Verifies an access token as the data plane does. `reason` is for the audit log only.
 * @throws SessionUnread where the store is unavailable
 */
type Authenticate = (request: {
  readonly token: string;
  readonly audience: string;
  /** SHA-256 of the connection's client certificate, base64url. */
  readonly thumbprint: string | undefined;
}) => Promise<Result<Caller, string>>;

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
  >;
  readonly audit: Pick<AuditTrail, 'record' | 'recordAhead' | 'blocked'>;
  readonly logger: Logger;
  readonly clock: Clock;
  readonly authenticate: Authenticate;
  readonly recheckUser: RecheckUser;
  /** Absent: there is no live tail of the audit log. */
  readonly tails?: LiveTails;
  /** The audit log in the files of this replica. Absent: it writes none. */
  readonly history?: AuditHistory;
  /** Absent: there are no access requests. */
  readonly access?: AccessRequests;
  /** Absent: nothing is checked. */
  readonly health?: Health;
  /**
   * Aborts when this replica begins to shut down: event streams then end cleanly and their clients go to another
   * replica.
   */
  readonly leaving?: AbortSignal;
}

/** The caller of an operation, with the request that the audit event is about. */
export interface AdminContext {
  readonly context: RequestContext;
  readonly actor: Actor;
  readonly path: string;
}

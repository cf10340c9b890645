/** The dependencies of the APIs, besides those of the services. The module `server` builds the real ones. */
import type { LiveTails } from '../audit/live/live-tails.ts';
import type { Health } from '../contracts/health.ts';
import type { Caller } from '../core/credential/credential.ts';
import type { Result } from '../core/result.ts';
import type { AccessRequests } from '../services/access/access.ts';
import type { AdminDeps, AdminService } from '../services/admin/admin.ts';

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

export interface AdminApiDeps extends AdminDeps {
  readonly authenticate: Authenticate;
  /** Absent: there is no live tail of the audit log. */
  readonly tails?: LiveTails;
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

export interface AdminApiService extends AdminService {
  readonly deps: AdminApiDeps;
}

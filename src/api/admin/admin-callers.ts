/** The callers of the admin API with a Bearer token. Browsers have a cookie, which the module `web` verifies. */
import type { AdminApiDeps } from '../dependencies.ts';
import { authenticateBearer, programActor, type Program } from '../../http/bearer.ts';
import { ADMIN_AUDIENCE } from '../../core/core.ts';
import { SessionUnread } from '../../core/credential/credential.ts';
import type { IdentifyCaller } from '../pipeline.ts';
import { defined } from '../../core/defined.ts';

/**
 * Returns an admin whose session cannot be read, with what their token says: the account, also as the username.
 * @throws any other error unchanged
 */
function unreadAdmin(thrown: unknown): Program {
  if (!(thrown instanceof SessionUnread) || thrown.credential.wasAdmin !== true) throw thrown;
  const { credential } = thrown;
  const { account, authTime, expiresAt } = credential;
  const identity = { username: account, uid: account, groups: [], extra: {} };
  const ends = { sessionExpiresAt: expiresAt, sessionIdleAt: expiresAt };
  return { credential, identity, ...ends, unread: thrown, ...defined({ authTime }) };
}

/**
 * Identifies callers by Bearer token. A token must be bound to the client certificate of its connection, unless
 * `sessions.binding` is off.
 */
export function bearerCaller(deps: AdminApiDeps): IdentifyCaller {
  const asked = { audience: ADMIN_AUDIENCE, what: 'the admin API', binding: deps.config.sessions.binding };
  return async (req) => {
    const { authenticate, guard } = deps;
    const caller = await authenticateBearer<Program>(req, { ...asked, authenticate, orElse: unreadAdmin });
    return programActor(guard, caller);
  };
}

/** The callers of the admin API with a Bearer token. Browsers have a cookie, which the module `web` verifies. */
import type { AdminApiDeps } from '../dependencies.ts';
import { assertCredential, authenticateBearer } from '../../http/bearer.ts';
import { ADMIN_AUDIENCE } from '../../core/core.ts';
import { SessionUnread, type Caller } from '../../core/credential/credential.ts';
import type { IdentifyCaller } from '../pipeline.ts';
import type { Actor } from '../../http/request-context.ts';
import { registerFor } from '../../http/revocable-response.ts';
import { defined } from '../../core/defined.ts';

type Program = Pick<Caller, 'credential' | 'identity' | 'authTime' | 'sessionExpiresAt' | 'sessionIdleAt'> &
  Pick<Actor, 'unread'>;

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

function actorFrom(deps: AdminApiDeps, caller: Program): Actor {
  const { credential, identity, authTime, unread } = caller;
  const { provider } = credential;
  return {
    identity,
    // Read together with the identity, so that a known admin can have a target held here while the store does not
    // respond.
    proof: authTime === undefined ? { provider } : { provider, authTime },
    ...defined({ unread }),
    account: credential.account,
    session: credential.session,
    expiresAt: credential.expiresAt,
    assertValid: () => assertCredential(deps.guard, credential),
    register: registerFor(deps.guard, credential, {
      expiresAt: caller.sessionExpiresAt,
      idleAt: caller.sessionIdleAt,
    }),
  };
}

/**
 * Identifies callers by Bearer token. A token must be bound to the client certificate of its connection, unless
 * `sessions.binding` is off.
 */
export function bearerCaller(deps: AdminApiDeps): IdentifyCaller {
  const asked = { audience: ADMIN_AUDIENCE, what: 'the admin API', binding: deps.config.sessions.binding };
  return async (req) => {
    const { authenticate } = deps;
    return actorFrom(deps, await authenticateBearer<Program>(req, { ...asked, authenticate, orElse: unreadAdmin }));
  };
}

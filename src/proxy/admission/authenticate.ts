/**
 * Who is calling? From a token and the connection's certificate to a caller, or a tagged reason why not.
 *
 * Everything that can change is judged on every call, whatever is remembered: expiry, audience, binding, and the gate. The gate is asked
 * again after each await, because a revocation may have been applied meanwhile.
 */
import type { AuthenticationRejection, Authenticate } from '../dependencies.ts';
import { checkBinding, SessionUnread } from '../../core/credential/credential.ts';
import type { Caller, Credential, CredentialRejection } from '../../core/credential/credential.ts';
import { AppError } from '../../core/errors.ts';
import { no, ok } from '../../core/result.ts';
import type { Result } from '../../core/result.ts';
import type { SessionRecord } from '../../store/store.ts';
import type { AuthenticatorDeps } from '../dependencies.ts';
import { IdentityCache } from './identity-cache.ts';
import { endedWords } from '../rejections.ts';
import { TokenVerifier } from './token-verifier.ts';

/** One for the whole process, so that the api listener and the admin API share what is remembered. */
export function createAuthenticator(deps: AuthenticatorDeps): Authenticate {
  const { guard, clock } = deps;
  const tokens = new TokenVerifier(deps);
  const identities = new IdentityCache(deps.sessions);
  guard.onChange((change) => identities.drop(change));

  const judge = async (
    credential: Credential,
    thumbprint: string | undefined,
  ): Promise<Result<Caller, AuthenticationRejection>> => {
    // Before the session is asked for: who holds a stolen token without its key learns nothing about the session behind it.
    const mayBeUnbound = deps.unboundClients?.has(credential.client) === true;
    const unbound = checkBinding(credential, thumbprint, credential.thumbprint, mayBeUnbound);
    if (unbound !== undefined) return no(unbound);
    const shut = guard.check(credential);
    if (shut !== undefined) return refused(deps, credential, shut);

    let record: SessionRecord | undefined;
    try {
      record = await identities.get(credential);
    } catch (error) {
      throw error instanceof AppError && error.code === 'store_unavailable'
        ? new SessionUnread(credential, error)
        : error;
    }
    const shutMeanwhile = guard.check(credential);
    if (shutMeanwhile !== undefined) return refused(deps, credential, shutMeanwhile);
    // Its end may be older than what this replica's view still holds.
    if (record === undefined) return refused(deps, credential, 'session_unknown');
    return judgeSession(credential, record, { thumbprint, mayBeUnbound, now: clock.now() / 1000 });
  };
  return async ({ token, audience, thumbprint }) => {
    const verified = await tokens.verify(token, audience);
    const outcome = verified.ok ? await judge(verified.value, thumbprint) : verified;
    const client = verified.ok ? verified.value.client : verified.client;
    const tells = client !== undefined && deps.thirdParties !== undefined && deps.thirdParties.size > 0;
    return outcome.ok || !tells ? outcome : { ...outcome, client };
  };
}

/** The token is ours, and its key is there: this user may hear what became of the session. */
async function refused(
  { whyEnded, issuer, thirdParties }: AuthenticatorDeps,
  { session, client }: Credential,
  reason: AuthenticationRejection,
): Promise<Result<Caller, AuthenticationRejection>> {
  const isOver = reason === 'session_revoked' || reason === 'session_unknown';
  const why = isOver ? await whyEnded?.(session) : undefined;
  if (why === undefined) return no(reason);
  throw new AppError('unauthenticated', endedWords(why, { publicUrl: issuer, thirdParties }, client), { reason });
}

function judgeSession(
  credential: Credential,
  record: SessionRecord | undefined,
  {
    thumbprint,
    mayBeUnbound,
    now,
  }: { readonly thumbprint: string | undefined; readonly mayBeUnbound: boolean; readonly now: number },
): Result<Caller, CredentialRejection> {
  // A signed token for a session of somebody else can only be a fault of ours; it opens nothing.
  if (record === undefined || record.account !== credential.account) return no('session_unknown');
  const unbound = checkBinding(credential, thumbprint, record.thumbprint, mayBeUnbound);
  if (unbound !== undefined) return no(unbound);
  if (record.expiresAt <= now) return no('session_expired');
  const sessionIdleAt = record.lastUsedAt + record.idleSeconds;
  const { identity, authTime } = record;
  const caller = { credential, identity, sessionExpiresAt: record.expiresAt, sessionIdleAt };
  return ok(authTime === undefined ? caller : { ...caller, authTime });
}

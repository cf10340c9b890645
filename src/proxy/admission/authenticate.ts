/**
 * Authenticates a caller: from a token and the connection's certificate to a caller, or a tagged reason why not.
 *
 * Everything that can change is checked on every call, whatever is cached: expiry, audience, binding, and the
 * revocation guard. The guard is checked again after each await, because a revocation may have been applied
 * meanwhile.
 */
import type { AuthenticationRejection, Authenticate } from '../dependencies.ts';
import { clusterOf } from '../../core/core.ts';
import { checkBinding, SessionUnread } from '../../core/credential/credential.ts';
import type { Caller, Credential, CredentialRejection } from '../../core/credential/credential.ts';
import { AppError } from '../../core/errors.ts';
import { no, ok } from '../../core/result.ts';
import type { Result } from '../../core/result.ts';
import { andThen, type Awaitable } from '../../core/awaitable.ts';
import { idleEndOf, type SessionRecord } from '../../store/store.ts';
import type { AuthenticatorDeps } from '../dependencies.ts';
import { Granted } from './granted.ts';
import { IdentityCache } from './identity-cache.ts';
import { endedWith, sessionEndedMessage } from '../rejections.ts';
import { TokenVerifier } from './token-verifier.ts';

/** Creates the one authenticator of the process, so that the api listener and the admin API share its caches. */
export function createAuthenticator(deps: AuthenticatorDeps): Authenticate {
  const { guard, clock } = deps;
  const tokens = new TokenVerifier(deps);
  const granted = new Granted(deps.access ?? { roles: [], monotonicMs: () => performance.now() }, guard);
  const identities = new IdentityCache({ read: (id) => granted.read(() => deps.sessions.read(id)) });
  guard.onChange((change) => identities.drop(change));

  const judge = (credential: Credential, thumbprint: string | undefined): Awaitable<Judged> => {
    // Before the session is read: an attacker who holds a stolen token without its key learns nothing about the
    // session behind it.
    const mayBeUnbound = deps.unboundClients?.has(credential.client) === true;
    const unbound = checkBinding(credential, thumbprint, credential.thumbprint, mayBeUnbound);
    if (unbound !== undefined) return no(unbound);
    const rejection = guard.check(credential);
    if (rejection !== undefined) return rejectionFor(deps, credential, rejection);

    return andThen(recordOf(identities, credential, clock.nowMs() / 1000), (record) => {
      const laterRejection = guard.check(credential);
      if (laterRejection !== undefined) return rejectionFor(deps, credential, laterRejection);
      // Its end may be older than the entries that this replica's view still holds.
      if (record === undefined) return rejectionFor(deps, credential, 'session_unknown');
      const judged = judgeSession(credential, record, { thumbprint, mayBeUnbound, nowSeconds: clock.nowMs() / 1000 });
      if (record.grants === undefined || !judged.ok) return judged;
      // Never for the admin API, nor for one's own sessions: a grant is a right at clusters.
      const cluster = clusterOf(credential.audience);
      return cluster === undefined ? judged : ok(granted.withGrants(judged.value, record, cluster));
    });
  };
  const isExplained = deps.thirdParties !== undefined && deps.thirdParties.size > 0;
  return ({ token, audience, thumbprint }) =>
    andThen(tokens.verify(token, audience), (verified) => {
      const { client, actor } = verified.ok ? verified.value : verified;
      const outcome: Awaitable<Judged> = verified.ok ? judge(verified.value, thumbprint) : verified;
      if (actor === undefined && (client === undefined || !isExplained)) return outcome;
      const holder = isExplained && client !== undefined ? { client, actor } : { actor };
      return andThen(outcome, (judged) => (judged.ok ? judged : { ...judged, ...holder }));
    });
}

type Judged = Result<Caller, AuthenticationRejection>;

/** @throws SessionUnread if the session cannot be read: no request is admitted because a check could not be made */
function recordOf(
  identities: IdentityCache,
  credential: Credential,
  nowSeconds: number,
): Awaitable<SessionRecord | undefined> {
  const record = identities.get(credential, nowSeconds);
  if (!(record instanceof Promise)) return record;
  return record.catch((error: unknown) => {
    throw error instanceof AppError && error.code === 'store_unavailable'
      ? new SessionUnread(credential, error)
      : error;
  });
}

/** The token is ours, and its key is there, so this user may learn why the session ended. */
async function rejectionFor(
  { whyEnded, issuer, thirdParties }: AuthenticatorDeps,
  credential: Credential,
  reason: AuthenticationRejection,
): Promise<Result<Caller, AuthenticationRejection>> {
  const isOver = reason === 'session_revoked' || reason === 'session_unknown';
  if (!isOver) return no(reason);
  for (const session of endedWith(credential)) {
    const why = await whyEnded?.(session);
    if (why === undefined) continue;
    const message = sessionEndedMessage(why, { publicUrl: issuer, thirdParties }, credential);
    throw new AppError('unauthenticated', message, { reason });
  }
  return no(reason);
}

function judgeSession(
  credential: Credential,
  record: SessionRecord | undefined,
  {
    thumbprint,
    mayBeUnbound,
    nowSeconds,
  }: { readonly thumbprint: string | undefined; readonly mayBeUnbound: boolean; readonly nowSeconds: number },
): Result<Caller, CredentialRejection> {
  // A signed token for a session of another account can only be an error of ours, and opens nothing.
  if (record === undefined || record.account !== credential.account) return no('session_unknown');
  // The guard has checked the sessions above by the token, so these must be the ones that the session has.
  if (!sameList(record.delegation?.ancestors, credential.ancestors)) return no('session_unknown');
  const unbound = checkBinding(credential, thumbprint, record.thumbprint, mayBeUnbound);
  if (unbound !== undefined) return no(unbound);
  if (record.expiresAt <= nowSeconds) return no('session_expired');
  const sessionIdleAt = idleEndOf(record);
  const { identity, authTime, delegation } = record;
  const caller = { credential, identity, sessionExpiresAt: record.expiresAt, sessionIdleAt };
  if (delegation !== undefined) return ok({ ...caller, delegation });
  return ok(authTime === undefined ? caller : { ...caller, authTime });
}

const sameList = (left: readonly string[] | undefined, right: readonly string[] | undefined): boolean =>
  left === right ||
  (left !== undefined && left.length === right?.length && left.every((each, index) => each === right[index]));

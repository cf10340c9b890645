/**
 * What all sign-ins share. Either there is a session and the audit log has it, or nothing was created and the audit log
 * has the reason; or the user is sent to the provider once more for a fresh sign-in
 * (docs/architecture.md#invariant-11): after a revocation, an attacker with a stolen laptop would otherwise be back in
 * seconds by silent single sign-on.
 *
 * A browser, an OAuth client (`/login/:uid`) and a device go the same way, each step a function of its own:
 *
 *     …/start              begin: store a login transaction (`beginLogin`), redirect to the provider
 *     /callback/:provider  find it, redirect to the page that waits
 *     …/finish             parse: consume it, and read what only this kind of sign-in knows → `ReturnedLogin`
 *                          judge: what the provider says of the user → a session to open, or begin again
 *                          persist: open the session (`openSession`) → `OpenedSession`, or begin again
 *                          next: hand the session over (`handOver`), and redirect
 */
import { randomBytes } from 'node:crypto';
import type { Request } from 'express';
import { AppError } from '../../core/errors.ts';
import { accountOf, type Account, type Identity } from '../../core/identity/identity.ts';
import { readAuthTime, type Unproven } from '../../core/identity/auth-time.ts';
import { isPlausible } from '../../core/identity/freshness.ts';
import { unprovenWarning } from '../../core/identity/fresh-sign-in.ts';
import type { LogPosition } from '../../core/credential/revocation.ts';
import type { IdentityProvider, ProviderSignIn } from '../../idp/idp.ts';
import { authTimeIn } from '../../idp/auth-time.ts';
import { clockSkewOf } from '../../idp/provider-clock.ts';
import type { MintRejection, NewSession } from '../../store/store.ts';
import type { SignInOutcome, WebDeps } from '../dependencies.ts';
import { nowSeconds } from '../../contracts/clock.ts';
import { appErrorOf } from '../../http/error-status.ts';
import { parameter } from '../page/response.ts';
import { findLogin, providerNamed, type LoginTransaction } from './login-transaction.ts';
import { beginAgain, redeemCallback, unprovenSignIn } from './redeem.ts';
import { record, requestFacts } from '../../http/audit-events.ts';
import type { RequestContext } from '../../http/request-context.ts';
import { revokeAudited } from '../../revocation/revocation.ts';
import { defined } from '../../core/defined.ts';

/**
 * Without a refresh token the provider cannot be asked again whether the user is still active, so the session ends
 * soon.
 */
const UNCHECKED_SESSION_SECONDS = 3600;

export interface OpenedSession {
  readonly id: string;
  readonly account: Account;
  readonly identity: Identity;
  readonly provider: string;
  /** The position in the revocation log at which it was opened. */
  readonly position: LogPosition;
  /** Epoch seconds. */
  readonly expiresAt: number;
  /** The provider's ID token, for the sign-out there. */
  readonly idToken?: string | undefined;
  /** What the provider said of when the user authenticated, where its admin or approver may prove no fresh sign-in. */
  readonly unproven?: string;
}

/** The provider has to be asked once more, here. */
interface Again {
  readonly again: URL;
}

/** A sign-in whose login transaction is consumed: the facts of which the session is made. */
export interface ReturnedLogin {
  readonly login: LoginTransaction;
  /** The callback's query, unchanged, with its `?`. */
  readonly query: string;
  readonly client: string;
  /** The user who is signed in at the pages in this browser. The new session ends with that one. */
  readonly browser?: { readonly account: Account; readonly session: string } | undefined;
  /** The device that the session is for; absent where it is the browser's. */
  readonly device?: { readonly address: string; readonly userAgent: string };
  /** The name that the program gives its device. */
  readonly deviceName?: string | undefined;
}

/** 128 bits. Session ids appear in URLs and in tokens, and are never accepted as a credential by themselves. */
const newSessionId = (): string => randomBytes(16).toString('base64url');

/**
 * Returns when the user authenticated. Only the ID token counts. For a provider that cannot state it, the sign-in
 * itself counts, and the response to a revocation shows that (`canSignInAgain`).
 */
function authTimeOf(
  { clockSkew }: WebDeps['config'],
  provider: IdentityProvider,
  { user: { authTime }, epochSeconds }: { readonly user: ProviderSignIn; readonly epochSeconds: number },
): number | undefined {
  if (!provider.provesFreshness) return epochSeconds;
  return authTime !== undefined && isPlausible(authTime, epochSeconds, clockSkew) ? authTime : undefined;
}

function newSession(
  deps: WebDeps,
  { login, client, browser, device, deviceName }: ReturnedLogin,
  user: ProviderSignIn,
): NewSession {
  const { absolute, idle } = deps.config.sessions;
  const createdAt = nowSeconds(deps);
  const lifetime = user.refreshToken === undefined ? Math.min(absolute, UNCHECKED_SESSION_SECONDS) : absolute;
  const account = accountOf(login.provider, user.subject);
  const authTime = authTimeOf(deps.config, providerNamed(deps, login.provider), { user, epochSeconds: createdAt });
  return {
    id: newSessionId(),
    account,
    provider: login.provider,
    subject: user.subject,
    client,
    identity: user.identity,
    createdAt,
    expiresAt: createdAt + lifetime,
    idleSeconds: idle,
    address: (device ?? login).address,
    userAgent: (device ?? login).userAgent,
    ...(device === undefined ? {} : { device: true }),
    ...defined({ deviceName }),
    startedAt: login.startedAt,
    ...defined({ authTime, knownAs: user.knownAs, providerSid: user.providerSid }),
    // The session of another user at a shared browser is not touched.
    ...(browser?.account === account ? { via: browser.session } : {}),
  };
}

/**
 * Returns the error for a session that may not be opened. The user has just authenticated, so the message may give
 * the reason.
 */
function openingRejected(reason: Exclude<MintRejection, 'fresh_sign_in_needed'>): AppError {
  switch (reason) {
    case 'account_locked':
      return new AppError('sign_in_refused', 'Your account is locked here. Ask your platform team to unlock it.', {
        reason,
      });
    case 'sessions_too_many': {
      const text = 'You have too many sessions. End some of them at /me, or ask your platform team to.';
      return new AppError('sign_in_refused', text, { reason });
    }
    case 'session_revoked': {
      const text = 'Your sessions were ended while you were signing in, by an administrator or at your provider.';
      return new AppError('sign_in_expired', text, { reason });
    }
    case 'session_unknown':
    case 'session_expired':
    case 'certificate_mismatch':
    case 'parent_over':
    case 'delegations_too_many':
    case 'epoch_changed':
      return new AppError('sign_in_expired', 'The store was restarted while you were signing in. Start again.', {
        reason,
      });
  }
}

/** A user who has proven who they are, with the session that may be opened for them. */
interface JudgedLogin {
  readonly user: ProviderSignIn;
  readonly session: NewSession;
  /** What the provider said of the moment, for where it is not the one that is needed. */
  readonly unproven: Unproven;
}

/** Redeems the provider's callback. */
async function judge(deps: WebDeps, context: RequestContext, returned: ReturnedLogin): Promise<JudgedLogin | Again> {
  const { login } = returned;
  const redeemed = await redeemCallback(deps, context, returned);
  if ('again' in redeemed) return redeemed;
  const { user } = redeemed;
  const session = newSession(deps, returned, user);
  context.user = { identity: session.identity, account: session.account };
  const unproven = unprovenOf(deps, user, session);
  // A user who was sent for a fresh sign-in must have proven it; otherwise the page that asked for it would send
  // this session off again.
  if (login.fresh && session.authTime === undefined)
    throw unprovenSignIn(deps, login, { unproven, subject: user.subject });
  return { user, session, unproven };
}

/** Opens the session in the store. */
async function persist(
  deps: WebDeps,
  context: RequestContext,
  { login }: ReturnedLogin,
  { user, session, unproven }: JudgedLogin,
): Promise<{ readonly session: OpenedSession } | Again> {
  const secret = defined({ refreshToken: user.refreshToken });
  const opened = await deps.store.sessions.open(session, secret);
  if (!opened.ok) {
    if (opened.reason !== 'fresh_sign_in_needed') throw openingRejected(opened.reason);
    const revoked = { ...login, revoked: true };
    // Only once: a provider that does not do as requested must not cause an endless loop of redirects.
    if (login.fresh) throw unprovenSignIn(deps, revoked, { unproven, subject: user.subject });
    return { again: await beginAgain(deps, context, revoked) };
  }
  const { id, account, identity, provider, expiresAt } = session;
  const facts = { id, account, identity, provider, position: opened.position, expiresAt, idToken: user.idToken };
  const warning = unprovenWarning(session, deps.config);
  return { session: warning === undefined ? facts : { ...facts, unproven: unproven.seen } };
}

/**
 * Judges a sign-in and opens its session, or begins another redirect where the account's next sign-in has to be a
 * fresh one.
 *
 * @throws AppError from the identity provider; `sign_in_expired` where a revocation came between;
 *   `sign_in_refused` for a locked account, and where a fresh sign-in was requested and is not proven; `fenced` or
 *   `store_unavailable`
 */
export async function openSession(
  deps: WebDeps,
  context: RequestContext,
  returned: ReturnedLogin,
): Promise<{ readonly session: OpenedSession } | Again> {
  const judged = await judge(deps, context, returned);
  return 'again' in judged ? judged : persist(deps, context, returned, judged);
}

/** Returns what the provider said of the moment, for where it is not the one that is needed. */
function unprovenOf(deps: WebDeps, user: ProviderSignIn, session: NewSession): Unproven {
  if (user.unproven !== undefined) return user.unproven;
  const { clockSkew } = deps.config;
  const read = readAuthTime(session.authTime ?? user.authTime, { now: session.createdAt, clockSkew });
  return typeof read === 'number' ? { defect: 'stale', seen: String(read) } : read;
}

/**
 * Gives the session to the browser, the client or the device, and audits the sign-in. If that fails, the session is
 * ended, so that none is left behind.
 */
export async function handOver(
  deps: WebDeps,
  context: RequestContext,
  { session, returned }: { readonly session: OpenedSession; readonly returned: ReturnedLogin },
  give: () => Promise<void>,
): Promise<void> {
  try {
    await give();
  } catch (cause) {
    const { id, account, identity, provider } = session;
    const about = { account, identity, session: id };
    const facts = requestFacts(context, { path: `/callback/${provider}`, reason: 'not_handed_over', provider, about });
    await revokeAudited(deps, { target: { kind: 'session', session: id }, ended: true }, facts).catch(
      (err: unknown) => {
        deps.logger.error({ err, session: id }, 'session of a failed sign-in not ended');
      },
    );
    throw cause;
  }
  auditSignIn(deps, context, session, returned);
}

function auditSignIn(deps: WebDeps, context: RequestContext, session: OpenedSession, returned: ReturnedLogin): void {
  deps.metrics.signIn(session.provider, 'ok');
  const { unproven } = session;
  if (unproven !== undefined) {
    const facts = { requestId: context.requestId, provider: session.provider, authTime: unproven };
    deps.logger.warn(facts, 'an admin or approver has signed in who may not be able to prove a fresh sign-in');
  }
  record(deps, context, {
    event: 'sign-in',
    path: `/callback/${session.provider}`,
    code: 303,
    provider: session.provider,
    details: {
      client: returned.client,
      fresh: String(returned.login.fresh),
      ...defined({ 'auth-time': unproven, device: returned.device?.address, 'device-name': returned.deviceName }),
    },
    about: { identity: session.identity, account: session.account, session: session.id },
  });
}

function outcomeOf(error: AppError): SignInOutcome {
  const unavailable = ['provider_unavailable', 'store_unavailable', 'fenced', 'audit_unavailable', 'internal'];
  return unavailable.includes(error.code) ? 'unavailable' : 'refused';
}

/** A step of a sign-in, as its audit event has it. */
interface SignInStep {
  readonly path: string;
  /** As it was given: it counts only where it is a configured one. */
  readonly provider?: string | undefined;
}

/** Audits a sign-in that failed. */
function auditRejectedSignIn(
  deps: WebDeps,
  context: RequestContext,
  { path, provider }: SignInStep,
  thrown: unknown,
): void {
  const { error, status } = appErrorOf(thrown);
  const known = provider !== undefined && deps.providers.has(provider) ? provider : undefined;
  deps.metrics.signIn(known ?? 'unknown', outcomeOf(error));
  // The provider's own message, or the setting that rejects its users. Errors of 500 and above are logged where
  // the response is sent.
  if (status < 500 && (error.cause !== undefined || error.code === 'sign_in_refused')) {
    const { requestId } = context;
    const authTime = authTimeIn(error)['auth-time'];
    const seen = defined({ authTime });
    deps.logger.info({ requestId, provider: known, reason: error.reason, ...seen, err: error }, 'sign-in rejected');
  }
  record(deps, context, {
    event: 'sign-in-refused',
    path,
    code: status,
    reason: error.reason,
    ...defined({ provider: known }),
    details: { ...clockSkewOf(error), ...authTimeIn(error) },
  });
}

/** Counts a sign-in that an address may not begin yet, and audits it where it is the first for a while. */
export function auditTooMany(deps: WebDeps, context: RequestContext, path: string): void {
  const refused = deps.tooManySignIns(context.address);
  if (refused === undefined) return;
  const details = { count: String(refused) };
  record(deps, context, { event: 'sign-in-refused', path, code: 429, reason: 'too_many_sign_ins', details });
}

/** Runs one step of a sign-in. An error is audited and thrown on, to the error page. */
export async function signInStep<T>(
  deps: WebDeps,
  context: RequestContext,
  step: SignInStep,
  run: () => Promise<T>,
): Promise<T> {
  try {
    return await run();
  } catch (thrown) {
    auditRejectedSignIn(deps, context, step, thrown);
    throw thrown;
  }
}

/** Returns the steps behind the callback. The login transaction names the provider until it is consumed. */
export async function finishStep(deps: WebDeps, req: Request, path: string): Promise<SignInStep> {
  const login = await findLogin(deps, parameter(req.query['state'])).catch(() => undefined);
  return { path, provider: login?.provider };
}

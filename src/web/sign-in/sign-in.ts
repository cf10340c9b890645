/**
 * Sign-ins: redeems the provider's callback, opens the session, and audits it. Either there is a session and the
 * audit log has it, or nothing was created and the audit log has the reason; or the user is sent to the provider
 * once more for a fresh sign-in (docs/architecture.md#invariant-11): after a revocation, an attacker with a stolen
 * laptop would otherwise be back in seconds by silent single sign-on.
 */
import { randomBytes } from 'node:crypto';
import type { Request, Response } from 'express';
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
import { type SignInOutcome, type WebDeps } from '../dependencies.ts';
import { nowSeconds } from '../../contracts/clock.ts';
import { appErrorOf } from '../../http/error-status.ts';
import { rememberProvider } from '../browser/provider-choices.ts';
import { parameter, queryOf, seeOther } from '../page/response.ts';
import { findLogin, providerNamed, type LoginTransaction } from './login-transaction.ts';
import { beginAgain, redeemCallback, unprovenSignIn } from './redeem.ts';
import { reportRejection } from './rejection.ts';
import { record } from '../../http/audit-events.ts';
import { contextOf, type RequestContext } from '../../http/request-context.ts';

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

/** The outcome of a sign-in: a session, or another redirect to the provider. */
type LoginOutcome = { readonly session: OpenedSession } | { readonly again: URL };

/** The facts of which the session is made. */
interface CompletedLogin {
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
  { login, client, browser, device, deviceName }: CompletedLogin,
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
    ...(deviceName === undefined ? {} : { deviceName }),
    startedAt: login.startedAt,
    ...(authTime === undefined ? {} : { authTime }),
    ...(user.knownAs === undefined ? {} : { knownAs: user.knownAs }),
    ...(user.providerSid === undefined ? {} : { providerSid: user.providerSid }),
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

/**
 * Redeems the provider's callback and opens a session, or begins another redirect where the account's next sign-in
 * has to be a fresh one.
 *
 * @throws AppError from the identity provider; `sign_in_expired` where a revocation came between;
 *   `sign_in_refused` for a locked account, and where a fresh sign-in was requested and is not proven; `fenced` or
 *   `store_unavailable`
 */
async function openSession(deps: WebDeps, context: RequestContext, completed: CompletedLogin): Promise<LoginOutcome> {
  const { login } = completed;
  const provider = providerNamed(deps, login.provider);
  const redeemed = await redeemCallback(deps, context, completed);
  if ('again' in redeemed) return redeemed;
  const { user } = redeemed;
  const { subject } = user;
  const session = newSession(deps, completed, user);
  context.user = { identity: session.identity, account: session.account };
  // A user who was sent for a fresh sign-in must have proven it; otherwise the page that asked for it would send
  // this session off again.
  const unproven = unprovenOf(deps, user, session);
  if (login.fresh && session.authTime === undefined) throw unprovenSignIn(deps, login, { unproven, subject });
  const secret = user.refreshToken === undefined ? {} : { refreshToken: user.refreshToken };
  const opened = await deps.store.sessions.open(session, secret);
  if (!opened.ok) {
    // Only once: a provider that does not do as requested must not cause an endless loop of redirects.
    if (opened.reason !== 'fresh_sign_in_needed') throw openingRejected(opened.reason);
    const revoked = { ...login, revoked: true };
    if (login.fresh) throw unprovenSignIn(deps, revoked, { unproven, subject });
    return { again: await beginAgain(deps, context, revoked) };
  }
  const { id, account, identity, expiresAt } = session;
  const { idToken } = user;
  const facts = { id, account, identity, provider: provider.name, position: opened.position, expiresAt, idToken };
  const warning = unprovenWarning(session, deps.config);
  return { session: warning === undefined ? facts : { ...facts, unproven: unproven.seen } };
}

/** Returns what the provider said of the moment, for where it is not the one that is needed. */
function unprovenOf(deps: WebDeps, user: ProviderSignIn, session: NewSession): Unproven {
  if (user.unproven !== undefined) return user.unproven;
  const { clockSkew } = deps.config;
  const read = readAuthTime(session.authTime ?? user.authTime, { now: session.createdAt, clockSkew });
  return typeof read === 'number' ? { defect: 'stale', seen: String(read) } : read;
}

/** Runs a step after the session was opened. If it fails, the session is ended, so that none is left behind. */
async function endSessionOnError<T>(deps: WebDeps, session: OpenedSession, rest: () => Promise<T>): Promise<T> {
  try {
    return await rest();
  } catch (cause) {
    await deps.guard
      .revoke({ target: { kind: 'session', session: session.id }, ended: true })
      .catch((error: unknown) => {
        deps.logger.error({ err: error, session: session.id }, 'session of a failed sign-in not ended');
      });
    throw cause;
  }
}

/** Audits a completed sign-in. */
function auditSignIn(deps: WebDeps, context: RequestContext, session: OpenedSession, completed: CompletedLogin): void {
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
      client: completed.client,
      fresh: String(completed.login.fresh),
      ...(unproven === undefined ? {} : { 'auth-time': unproven }),
      ...(completed.device === undefined ? {} : { device: completed.device.address }),
      ...(completed.deviceName === undefined ? {} : { 'device-name': completed.deviceName }),
    },
    about: { identity: session.identity, account: session.account, session: session.id },
  });
}

function outcomeOf(error: AppError): SignInOutcome {
  const unavailable = ['provider_unavailable', 'store_unavailable', 'fenced', 'audit_unavailable', 'internal'];
  return unavailable.includes(error.code) ? 'unavailable' : 'refused';
}

/** Audits a sign-in that failed. The provider's name counts only when it is a configured one. */
function auditRejectedSignIn(
  deps: WebDeps,
  context: RequestContext,
  rejection: { readonly path: string; readonly provider: string | undefined; readonly thrown: unknown },
): void {
  const { error, status } = appErrorOf(rejection.thrown);
  const known =
    rejection.provider !== undefined && deps.providers.has(rejection.provider) ? rejection.provider : undefined;
  deps.metrics.signIn(known ?? 'unknown', outcomeOf(error));
  // The provider's own message, or the setting that rejects its users. Errors of 500 and above are logged where
  // the response is sent.
  if (status < 500 && (error.cause !== undefined || error.code === 'sign_in_refused')) {
    const { requestId } = context;
    const authTime = authTimeIn(error)['auth-time'];
    const seen = authTime === undefined ? {} : { authTime };
    deps.logger.info({ requestId, provider: known, reason: error.reason, ...seen, err: error }, 'sign-in rejected');
  }
  record(deps, context, {
    event: 'sign-in-refused',
    path: rejection.path,
    code: status,
    reason: error.reason,
    ...(known === undefined ? {} : { provider: known }),
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
  step: { readonly path: string; readonly provider?: string | undefined },
  run: () => Promise<T>,
): Promise<T> {
  try {
    return await run();
  } catch (thrown) {
    auditRejectedSignIn(deps, context, { path: step.path, provider: step.provider, thrown });
    throw thrown;
  }
}

/**
 * A sign-in whose login transaction is consumed: what only its kind knows (a browser's own, an OAuth client's, a
 * device's).
 */
export interface ReturnedLogin extends Omit<CompletedLogin, 'query'> {
  /** Called before the browser is sent to the provider once more. */
  readonly onAgain?: () => void;
  /** Gives the session to the browser, the client or the device. Where it fails, the session is ended. */
  readonly handOver: (session: OpenedSession) => Promise<void>;
  /** The path to redirect to afterwards; absent where `handOver` sends the response. */
  readonly next?: string;
  /** Reports a rejection to the program that waits. It may send the response, too. */
  readonly report?: (description: string) => Promise<void>;
}

/**
 * The end of every sign-in: consumes the login transaction, opens the session, hands it over, audits it, and
 * redirects the browser.
 * @param end.path of the step, for the audit log
 * @param end.consume consumes the login transaction of this state for the browser that asks
 * @throws AppError after it is audited
 */
export async function finishSignIn(
  deps: WebDeps,
  req: Request,
  res: Response,
  end: { readonly path: string; readonly consume: (state: string | undefined) => Promise<ReturnedLogin> },
): Promise<void> {
  const context = contextOf(req);
  const state = parameter(req.query['state']);
  const provider = (await findLogin(deps, state).catch(() => undefined))?.provider;
  let returned: ReturnedLogin | undefined;
  try {
    await signInStep(deps, context, { path: end.path, provider }, async () => {
      returned = await end.consume(state);
      await complete(deps, req, res, returned);
    });
  } catch (thrown) {
    const { report } = returned ?? {};
    if (report === undefined || !(await reportRejection(deps, res, context, { thrown, report }))) throw thrown;
  }
}

async function complete(deps: WebDeps, req: Request, res: Response, returned: ReturnedLogin): Promise<void> {
  const context = contextOf(req);
  const completed = { ...returned, query: queryOf(req.originalUrl) };
  const outcome = await openSession(deps, context, completed);
  if ('again' in outcome) {
    returned.onAgain?.();
    return seeOther(res, outcome.again.href);
  }
  const { session } = outcome;
  const { next } = returned;
  // Where `handOver` sends the response, a cookie could not be set after it.
  if (next === undefined) rememberProvider(deps, res, session.provider);
  await endSessionOnError(deps, session, () => returned.handOver(session));
  if (next !== undefined) rememberProvider(deps, res, session.provider);
  auditSignIn(deps, context, session, completed);
  if (next !== undefined) seeOther(res, next);
}

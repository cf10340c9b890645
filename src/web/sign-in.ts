/**
 * The end of a sign-in: redeem the callback, open the session, and put it on the record. Either a session stands and the
 * record says so, or nothing was created and the record says why.
 */
import { randomBytes } from 'node:crypto';
import { AppError } from '../core/errors.ts';
import { accountOf, type Account, type Identity } from '../core/identity.ts';
import type { LogPosition } from '../core/revocation.ts';
import type { ProviderSignIn } from '../idp/idp.ts';
import type { MintRefusal, NewSession } from '../store/store.ts';
import { nowSeconds, type SignInOutcome, type WebDeps } from './deps.ts';
import { faultOf } from './error-status.ts';
import { providerNamed, type Journey } from './journey.ts';
import { record } from './record.ts';
import type { Visit } from './visit.ts';

/** Without a refresh token the provider cannot be asked again whether the person is still welcome, so it ends soon. */
const UNCHECKED_SESSION_SECONDS = 3600;

export interface OpenedSession {
  readonly id: string;
  readonly account: Account;
  readonly identity: Identity;
  readonly provider: string;
  /** The log's place at which it was opened. */
  readonly position: LogPosition;
  /** Epoch seconds. */
  readonly expiresAt: number;
}

/** 128 bits: session ids stand in URLs and in tokens, and are never accepted as a credential by themselves. */
const newSessionId = (): string => randomBytes(16).toString('base64url');

function newSession(deps: WebDeps, journey: Journey, client: string, person: ProviderSignIn): NewSession {
  const { absolute, idle } = deps.config.sessions;
  const createdAt = nowSeconds(deps);
  const life = person.refreshToken === undefined ? Math.min(absolute, UNCHECKED_SESSION_SECONDS) : absolute;
  return {
    id: newSessionId(),
    account: accountOf(journey.provider, person.subject),
    provider: journey.provider,
    subject: person.subject,
    client,
    identity: person.identity,
    createdAt,
    expiresAt: createdAt + life,
    idleSeconds: idle,
    address: journey.address,
    userAgent: journey.userAgent,
    startedAt: journey.startedAt,
  };
}

function refusedOpening(reason: MintRefusal): AppError {
  const words =
    reason === 'session_revoked'
      ? 'Your sessions were ended by an administrator while you were signing in.'
      : 'Portcullis began anew while you were signing in.';
  return new AppError('sign_in_expired', words, { reason });
}

/**
 * Redeems the provider's callback and opens a session.
 * @param query the callback's query as it came, with its `?`
 * @throws AppError as the identity provider throws it, `sign_in_expired` where a revocation came between, or `store_unavailable`
 */
export async function openSession(
  deps: WebDeps,
  visit: Visit,
  arrival: { readonly journey: Journey; readonly query: string; readonly client: string },
): Promise<OpenedSession> {
  const { journey, query, client } = arrival;
  const provider = providerNamed(deps, journey.provider);
  // Rebuilt from our own public URL: what the Host header says must not decide which redirect_uri is redeemed.
  const callback = new URL(`${deps.config.publicUrl}/callback/${encodeURIComponent(provider.name)}`);
  callback.search = query;
  const person = await provider.finish(callback, journey.challenge);
  const session = newSession(deps, journey, client, person);
  visit.person = { identity: session.identity, account: session.account };
  const secret = person.refreshToken === undefined ? {} : { refreshToken: person.refreshToken };
  const opened = await deps.store.sessions.open(session, secret);
  if (!opened.ok) throw refusedOpening(opened.reason);
  const { id, account, identity, expiresAt } = session;
  return { id, account, identity, provider: provider.name, position: opened.position, expiresAt };
}

/** What comes after the session stands must not fail and leave it behind: on any fault it is ended again. */
export async function orEnd<T>(deps: WebDeps, session: OpenedSession, rest: () => Promise<T>): Promise<T> {
  try {
    return await rest();
  } catch (cause) {
    await deps.gate.revoke({ target: { kind: 'session', session: session.id } }).catch((error: unknown) => {
      deps.logger.error({ err: error, session: session.id }, 'a session of a failed sign-in could not be ended');
    });
    throw cause;
  }
}

/** Puts a finished sign-in on the record. */
export function recordSignIn(deps: WebDeps, visit: Visit, session: OpenedSession, client: string): void {
  deps.metrics.signIn(session.provider, 'ok');
  record(deps, visit, {
    event: 'sign-in',
    path: `/callback/${session.provider}`,
    code: 303,
    provider: session.provider,
    details: { client },
    about: { identity: session.identity, account: session.account, session: session.id },
  });
}

function outcomeOf(error: AppError): SignInOutcome {
  const unavailable = ['provider_unavailable', 'store_unavailable', 'fenced', 'audit_unavailable', 'internal'];
  return unavailable.includes(error.code) ? 'unavailable' : 'refused';
}

/** Puts a sign-in that came to nothing on the record. The provider's name counts only when it is one of ours. */
function recordRefusedSignIn(
  deps: WebDeps,
  visit: Visit,
  refusal: { readonly path: string; readonly provider: string | undefined; readonly thrown: unknown },
): void {
  const { error, status } = faultOf(refusal.thrown);
  const known = refusal.provider !== undefined && deps.providers.has(refusal.provider) ? refusal.provider : undefined;
  deps.metrics.signIn(known ?? 'unknown', outcomeOf(error));
  record(deps, visit, {
    event: 'sign-in-refused',
    path: refusal.path,
    code: status,
    reason: error.reason,
    ...(known === undefined ? {} : { provider: known }),
  });
}

export function recordTooMany(deps: WebDeps, visit: Visit, path: string): void {
  deps.metrics.signIn('unknown', 'refused');
  record(deps, visit, { event: 'sign-in-refused', path, code: 429, reason: 'too_many_sign_ins' });
}

/** Runs one step of a sign-in; what it throws goes on the record and then to the error page. */
export async function signInStep<T>(
  deps: WebDeps,
  visit: Visit,
  step: { readonly path: string; readonly provider?: string | undefined },
  run: () => Promise<T>,
): Promise<T> {
  try {
    return await run();
  } catch (thrown) {
    recordRefusedSignIn(deps, visit, { path: step.path, provider: step.provider, thrown });
    throw thrown;
  }
}

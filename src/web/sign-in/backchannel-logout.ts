/**
 * Back-channel logout: a provider reports that a user has signed out there (OpenID Connect Back-Channel Logout
 * 1.0). The sessions that were opened from the provider's session, or all of the account, are revoked like any
 * others, with kubectl's sessions and open streams.
 *
 * The address is open to everyone:
 * - An attacker who catches a token could keep a user signed out with it, so a token counts once over all replicas
 *   (`jti`), and it is verified before it costs more than a check of its signature.
 * - An attacker floods the address to block the provider's logouts, perhaps behind the same ingress. So only
 *   invalid tokens count against the limit: a provider may sign out a whole company at a time.
 * - An attacker posts anything to alert an operator. So the alert counts only tokens that the provider has signed.
 */
import { Router, type Request, type Response } from 'express';
import { AppError } from '../../core/errors.ts';
import { accountOf, type Account } from '../../core/identity/identity.ts';
import { no } from '../../core/result.ts';
import { targetName, type RevocationTarget } from '../../core/credential/revocation.ts';
import type { ProviderLogout } from '../../idp/idp.ts';
import { logoutTokenSeconds, type LogoutNotice, type LogoutRejection } from '../../idp/logout-token.ts';
import { everyPage, type SessionRecord } from '../../store/store.ts';
import type { WebDeps } from '../dependencies.ts';
import { field, readForm } from '../browser/guards.ts';
import { createRateLimiter, createTally, type RateLimiter, type Tally } from '../../core/rate-limit.ts';
import { record, requestFacts } from '../../http/audit-events.ts';
import { contextOf } from '../../http/request-context.ts';
import { revokeAudited } from '../../revocation/revocation.ts';

/** Invalid tokens from one address. */
const REJECTED_PER_MINUTE = 120;
const PAGE = 100;
/** How many sessions are revoked at the same time. */
const BATCH = 10;

interface Revocation {
  readonly target: RevocationTarget;
  /** The session, where one session is revoked. */
  readonly session?: SessionRecord;
}

/** The id of the artefact that remembers the `jti` of a token. */
const tokenIdOf = (provider: string, { tokenId }: LogoutNotice): string =>
  `backchannel-logout ${JSON.stringify([provider, tokenId])}`;

/** Returns true for exactly one caller, however many replicas receive the same token. */
async function isFirstUse({ store, config }: WebDeps, id: string): Promise<boolean> {
  await store.artefacts.save('ReplayDetection', id, {}, { ttlSeconds: logoutTokenSeconds(config.clockSkew) });
  return store.artefacts.consume('ReplayDetection', id);
}

type SessionQuery = Pick<Parameters<WebDeps['store']['sessions']['list']>[0], 'account' | 'providerSession'>;

async function listAll({ store }: WebDeps, query: SessionQuery): Promise<readonly SessionRecord[]> {
  const found: SessionRecord[] = [];
  for await (const { sessions } of everyPage(store.sessions, { ...query, limit: PAGE })) found.push(...sessions);
  return found;
}

/**
 * The sessions of a provider that put no `sid` into the ID token: each of them may be meant, so all of them are. A
 * delegated session has none either, and ends with its user's own.
 */
const withoutSid = async (deps: WebDeps, account: Account): Promise<readonly SessionRecord[]> =>
  (await listAll(deps, { account })).filter(
    ({ providerSid, delegation }) => providerSid === undefined && delegation === undefined,
  );

/** Returns the revocations for a notice. §2.6: with `sid` that session, with `sub` alone everything of the user. */
async function revocationsOf(
  deps: WebDeps,
  provider: { readonly name: string; readonly reach: ProviderLogout['reach'] },
  { subject, sid }: LogoutNotice,
): Promise<readonly Revocation[]> {
  const { name, reach } = provider;
  if (subject !== undefined && (sid === undefined || reach === 'account')) {
    return [{ target: { kind: 'account', account: accountOf(name, subject) } }];
  }
  if (sid === undefined) return [];
  // Closed first, so that a sign-in that is under way opens no session from it afterwards.
  await deps.store.sessions.closeProviderSession({ provider: name, sid });
  const sessions = [
    ...(await listAll(deps, { providerSession: { provider: name, sid } })),
    ...(subject === undefined ? [] : await withoutSid(deps, accountOf(name, subject))),
  ];
  if (reach === 'account') {
    const accounts = new Set(sessions.map(({ account }) => account));
    return [...accounts].map((account) => ({ target: { kind: 'account', account } }));
  }
  return sessions.map((session) => ({ target: { kind: 'session', session: session.id }, session }));
}

async function revokeOne(
  deps: WebDeps,
  req: Request,
  provider: string,
  { target, session }: Revocation,
): Promise<void> {
  // The provider has ended its own session, so the next sign-in there is a fresh one in any case.
  const about =
    session === undefined
      ? {}
      : { about: { identity: session.identity, account: session.account, session: session.id } };
  const happening = { path: req.path, reason: 'signed_out_at_provider', provider, ...about };
  const order = { target, ...(session === undefined ? {} : { ended: true }) };
  const result = await revokeAudited(deps, order, requestFacts(contextOf(req), happening));
  record(deps, contextOf(req), {
    ...happening,
    event: 'logout',
    code: 200,
    details: {
      target: targetName(target),
      complete: String(result.complete),
      sessions: String(result.sessions),
      'streams-closed': String(result.streamsClosed),
    },
  });
}

async function revokeAll(
  deps: WebDeps,
  req: Request,
  provider: string,
  revocations: readonly Revocation[],
): Promise<void> {
  const outcomes: PromiseSettledResult<void>[] = [];
  for (let index = 0; index < revocations.length; index += BATCH) {
    const batch = revocations.slice(index, index + BATCH);
    outcomes.push(...(await Promise.allSettled(batch.map((revocation) => revokeOne(deps, req, provider, revocation)))));
  }
  const failure = outcomes.find((outcome) => outcome.status === 'rejected');
  if (failure !== undefined) throw failure.reason;
  if (revocations.length > 0) return;
  const happening = { path: req.path, code: 200, reason: 'signed_out_at_provider', provider };
  record(deps, contextOf(req), { event: 'logout', ...happening, details: { sessions: '0' } });
}

interface Rejection extends Omit<LogoutRejection, 'reason'> {
  readonly reason: LogoutRejection['reason'] | 'logout_token_missing' | 'logout_token_replayed';
}

/** §2.8: 400 both for an invalid request and for a failed logout; the provider may send another token then. */
function sendRejection(deps: WebDeps, req: Request, res: Response, provider: string, rejection: Rejection): void {
  const { reason, clockSkew, subject } = rejection;
  const details = {
    ...(clockSkew === undefined ? {} : { 'clock-skew': String(clockSkew) }),
    ...(subject === undefined
      ? {}
      : { target: targetName({ kind: 'account', account: accountOf(provider, subject) }) }),
  };
  record(deps, contextOf(req), { event: 'logout-refused', path: req.path, code: 400, provider, reason, details });
  res.status(400).json({ error: 'invalid_request', error_description: 'The logout token was not accepted.' });
}

function sendFailure(
  deps: WebDeps,
  req: Request,
  res: Response,
  { provider, cause, verified }: { provider: string; cause: unknown; verified: boolean },
): void {
  deps.metrics.logoutRefused(provider, verified ? 'not_carried_out' : 'not_verified');
  const reason = cause instanceof AppError ? cause.reason : 'internal';
  const { requestId } = contextOf(req);
  deps.logger.error({ requestId, reason, err: cause }, 'back-channel logout failed');
  record(deps, contextOf(req), { event: 'logout-refused', path: req.path, code: 400, provider, reason });
  const message = 'The logout is not complete. Send it again in a moment.';
  res.status(400).json({ error: 'temporarily_unavailable', error_description: message });
}

function sendTooManyRequests(
  deps: WebDeps,
  req: Request,
  res: Response,
  { provider, wait }: { provider: string; wait: number },
): void {
  record(deps, contextOf(req), {
    event: 'logout-refused',
    path: req.path,
    code: 429,
    provider,
    reason: 'too_many_refused',
  });
  res.status(429).set('Retry-After', String(wait)).json({ error: 'temporarily_unavailable' });
}

/** Applies a verified notice. @returns false where the token was used before */
async function handleRevocation(
  deps: WebDeps,
  req: Request,
  provider: { readonly name: string; readonly reach: ProviderLogout['reach'] },
  notice: LogoutNotice,
): Promise<boolean> {
  const id = tokenIdOf(provider.name, notice);
  if (!(await isFirstUse(deps, id))) return false;
  try {
    await revokeAll(deps, req, provider.name, await revocationsOf(deps, provider, notice));
    return true;
  } catch (cause) {
    // The logout failed, so the same token may be sent again. Where the store is unavailable this cannot be
    // recorded, and the provider has to issue another one.
    await deps.store.artefacts.destroy('ReplayDetection', id).catch(() => undefined);
    throw cause;
  }
}

/** Returns the token of the form; empty for a body that is too large or is no form. */
async function tokenOf(req: Request, res: Response): Promise<string> {
  try {
    await readForm(req, res);
  } catch {
    return '';
  }
  return field(req, 'logout_token');
}

const tokenMissing = no({ reason: 'logout_token_missing' } as const);

/**
 * Counts each rejection, and logs those of tokens that the provider has signed once a minute, so that a flood from
 * the same address hides none.
 */
function countRejection(deps: WebDeps, tally: Tally, provider: string, { reason, clockSkew }: Rejection): void {
  deps.metrics.logoutRefused(provider, reason);
  const times = clockSkew === undefined ? undefined : tally.add(`${provider} ${reason}`);
  if (times === undefined) return;
  const fields = { provider, reason, times, clockSkewSeconds: clockSkew };
  deps.logger.warn(fields, 'logout token rejected for its time, the user stays signed in');
}

function receive(deps: WebDeps, limit: RateLimiter, tally: Tally) {
  return async (req: Request, res: Response): Promise<void> => {
    const { name, logout } = providerOf(deps, req);
    const { address } = contextOf(req);
    const reject = (rejection: Rejection): void => {
      countRejection(deps, tally, name, rejection);
      const wait = limit.take(address);
      if (wait > 0) return sendTooManyRequests(deps, req, res, { provider: name, wait });
      sendRejection(deps, req, res, name, rejection);
    };
    let verified = false;
    try {
      if (deps.audit.blocked) throw new AppError('audit_unavailable', 'The audit log cannot be written right now.');
      const token = await tokenOf(req, res);
      const read = token === '' ? tokenMissing : await logout.readToken(token);
      if (!read.ok) return reject(read.reason);
      verified = true;
      const first = await handleRevocation(deps, req, { name, reach: logout.reach }, read.value);
      if (!first) return reject({ reason: 'logout_token_replayed' });
      res.status(200).end();
    } catch (cause) {
      sendFailure(deps, req, res, { provider: name, cause, verified });
    }
  };
}

/** @throws AppError `not_found` where there is no such provider, or it is configured without logouts */
function providerOf(deps: WebDeps, req: Request): { readonly name: string; readonly logout: ProviderLogout } {
  const provider = deps.providers.get(String(req.params['name']));
  if (provider?.logout === undefined || provider.logout.reach === 'off') {
    throw new AppError('not_found', 'No logouts are accepted at this address.', { reason: 'backchannel_logout_off' });
  }
  return { name: provider.name, logout: provider.logout };
}

/** `POST /backchannel-logout/:name`. The web module sets `Cache-Control: no-store`. */
export function backchannelLogout(deps: WebDeps): Router {
  const limit = createRateLimiter(REJECTED_PER_MINUTE, deps.clock);
  const router = Router({ caseSensitive: true, strict: true });
  router.post('/backchannel-logout/:name', receive(deps, limit, createTally(deps.clock)));
  return router;
}

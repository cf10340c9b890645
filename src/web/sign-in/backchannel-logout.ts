/**
 * A provider tells us that somebody has signed out there (OpenID Connect Back-Channel Logout 1.0). What was opened in that session, or all of
 * the account, is revoked as any other: kubectl's sessions and open streams included.
 *
 * Threats: the address is open to the world. A token counts once over all replicas (`jti`), else who caught one could keep somebody signed
 * out; and it is verified before it costs anything but the signature's time. Attempts are counted behind that, and only of tokens that are no
 * good: a provider may sign out a whole company, and behind an ingress it has the address of whoever sends rubbish to keep its logouts away.
 * And a stranger may post what it likes without an operator being called: what the alert counts is said of tokens that the provider has signed.
 */
import { Router, type Request, type Response } from 'express';
import { AppError } from '../../core/errors.ts';
import { accountOf, type Account } from '../../core/identity/identity.ts';
import { no } from '../../core/result.ts';
import type { RevocationTarget } from '../../core/credential/revocation.ts';
import type { ProviderLogout } from '../../idp/idp.ts';
import { logoutTokenSeconds, type LogoutNotice, type LogoutRejection } from '../../idp/logout-token.ts';
import type { SessionRecord } from '../../store/store.ts';
import type { WebDeps } from '../dependencies.ts';
import { field, readForm } from '../browser/guards.ts';
import { createRateLimiter, createTally, type RateLimiter, type Tally } from '../../core/rate-limit.ts';
import { record } from '../../http/audit-events.ts';
import { targetName } from '../../admin/revocation-request.ts';
import { contextOf } from '../../http/request-context.ts';

/** Tokens that are no good, from one address. */
const REJECTED_PER_MINUTE = 120;
const PAGE = 100;
/** How many sessions are ended at the same time. */
const BATCH = 10;

interface Revocation {
  readonly target: RevocationTarget;
  /** Of a session's end. */
  readonly session?: SessionRecord;
}

/** The artefact under which a token's `jti` is remembered. */
const tokenIdOf = (provider: string, { tokenId }: LogoutNotice): string =>
  `backchannel-logout ${JSON.stringify([provider, tokenId])}`;

/** Exactly one of any number of replicas that are given the same token gets true. */
async function isFirstUse({ store, config }: WebDeps, id: string): Promise<boolean> {
  await store.artefacts.save('ReplayDetection', id, {}, { ttlSeconds: logoutTokenSeconds(config.clockSkew) });
  return store.artefacts.consume('ReplayDetection', id);
}

type SessionQuery = Pick<Parameters<WebDeps['store']['sessions']['list']>[0], 'account' | 'providerSession'>;

async function listAll({ store }: WebDeps, query: SessionQuery): Promise<readonly SessionRecord[]> {
  const found: SessionRecord[] = [];
  let cursor: string | undefined;
  do {
    const page = await store.sessions.list({ ...query, limit: PAGE, ...(cursor === undefined ? {} : { cursor }) });
    found.push(...page.sessions);
    cursor = page.cursor;
  } while (cursor !== undefined);
  return found;
}

/** Of a provider that put no `sid` into the ID token: any of these may be meant, so all of them are. */
const withoutSid = async (deps: WebDeps, account: Account): Promise<readonly SessionRecord[]> =>
  (await listAll(deps, { account })).filter(({ providerSid }) => providerSid === undefined);

/** What a notice ends. §2.6: with `sid` that session, with `sub` alone everything of the person. */
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
  // First, so that nobody who stands between the provider's page and ours opens one behind our back.
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
  // The provider has ended its own session, so the next sign-in there is a fresh one by itself.
  const result = await deps.guard.revoke({ target, ...(session === undefined ? {} : { ended: true }) });
  record(deps, contextOf(req), {
    event: 'logout',
    path: req.path,
    code: 200,
    reason: 'signed_out_at_provider',
    provider,
    details: {
      target: targetName(target),
      complete: String(result.complete),
      sessions: String(result.sessions),
      'streams-closed': String(result.streamsClosed),
    },
    ...(session === undefined
      ? {}
      : { about: { identity: session.identity, account: session.account, session: session.id } }),
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

/** §2.8: 400 where the request is no good and where the logout failed alike; the provider may send another token then. */
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
  deps.logger.error({ requestId, reason, err: cause }, 'a logout at a provider could not be carried out');
  record(deps, contextOf(req), { event: 'logout-refused', path: req.path, code: 400, provider, reason });
  const message = 'The logout could not be carried out in full. Send it again in a moment.';
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

/** Acts on a notice that was verified. @returns false where it came before */
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
    // Not done, so the same token may come again; where the store is away it may not, and the provider has to make another one.
    await deps.store.artefacts.destroy('ReplayDetection', id).catch(() => undefined);
    throw cause;
  }
}

/** The token of the form. A body that is too large or no form is as good as none. */
async function tokenOf(req: Request, res: Response): Promise<string> {
  try {
    await readForm(req, res);
  } catch {
    return '';
  }
  return field(req, 'logout_token');
}

const tokenMissing = no({ reason: 'logout_token_missing' } as const);

/** Counts each, and logs those that the provider has signed, once a minute: whoever floods the address from which it comes hides none of them. */
function countRejection(deps: WebDeps, tally: Tally, provider: string, { reason, clockSkew }: Rejection): void {
  deps.metrics.logoutRefused(provider, reason);
  const times = clockSkew === undefined ? undefined : tally.add(`${provider} ${reason}`);
  if (times === undefined) return;
  const fields = { provider, reason, times, clockSkewSeconds: clockSkew };
  deps.logger.warn(fields, 'a logout token was refused for its time, so a user who signed out there stays signed in');
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
      if (deps.audit.blocked) throw new AppError('audit_unavailable', 'The audit record cannot be written right now.');
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

/** @throws AppError `not_found` where there is no such provider, or its logouts are not wanted here */
function providerOf(deps: WebDeps, req: Request): { readonly name: string; readonly logout: ProviderLogout } {
  const provider = deps.providers.get(String(req.params['name']));
  if (provider?.logout === undefined || provider.logout.reach === 'off') {
    throw new AppError('not_found', 'No logouts are taken at this address.', { reason: 'backchannel_logout_off' });
  }
  return { name: provider.name, logout: provider.logout };
}

/** `POST /backchannel-logout/:name`. `Cache-Control: no-store` comes from the room. */
export function backchannelLogout(deps: WebDeps): Router {
  const limit = createRateLimiter(REJECTED_PER_MINUTE, deps.clock);
  const router = Router({ caseSensitive: true, strict: true });
  router.post('/backchannel-logout/:name', receive(deps, limit, createTally(deps.clock)));
  return router;
}

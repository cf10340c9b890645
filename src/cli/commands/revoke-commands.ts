/**
 * `revoke` and `lock`, for admins.
 */
import { randomUUID } from 'node:crypto';
import { AppError } from '../../core/errors.ts';
import { adminClient, callAdmin, type SendAdmin } from '../http/admin-client.ts';
import { locateEntry, readSession, type CacheEntry } from '../session/cache.ts';
import type { CliContext } from '../context.ts';
import { whichServer, type ServerOptions } from '../session/which-server.ts';
import { pollUntilComplete, replicaLines, sendRevocation, type Polled } from './revocation-progress.ts';
import {
  confirmMany,
  lockTarget,
  reasonOf,
  revokeTarget,
  scopeText,
  showReceipt,
  type LockOptions,
  type RevokeOptions,
  type Target,
} from './revocation-request.ts';
import { defined } from '../../core/defined.ts';

/**
 * Revokes and shows the receipt. Polls a revocation that is not complete for a while.
 * @throws AppError `conflict` when it is written but not proven by then: a script must not take that for done
 */
export async function revoke(context: CliContext, options: ServerOptions & RevokeOptions): Promise<void> {
  await end(context, options, revokeTarget(options));
}

/** Does the same as `revoke --account ACCOUNT --lock`. @throws AppError `bad_request` where one of them is missing */
export async function lock(
  context: CliContext,
  account: string | undefined,
  options: ServerOptions & LockOptions,
): Promise<void> {
  await end(context, options, lockTarget(account, options));
}

/** Returns what the server says that it would cut. A server or store that cannot say so stops no revocation. */
async function scopeOf(send: SendAdmin, query: Record<string, string>): Promise<string> {
  try {
    const scope = await callAdmin(send, 'getRevocationScope', { query });
    return `${scopeText(scope)}, and ${scope.openHere} requests and streams at the server that responds`;
  } catch (error) {
    if (!(error instanceof AppError) || error.code === 'forbidden' || error.code === 'unauthenticated') throw error;
    return 'how many they are is not known now';
  }
}

async function end(context: CliContext, options: ServerOptions & RevokeOptions, target: Target): Promise<void> {
  const reason = reasonOf(options);
  const { approval, force, yes } = options;
  const server = whichServer(context.environment, options);
  const entry = locateEntry(context.environment.cacheDir, server);
  const send = adminClient(context, server);
  warnIfOwnAccount(context, entry, target);
  if (yes !== true) {
    await confirmMany(context, target, ({ provider }) =>
      scopeOf(send, provider === undefined ? { all: 'true' } : { provider }),
    );
  }
  // Every try of this command has the same id, so that a token renewed on the way does not revoke twice.
  const requestId = randomUUID();
  const given = { ...defined({ approval }), ...(force && { force }) };
  const json = { ...target, reason, requestId, ...given };
  const tracked = {
    context,
    report: replicaLines(context),
    poll: (id: string) => poll(send, id),
  };
  const response = await sendRevocation(tracked, requestId, (onSignIn) =>
    callAdmin(send, 'createRevocation', { json, onSignIn }),
  );
  const receipt = response.complete ? response : await pollUntilComplete(tracked, response);
  await showReceipt(context, options, receipt, { target, again: 'check again: portcullis replicas' });
}

async function poll(send: SendAdmin, id: string): Promise<Polled> {
  try {
    return await callAdmin(send, 'getRevocation', { params: { id } });
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    if (error.code === 'not_found') return 'unknown';
    return error.code === 'upstream_unavailable' ? 'unavailable' : 'refused';
  }
}

/** Warns before the revocation, and does not ask: a user whose laptop is stolen must not have to confirm. */
function warnIfOwnAccount(context: CliContext, entry: CacheEntry, target: Target): void {
  const user = readSession(entry)?.user;
  if (user === undefined) return;
  const isOwnAccount =
    target['all'] === true ||
    target['account'] === user.account ||
    target['username'] === user.username ||
    target['session'] === user.sessionId ||
    user.account.startsWith(`${String(target['provider'])}/`);
  if (!isOwnAccount) return;
  context.notify(
    target['lock'] === true
      ? 'this is your own account: you will be signed out and locked out, until another admin or the server’s own shell unlocks it'
      : 'this includes you: your own session ends too',
  );
}

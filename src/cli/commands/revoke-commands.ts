/**
 * `revoke` and `lock`, for admins.
 */
import { randomUUID } from 'node:crypto';
import { accountNamed } from '../../core/credential/confirmation.ts';
import { AppError } from '../../core/errors.ts';
import { adminClient, callAdmin, liveSessionId, type SendAdmin } from '../http/admin-client.ts';
import { locateEntry, readSession } from '../session/cache.ts';
import type { CliContext } from '../context.ts';
import { whichServer, type ServerOptions } from '../session/which-server.ts';
import { pollUntilComplete, replicaLines, sendRevocation, type Polled } from './revocation-progress.ts';
import {
  confirmRevocation,
  lockTarget,
  reasonOf,
  revokeTarget,
  showReceipt,
  type LockOptions,
  type RevokeOptions,
  type Scope,
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

/** A server that takes longer does not delay the revocation any more. */
const SCOPE_TIMEOUT_MS = 5000;

/** Returns what the server says that it would cut. @throws AppError */
function scopeOf(send: SendAdmin, target: Target): Promise<Scope> {
  const { session, username, provider, all } = target;
  const named = defined({ session, account: accountNamed(target), username, provider, all });
  const query = Object.fromEntries(Object.entries<string | true>(named).map(([key, value]) => [key, String(value)]));
  return callAdmin(send, 'getRevocationScope', { query, timeoutMs: SCOPE_TIMEOUT_MS });
}

async function end(context: CliContext, options: ServerOptions & RevokeOptions, typed: Target): Promise<void> {
  const reason = reasonOf(options);
  const { approval, force } = options;
  const server = whichServer(context.environment, options);
  const entry = locateEntry(context.environment.cacheDir, server);
  const send = adminClient(context, server);
  const { session } = typed;
  const target = typeof session === 'string' ? { ...typed, session: await liveSessionId(send, session) } : typed;
  const self = readSession(entry)?.user;
  await confirmRevocation(context, { target, options, self, readScope: () => scopeOf(send, target) });
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
  await showReceipt(context, options, receipt, {
    target,
    server: server.url,
    again: 'check again: portcullis replicas',
  });
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

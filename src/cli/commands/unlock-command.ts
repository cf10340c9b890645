/** `unlock`, for admins. */
import { adminClient, callAdmin } from '../http/admin-client.ts';
import { cliError } from '../errors.ts';
import type { CliContext } from '../context.ts';
import { plainText } from '../terminal/plain-text.ts';
import { whichServer, type ServerOptions } from '../session/which-server.ts';

export interface UnlockOptions extends ServerOptions {
  readonly all?: true;
  /** Lifts the fresh sign-in that a revocation requires, instead of a lock. */
  readonly fresh?: true;
  readonly reason?: string;
}

/**
 * @throws AppError `bad_request` where the account or the reason is missing, `not_found` where the account is not
 *   locked
 */
export async function unlock(context: CliContext, account: string | undefined, options: UnlockOptions): Promise<void> {
  const { reason, all } = options;
  if (all === true)
    throw cliError(
      'bad_request',
      '--all is for the server’s own shell, with --config.',
      'name the account: portcullis unlock PROVIDER/SUBJECT --reason …',
    );
  if (account === undefined || reason === undefined) {
    const next = 'portcullis unlock PROVIDER/SUBJECT --reason …; portcullis locks lists the locked accounts';
    throw cliError('bad_request', 'An account and a reason are needed.', next);
  }
  const send = adminClient(context, whichServer(context.environment, options));
  const asked = { params: { account }, query: { reason } };
  if (options.fresh === true) {
    await callAdmin(send, 'liftFreshSignIn', asked);
    context.notify(`${plainText(account, 512)} can sign in without authenticating again, until it is revoked again`);
    return;
  }
  await callAdmin(send, 'deleteLock', asked);
  context.notify(`${plainText(account, 512)} is unlocked and can sign in again`);
}

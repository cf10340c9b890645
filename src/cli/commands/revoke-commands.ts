/**
 * `revoke` and `lock`, for admins.
 */
import { randomUUID } from 'node:crypto';
import { locateEntry, readSession, type CacheEntry } from '../session/cache.ts';
import { cliError } from '../errors.ts';
import type { CliContext } from '../context.ts';
import { printResult, type OutputOptions } from '../terminal/output.ts';
import { plainText } from '../terminal/plain-text.ts';
import { describeReceipt } from '../terminal/receipt.ts';
import { whichServer, type ServerOptions } from '../session/which-server.ts';
import type { Receipt } from './admin-response.ts';
import { pollUntilComplete, replicaLines, sendRevocation } from './revocation-progress.ts';

export interface LockOptions extends ServerOptions, OutputOptions {
  readonly reason: string;
  readonly approval?: string;
  /** Locks an account that was never seen, too. */
  readonly force?: true;
}

export interface RevokeOptions extends LockOptions {
  readonly session?: string;
  readonly account?: string;
  readonly username?: string;
  readonly provider?: string;
  readonly workload?: string;
  readonly subject?: string;
  readonly all?: true;
  readonly lock?: true;
}

/**
 * Revokes and shows the receipt. Polls a revocation that is not complete for a while.
 * @throws AppError `conflict` when it is written but not proven by then: a script must not take that for done
 */
export function revoke(context: CliContext, options: RevokeOptions): Promise<void> {
  const { lock: locked } = options;
  return send(context, options, { ...targetOf(options), ...(locked === undefined ? {} : { lock: locked }) });
}

/** Does the same as `revoke --account ACCOUNT --lock`. */
export function lock(context: CliContext, account: string, options: LockOptions): Promise<void> {
  return send(context, options, { account, lock: true });
}

type Target = Readonly<Record<string, string | true>>;

function targetOf(options: RevokeOptions): Target {
  const { session, account, username, provider, workload, subject, all } = options;
  const named = { session, account, username, provider, workload, all };
  const given = Object.entries(named).filter((entry): entry is [string, string | true] => entry[1] !== undefined);
  if (given.length !== 1) {
    const next = 'give exactly one of --session, --account, --username, --provider, --workload, --all';
    throw cliError('bad_request', 'A revocation needs exactly one target.', next);
  }
  if ((workload === undefined) !== (subject === undefined)) {
    throw cliError('bad_request', 'A workload needs its rule and its subject.', 'give --workload RULE --subject S');
  }
  return { ...Object.fromEntries(given), ...(subject === undefined ? {} : { subject }) };
}

async function send(context: CliContext, options: LockOptions, target: Target): Promise<void> {
  const entry = locateEntry(context.environment.cacheDir, whichServer(context.environment, options));
  warnIfOwnAccount(context, entry, target);
  const { reason, approval, force } = options;
  // Every try of this command has the same id, so that a token renewed on the way does not revoke twice.
  const json = { ...target, reason, requestId: randomUUID(), ...(approval && { approval }), ...(force && { force }) };
  const tracked = { context, entry, report: replicaLines(context) };
  const response = await sendRevocation(tracked, { method: 'POST', path: 'revocations', json });
  const receipt = response.complete ? response : await pollUntilComplete(tracked, response);
  await printResult(context, options, receipt, () => describeReceipt(receipt, context.columns));
  notifyNextStep(context, receipt, target);
  if (receipt.complete) return;
  const missing = plainText(receipt.missing?.join(', ') || 'unknown', 1000);
  throw cliError(
    'conflict',
    `The revocation is written and being applied, but not proven yet. Missing: ${missing}.`,
    'check again: portcullis replicas; a missing replica rejects every request once its lease has lapsed',
    { reason: 'revocation_not_proven' },
  );
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

function notifyNextStep(context: CliContext, receipt: Receipt, target: Target): void {
  if (receipt.complete && receipt.sessions === 0 && target['session'] === undefined) {
    context.notify('no session has this name: check the spelling');
  }
  if (!receipt.canSignInAgain) return;
  const { account, provider, all } = target;
  if (provider !== undefined || all !== undefined) {
    return context.notify('all users can sign in again; to keep one out: portcullis lock');
  }
  const name = typeof account === 'string' ? plainText(account, 512) : 'PROVIDER/SUBJECT';
  context.notify(`the user can sign in again; to prevent that: portcullis lock ${name} --reason …`);
}

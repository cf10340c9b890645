/**
 * `revoke` and `lock`, for admins.
 */
import { randomUUID } from 'node:crypto';
import { revocationScopeSchema } from '../../core/admin-api/responses.ts';
import { AppError } from '../../core/errors.ts';
import { sendAdminRequest } from '../http/admin-api.ts';
import { locateEntry, readSession, type CacheEntry } from '../session/cache.ts';
import { cliError, notProven } from '../errors.ts';
import type { CliContext } from '../context.ts';
import { printResult, type OutputOptions } from '../terminal/output.ts';
import { plainText } from '../terminal/plain-text.ts';
import { describeReceipt } from '../terminal/receipt.ts';
import { whichServer, type ServerOptions } from '../session/which-server.ts';
import { parseResponse, type Receipt } from './admin-response.ts';
import { pollUntilComplete, replicaLines, sendRevocation } from './revocation-progress.ts';

export interface LockOptions extends ServerOptions, OutputOptions {
  readonly reason?: string;
  readonly approval?: string;
  /** Locks an account of which nothing is known, too. */
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
  /** Asks for no confirmation. */
  readonly yes?: true;
}

/**
 * Revokes and shows the receipt. Polls a revocation that is not complete for a while.
 * @throws AppError `conflict` when it is written but not proven by then: a script must not take that for done
 */
export async function revoke(context: CliContext, options: RevokeOptions): Promise<void> {
  await end(context, options, { ...targetOf(options), ...(options.lock && { lock: options.lock }) });
}

/** Does the same as `revoke --account ACCOUNT --lock`. @throws AppError `bad_request` where one of them is missing */
export async function lock(context: CliContext, account: string | undefined, options: LockOptions): Promise<void> {
  if (account === undefined) {
    throw incomplete('A lock needs an account', 'name it: portcullis lock PROVIDER/SUBJECT', options);
  }
  await end(context, options, { account, lock: true });
}

type Target = Readonly<Record<string, string | true>>;

function targetOf(options: RevokeOptions): Target {
  const { session, account, username, provider, workload, subject, all } = options;
  const named = { session, account, username, provider, workload, all };
  const given = Object.entries(named).filter((entry): entry is [string, string | true] => entry[1] !== undefined);
  if (given.length !== 1) {
    const next = 'give exactly one of --session, --account, --username, --provider, --workload, --all';
    throw incomplete('A revocation needs exactly one target', next, options);
  }
  if ((workload === undefined) !== (subject === undefined)) {
    throw incomplete('A workload needs its rule and its subject', 'give --workload RULE --subject S', options);
  }
  return { ...Object.fromEntries(given), ...(subject === undefined ? {} : { subject }) };
}

/**
 * Asks before every session of all users, or of all users of a provider, is ended: it cannot be taken back, and a
 * command line that was recalled from the history is easily the wrong one.
 * @throws AppError `bad_request` for all users without a terminal, because a script must not wait for an answer;
 *   `conflict` where the answer is not yes
 */
async function confirmMany(context: CliContext, entry: CacheEntry, { all, provider }: Target): Promise<void> {
  if (all === undefined && provider === undefined) return;
  const whose = all === undefined ? `all users of ${plainText(String(provider), 63)}` : 'all users';
  if (context.ask === undefined) {
    if (all === undefined) return;
    throw cliError('bad_request', `This ends every session of ${whose}, and there is no terminal to ask.`, 'add --yes');
  }
  const query = all === undefined ? { provider: String(provider) } : { all: 'true' };
  context.notify(`this ends every session of ${whose}: ${await scopeText(context, entry, query)}`);
  if ((await context.ask('Type yes to go on: ')) === 'yes') return;
  throw cliError('conflict', 'Nothing was revoked.', 'type yes, or add --yes', { reason: 'not_confirmed' });
}

/** Returns what the server says that it would cut. A server or store that cannot say so stops no revocation. */
async function scopeText(context: CliContext, entry: CacheEntry, query: Record<string, string>): Promise<string> {
  try {
    const path = `revocation-scope?${new URLSearchParams(query).toString()}`;
    const { body } = await sendAdminRequest(context, entry, { method: 'GET', path });
    const { sessions, users, more, openHere } = parseResponse(revocationScopeSchema, body);
    const many = more ? `more than ${sessions}` : String(sessions);
    return `${many} sessions of ${users} users, and ${openHere} requests and streams at the server that responds`;
  } catch (error) {
    if (!(error instanceof AppError) || error.code === 'forbidden' || error.code === 'unauthenticated') throw error;
    return 'how many they are is not known now';
  }
}

/** Returns the error about what is missing, with the reason where that is missing too: one go, not two. */
function incomplete(what: string, next: string, { reason }: LockOptions): AppError {
  return reason === undefined
    ? cliError('bad_request', `${what}, and a reason for the audit log.`, `${next}; and --reason TEXT`)
    : cliError('bad_request', `${what}.`, next);
}

function reasonOf({ reason }: LockOptions): string {
  if (reason !== undefined) return reason;
  throw cliError('bad_request', 'A reason for the audit log is needed.', 'give --reason TEXT, for example a ticket');
}

async function end(context: CliContext, options: RevokeOptions, target: Target): Promise<void> {
  const reason = reasonOf(options);
  const { approval, force, yes } = options;
  const entry = locateEntry(context.environment.cacheDir, whichServer(context.environment, options));
  warnIfOwnAccount(context, entry, target);
  if (yes !== true) await confirmMany(context, entry, target);
  // Every try of this command has the same id, so that a token renewed on the way does not revoke twice.
  const given = { ...(approval === undefined ? {} : { approval }), ...(force && { force }) };
  const json = { ...target, reason, requestId: randomUUID(), ...given };
  const tracked = { context, entry, report: replicaLines(context) };
  const response = await sendRevocation(tracked, { method: 'POST', path: 'revocations', json });
  const receipt = response.complete ? response : await pollUntilComplete(tracked, response);
  await printResult(context, options, receipt, () => describeReceipt(receipt, context.columns));
  notifyNextStep(context, receipt, target);
  if (receipt.complete) return;
  const next = 'check again: portcullis replicas; a missing replica rejects every request once its lease has lapsed';
  throw notProven(receipt.missing ?? [], next);
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

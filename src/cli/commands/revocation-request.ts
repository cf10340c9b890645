/**
 * What `revoke` and `lock` ask for and show, whether the admin API does it or the server's own shell. Loads no client:
 * the image has not all of its libraries.
 */
import { cliError, notProven } from '../errors.ts';
import type { CliContext } from '../context.ts';
import { printResult, type OutputOptions } from '../terminal/output.ts';
import { plainText } from '../terminal/plain-text.ts';
import { describeReceipt } from '../terminal/receipt.ts';
import type { Receipt } from './admin-response.ts';
import { defined } from '../../core/defined.ts';

export interface LockOptions extends OutputOptions {
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

/** The fields of a request that name its target, with `lock`. */
export type Target = Readonly<Record<string, string | true>>;

/** @throws AppError `bad_request` where there is not exactly one target */
export function revokeTarget(options: RevokeOptions): Target {
  const { session, account, username, provider, workload, subject, all, lock } = options;
  const named = { session, account, username, provider, workload, all };
  const given = Object.entries(named).filter((entry): entry is [string, string | true] => entry[1] !== undefined);
  if (given.length !== 1) {
    const next = 'give exactly one of --session, --account, --username, --provider, --workload, --all';
    throw incomplete('A revocation needs exactly one target', next, options);
  }
  if ((workload === undefined) !== (subject === undefined)) {
    throw incomplete('A workload needs its rule and its subject', 'give --workload RULE --subject S', options);
  }
  return { ...Object.fromEntries(given), ...defined({ subject }), ...(lock && { lock }) };
}

/** @throws AppError `bad_request` where the account is missing */
export function lockTarget(account: string | undefined, options: LockOptions): Target {
  if (account !== undefined) return { account, lock: true };
  throw incomplete('A lock needs an account', 'name it: portcullis lock PROVIDER/SUBJECT', options);
}

/** Returns the error about what is missing, with the reason where that is missing too: one go, not two. */
function incomplete(what: string, next: string, { reason }: LockOptions): Error {
  return reason === undefined
    ? cliError('bad_request', `${what}, and a reason for the audit log.`, `${next}; and --reason TEXT`)
    : cliError('bad_request', `${what}.`, next);
}

/** @throws AppError `bad_request` where it is missing */
export function reasonOf({ reason }: LockOptions): string {
  if (reason !== undefined) return reason;
  throw cliError('bad_request', 'A reason for the audit log is needed.', 'give --reason TEXT, for example a ticket');
}

/**
 * Asks before every session of all users, or of all users of a provider, is ended: it cannot be taken back, and a
 * command line that was recalled from the history is easily the wrong one.
 * @param scopeOf says what it would end
 * @throws AppError `bad_request` for all users without a terminal, because a script must not wait for an answer;
 *   `conflict` where the answer is not yes
 */
export async function confirmMany(
  context: CliContext,
  { all, provider }: Target,
  scopeOf: (of: { readonly provider?: string }) => Promise<string>,
): Promise<void> {
  if (all === undefined && provider === undefined) return;
  const whose = all === undefined ? `all users of ${plainText(String(provider), 63)}` : 'all users';
  if (context.ask === undefined) {
    if (all === undefined) return;
    throw cliError('bad_request', `This ends every session of ${whose}, and there is no terminal to ask.`, 'add --yes');
  }
  const scope = await scopeOf(all === undefined ? { provider: String(provider) } : {});
  context.notify(`this ends every session of ${whose}: ${scope}`);
  if ((await context.ask('Type yes to go on: ')) === 'yes') return;
  throw cliError('conflict', 'Nothing was revoked.', 'type yes, or add --yes', { reason: 'not_confirmed' });
}

interface Scope {
  readonly sessions: number;
  readonly users: number;
  /** There are more than were counted. */
  readonly more: boolean;
}

export const scopeText = ({ sessions, users, more }: Scope): string =>
  `${more ? `more than ${sessions}` : String(sessions)} sessions of ${users} users`;

/**
 * Shows the receipt, and what to do next.
 * @param again what to do to see whether it is proven by now
 * @throws AppError `conflict` where it is written and not proven: a script must not take that for done
 */
export async function showReceipt(
  context: CliContext,
  options: OutputOptions,
  receipt: Receipt,
  { target, again }: { readonly target: Target; readonly again: string },
): Promise<void> {
  await printResult(context, options, receipt, () => describeReceipt(receipt, context.columns));
  notifyNextStep(context, receipt, target);
  if (receipt.complete) return;
  const next = `${again}; a missing replica rejects every request once its lease has lapsed`;
  throw notProven(receipt.missing ?? [], next);
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

/**
 * What `revoke` and `lock` ask for and show, whether the admin API does it or the server's own shell. Loads no client:
 * the image has not all of its libraries.
 */
import { accountNamed, confirmationOf, type Self } from '../../core/credential/confirmation.ts';
import { AppError } from '../../core/errors.ts';
import { cliError, exitCodeOf, notProven } from '../errors.ts';
import type { CliContext } from '../context.ts';
import { printResult, type OutputOptions } from '../terminal/output.ts';
import { plainText } from '../terminal/plain-text.ts';
import { counted, describeReceipt } from '../terminal/receipt.ts';
import type { Receipt } from './admin-response.ts';
import { defined } from '../../core/defined.ts';

export interface LockOptions extends OutputOptions {
  readonly reason?: string;
  readonly approval?: string;
  /** Goes on for an account of which nothing is known, too. */
  readonly force?: true;
  /** Asks for no confirmation. */
  readonly yes?: true;
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

/** What a revocation would end, as far as it is known before. An earlier server says less. */
export interface Scope {
  readonly sessions: number;
  /** How many of them are delegated. */
  readonly delegated?: number | undefined;
  readonly users: number;
  /** There are more than were counted. */
  readonly more: boolean;
  /** Requests and streams at the server that responds; absent on the server's own shell, which serves none. */
  readonly openHere?: number | undefined;
  readonly known?: boolean | undefined;
}

interface Confirmation {
  readonly target: Target;
  readonly options: Pick<RevokeOptions, 'force' | 'yes'>;
  /** Absent on the server's own shell. */
  readonly self?: Self | undefined;
  /** @throws AppError */
  readonly readScope: () => Promise<Scope>;
}

/**
 * Says on a terminal what a revocation ends, and asks: it cannot be taken back, and a command line that was recalled
 * from the history is easily the wrong one. An account of which nothing is known may be mistyped, so that it is named
 * before anything is done, with and without a terminal.
 * @throws AppError `conflict` where nothing is known of the account (`account_not_seen`), and where the answer is not
 *   the one that was asked for (`not_confirmed`); `bad_request` without a terminal for everyone and for one's own
 *   account, because a script must not wait for an answer
 */
export async function confirmRevocation(
  context: CliContext,
  { target, options: { force, yes }, self, readScope }: Confirmation,
): Promise<void> {
  const what = whatEnds(target);
  const { own, word } = confirmationOf(target, self);
  const ask = yes === true ? undefined : context.ask;
  if (ask === undefined && yes !== true && (own || target['all'] === true)) {
    const whose = own && target['all'] === undefined ? ', your own session too' : '';
    throw cliError('bad_request', `This ends ${what}${whose}, and there is no terminal to ask.`, 'add --yes');
  }
  const mayBeMistyped = force !== true && accountNamed(target) !== undefined;
  // A script waits for it only where it can tell that a name is mistyped.
  const scope = ask !== undefined || mayBeMistyped ? await readOrGoOn(context, readScope) : undefined;
  if (mayBeMistyped && scope?.known === false) throw notSeen(target);
  if (ask !== undefined) context.notify(`this ends ${what}${scope === undefined ? '' : `: ${scopeText(scope)}`}`);
  if (own) context.notify(ownText(target));
  if (ask === undefined) return;
  const shown = word === undefined ? undefined : nameOf(word);
  const typed = await ask(shown === undefined ? 'Go on? [y/N] ' : `Type ${shown} to go on: `);
  if (shown === undefined ? /^y(?:es)?$/i.test(typed) : typed === shown) return;
  const next = `${shown === undefined ? 'answer y' : `type ${shown}`}, or add --yes`;
  throw cliError('conflict', 'Nothing was done: it was not confirmed.', next, { reason: 'not_confirmed' });
}

const nameOf = (text: unknown): string => plainText(String(text), 512);

function whatEnds(target: Target): string {
  const { session, provider, lock } = target;
  const user = accountNamed(target) ?? target['username'];
  if (session !== undefined) return `the session ${nameOf(session)} and those beneath it`;
  if (user !== undefined) return `every session of ${nameOf(user)}${lock === true ? ', and locks the account' : ''}`;
  return provider === undefined ? 'every session of all users' : `every session of all users of ${nameOf(provider)}`;
}

const ownText = ({ lock }: Target): string =>
  lock === true
    ? 'this is your own account: you will be signed out and locked out, until another admin or the server’s own shell unlocks it'
    : 'this includes you: your own session ends too';

/**
 * Returns the scope, or undefined where a server or a store cannot say it: that stops no revocation.
 * @throws AppError for what the revocation itself would be rejected for
 */
async function readOrGoOn(context: CliContext, readScope: () => Promise<Scope>): Promise<Scope | undefined> {
  try {
    return await readScope();
  } catch (error) {
    if (!(error instanceof AppError) || isRejection(error)) throw error;
    context.notify(`what it would end is not known now: ${error.message.split('\n')[0]}`);
    return undefined;
  }
}

/** A 404 that is not about the target is none: it comes from an earlier server, or from another program. */
const isRejection = (error: AppError): boolean =>
  error.code === 'unauthenticated' || error.code === 'conflict' || exitCodeOf(error) !== 1;

function notSeen(target: Target): Error {
  const what = `Nothing was done, because the name may be mistyped: ${nameOf(accountNamed(target))} has no live session, no lock and no revocation of its own in the last thirty days.`;
  const deed = target['lock'] === true ? 'revoke and lock' : 'revoke';
  const next = `check the spelling (portcullis sessions --search TEXT); to ${deed} it all the same, as before a first sign-in, add --force`;
  return cliError('conflict', what, next, { reason: 'account_not_seen' });
}

function scopeText({ sessions, delegated = 0, users, more, openHere }: Scope): string {
  const least = more ? 'more than ' : '';
  const narrower = delegated === 0 ? '' : ` (${delegated} delegated)`;
  const open =
    openHere === undefined
      ? ''
      : `, and ${openHere === 1 ? '1 request or stream' : `${openHere} requests and streams`} at the server that responds`;
  return `${least}${counted(sessions, 'session')}${narrower}${users > 1 ? ` of ${least}${users} users` : ''}${open}`;
}

/**
 * Shows the receipt, where it is, what to do next, and what takes it back.
 * @param server the URL whose pages show it; absent: there is none to be named
 * @param again what to do to see whether it is proven by now
 * @throws AppError `conflict` where it is written and not proven: a script must not take that for done
 */
export async function showReceipt(
  context: CliContext,
  options: OutputOptions,
  receipt: Receipt,
  { target, server, again }: { readonly target: Target; readonly server?: string; readonly again: string },
): Promise<void> {
  await printResult(context, options, receipt, () => describeReceipt(receipt, context.columns));
  if (server !== undefined) context.notify(`receipt: ${server}/admin/revocations/${encodeURIComponent(receipt.id)}`);
  notifyNextStep(context, receipt, target);
  if (receipt.complete) return;
  const next = `${again}; a missing replica rejects every request once its lease has lapsed`;
  throw notProven(receipt.missing ?? [], next);
}

function notifyNextStep(context: CliContext, receipt: Receipt, target: Target): void {
  if (receipt.complete && receipt.sessions === 0 && target['session'] === undefined) {
    context.notify('no session has this name: check the spelling');
  }
  const { account, provider, all, lock } = target;
  if (lock === true && typeof account === 'string') {
    context.notify(`to take the lock back: portcullis unlock ${plainText(account, 512)} --reason …`);
  }
  if (!receipt.canSignInAgain) return;
  if (provider !== undefined || all !== undefined) {
    return context.notify('all users can sign in again; to keep one out: portcullis lock');
  }
  const name = typeof account === 'string' ? plainText(account, 512) : 'PROVIDER/SUBJECT';
  context.notify(`the user can sign in again; to prevent that: portcullis lock ${name} --reason …`);
}

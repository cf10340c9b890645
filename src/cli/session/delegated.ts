/**
 * What is different in the folder of a delegated session: no user signs in there, and its end is final. Otherwise the
 * program that was given less would end up with the user's own session after one click.
 */
import { AppError } from '../../core/errors.ts';
import type { CliContext } from '../context.ts';
import { cliError } from '../errors.ts';
import { plainText } from '../terminal/plain-text.ts';

/** What `delegate` wrote down about the session of a folder, as it was made. */
export interface DelegatedMark {
  readonly id: string;
  /** Who acts in it, such as `claude/reviewer`. */
  readonly name: string;
  /** What it may do, for users. */
  readonly rights: string;
  /** RFC 3339. */
  readonly expiresAt: string;
}

/** The mark as a member of what a command prints as JSON. */
export const shownMark = ({ delegated }: Marked): { readonly delegated?: Pick<DelegatedMark, 'name' | 'rights'> } =>
  delegated === undefined ? {} : { delegated: { name: delegated.name, rights: delegated.rights } };

/** The mark as a fact for `factLines`. */
export const markFacts = ({ delegated }: Marked): string[][] =>
  delegated === undefined
    ? []
    : [['delegated', `to "${plainText(delegated.name, 300)}": ${plainText(delegated.rights, 1000)}`]];

interface Marked {
  readonly delegated?: DelegatedMark;
}

const AGAIN = 'delegate again, in your own session: portcullis delegate …';

const OR_MOVED = 'where its folder was moved, set PORTCULLIS_DELEGATED_DIR in the kubeconfig to the new place';

/** Returns the error about a folder that has no delegated session: removed, moved, signed out of, or never one. */
export const noDelegatedSession = (dir: string): AppError =>
  cliError(
    'unauthenticated',
    `The delegated session is over: there is none in ${plainText(dir, 300)}.`,
    `${AGAIN}; ${OR_MOVED}`,
    { reason: 'delegated_session_missing' },
  );

/** Returns the error as a user of this server sees it: in a delegated session no sign-in helps. */
export function explainedFor({ delegated }: Marked, error: unknown, now: number): unknown {
  if (delegated === undefined || !(error instanceof AppError)) return error;
  const { name, expiresAt } = delegated;
  const [why = ''] = error.message.split('\n');
  if (error.code === 'forbidden') {
    const next = 'do it in your own session, or delegate more';
    const what = `The session delegated to "${plainText(name, 300)}" does not have this: ${why}`;
    return cliError('forbidden', what, next, { reason: error.reason, cause: error });
  }
  if (error.code !== 'unauthenticated') return error;
  const ended = Date.parse(expiresAt) <= now ? `it lasted until ${plainText(expiresAt, 40)}` : why.replace(/\.$/, '');
  const what = `The session delegated to "${plainText(name, 300)}" is over: ${ended}.`;
  return cliError('unauthenticated', what, AGAIN, { reason: error.reason, cause: error });
}

/**
 * Rejects what only a user does in their own session.
 * @param what for messages, such as `sign in`
 * @throws AppError `forbidden` in a delegated session
 */
export function refuseDelegated(context: CliContext, server: Marked, what: string): void {
  if (context.environment.delegatedDir === undefined && server.delegated === undefined) return;
  const whose = server.delegated === undefined ? '' : ` to "${plainText(server.delegated.name, 300)}"`;
  throw cliError('forbidden', `A session that was delegated${whose} cannot ${what}.`, 'do it in your own session', {
    reason: 'delegated_session',
  });
}

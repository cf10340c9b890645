/**
 * A fresh sign-in, where the server requires one (`admin.freshness`, `access.freshness`) and is of a version without step-up: the
 * same user, by the same method, in place of the session that is too old.
 */
import { frequencyText } from '../../core/identity/freshness.ts';
import { readSession, type CacheEntry } from './cache.ts';
import { cliError } from '../errors.ts';
import { stringAt, type JsonRecord } from '../http/json-shape.ts';
import type { CliContext } from '../context.ts';
import { plainText } from '../terminal/plain-text.ts';
import type { HttpResponse } from '../http/http-client.ts';

/** The code of the problem document that requires it. */
const NEEDED = 'fresh_sign_in_needed';

export const needsFreshSignIn = ({ status, body }: Pick<HttpResponse, 'status' | 'body'>): boolean =>
  status === 401 && stringAt(body, 'code') === NEEDED;

/**
 * Signs in again. A user who signed in by a code, or may open no browser, does so by a code.
 * @param problem the server's problem document
 * @param who must do so, for the message
 * @throws AppError as `signIn`; `forbidden` where another user signs in than the one who started the command
 */
export async function signInFreshly(
  context: CliContext,
  entry: CacheEntry,
  problem: JsonRecord,
  who: string,
): Promise<void> {
  const before = readSession(entry);
  context.notify(`${who} must authenticate ${howOften(problem)}: signing in again`);
  const byCode = before?.device === true || context.environment.noBrowser;
  const { signIn } = await import('./sign-in.ts');
  const { user } = await signIn(context, {
    entry,
    fresh: true,
    attended: context.attended,
    ...(byCode ? { device: true } : {}),
    ...(before === undefined ? {} : { previous: before.user.sessionId, ...providerOf(before.user.account) }),
  });
  if (before === undefined || user.account === before.user.account) return;
  const message = `You signed in as ${plainText(user.account, 512)}, and started the command as ${plainText(before.user.account, 512)}.`;
  throw cliError('forbidden', message, 'if you want to act as this user, run the command again', {
    reason: 'other_account',
  });
}

/** Returns the identity provider, so that the server does not ask for it. */
function providerOf(account: string): { readonly provider?: string } {
  const [provider, ...subject] = account.split('/');
  return provider === undefined || subject.length === 0 ? {} : { provider };
}

/** Returns how often the server's problem document wants a user to authenticate. */
export function howOften(problem: JsonRecord): string {
  const maxAge = stringAt(problem, 'maxAge');
  if (maxAge === undefined || !/^[1-9]\d{0,5}$/.test(maxAge)) return 'from time to time';
  return frequencyText(Number(maxAge));
}

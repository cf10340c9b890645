/**
 * Proving anew who one is, where a change by an admin needs it (`admin.freshness` at the server): the same person, by the same way, in place
 * of the session that was too old.
 */
import { everyWords } from '../../core/identity/freshness.ts';
import { readSession, type CacheEntry } from './cache.ts';
import { cliError } from '../errors.ts';
import { stringAt, type JsonRecord } from '../http/json-shape.ts';
import type { CliContext } from '../context.ts';
import { plainText } from '../terminal/plain-text.ts';
import type { HttpResponse } from '../http/http-client.ts';

/** The code of the problem with which the server says so. */
const NEEDED = 'fresh_sign_in_needed';

export const needsFreshSignIn = ({ status, body }: Pick<HttpResponse, 'status' | 'body'>): boolean =>
  status === 401 && stringAt(body, 'code') === NEEDED;

/**
 * Signs in again. Who signed in by a code, or may open no browser, does so by a code.
 * @param problem what the server said
 * @throws AppError what `signIn` throws; `forbidden` where somebody else comes back: the command was begun by another
 */
export async function signInFreshly(context: CliContext, entry: CacheEntry, problem: JsonRecord): Promise<void> {
  const before = readSession(entry);
  const every = howOften(stringAt(problem, 'maxAge'));
  context.notify(`admins have to prove who they are ${every}: signing in again`);
  const byCode = before?.device === true || context.environment.noBrowser;
  const { signIn } = await import('./sign-in.ts');
  const { user } = await signIn(context, {
    entry,
    fresh: true,
    // Where stdout is a script's nobody may be reading, so who cannot open a browser is told so at once.
    attended: context.columns !== undefined,
    ...(byCode ? { device: true } : {}),
    ...(before === undefined ? {} : { previous: before.user.sessionId, ...providerOf(before.user.account) }),
  });
  if (before === undefined || user.account === before.user.account) return;
  const message = `You signed in as ${plainText(user.account, 512)}, and began the command as ${plainText(before.user.account, 512)}.`;
  throw cliError('forbidden', message, 'run the command again, if it is what you want as whom you are now', {
    reason: 'other_account',
  });
}

/** So that the server asks nobody which identity provider it is to be. */
function providerOf(account: string): { readonly provider?: string } {
  const [provider, ...subject] = account.split('/');
  return provider === undefined || subject.length === 0 ? {} : { provider };
}

/** @param maxAge seconds, as the server wrote them */
function howOften(maxAge: string | undefined): string {
  if (maxAge === undefined || !/^[1-9]\d{0,5}$/.test(maxAge)) return 'from time to time';
  return everyWords(Number(maxAge));
}

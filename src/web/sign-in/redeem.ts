/** The provider's callback: what it says of the user who came back, or another redirect for a proof that is missing. */
import { nowSeconds } from '../../contracts/clock.ts';
import type { Unproven } from '../../core/identity/auth-time.ts';
import { unprovenMessage, type FreshPurpose } from '../../core/identity/fresh-sign-in.ts';
import { accountOf } from '../../core/identity/identity.ts';
import { UnprovenSignIn } from '../../idp/auth-time.ts';
import { FreshProofMissing } from '../../idp/fresh-sign-in.ts';
import type { ProviderSignIn, SignInChallenge } from '../../idp/idp.ts';
import type { RequestContext } from '../../http/request-context.ts';
import type { WebDeps } from '../dependencies.ts';
import { beginLogin, providerNamed, type LoginTransaction } from './login-transaction.ts';
import { defined } from '../../core/defined.ts';

/** Returns what a login transaction asks for a fresh sign-in for. */
function freshPurposeOf({ revoked, purpose }: Pick<LoginTransaction, 'revoked' | 'purpose'>): FreshPurpose {
  if (revoked === true) return 'revocation';
  if (purpose.for !== 'browser') return purpose.for;
  const { back } = purpose;
  if (back === undefined) return 'revocation';
  if (back.startsWith('/access/')) return 'approval';
  return back.startsWith('/access') ? 'request' : 'admin';
}

/**
 * Returns the rejection of a sign-in that had to be fresh, with the message for what it was for.
 * @param subject of the user who signed in, where the provider has named them
 */
export function unprovenSignIn(
  deps: Pick<WebDeps, 'clock'>,
  login: Pick<LoginTransaction, 'revoked' | 'purpose' | 'provider'>,
  { unproven, subject }: { readonly unproven: Unproven; readonly subject?: string | undefined },
): UnprovenSignIn {
  const { provider } = login;
  const account = subject === undefined ? undefined : accountOf(provider, subject);
  const message = unprovenMessage(unproven, {
    provider,
    purpose: freshPurposeOf(login),
    account,
    now: nowSeconds(deps),
  });
  return new UnprovenSignIn(provider, unproven, { message, subject });
}

/**
 * Begins the same once more, and asks for a fresh sign-in.
 * @param after the challenge in which the provider showed no proof
 * @returns the provider's URL
 */
export const beginAgain = (
  deps: WebDeps,
  context: RequestContext,
  { provider, purpose, revoked }: Pick<LoginTransaction, 'provider' | 'purpose' | 'revoked'>,
  after?: SignInChallenge,
): Promise<URL> => beginLogin(deps, context, { provider, purpose, revoked, fresh: true, ...defined({ after }) });

/**
 * @param callback.query of the callback, unchanged, with its `?`
 * @throws AppError from the identity provider
 */
export async function redeemCallback(
  deps: WebDeps,
  context: RequestContext,
  { login, query }: { readonly login: LoginTransaction; readonly query: string },
): Promise<{ readonly user: ProviderSignIn } | { readonly again: URL }> {
  const provider = providerNamed(deps, login.provider);
  // Built from our own public URL: an attacker who controls the Host header must not choose the redirect_uri that
  // is redeemed.
  const callback = new URL(`${deps.config.publicUrl}/callback/${encodeURIComponent(provider.name)}`);
  callback.search = query;
  // This transaction began under another setting or version, which takes it for proven without asking the
  // provider. Its callback would wrongly count as a proof.
  if (login.fresh && provider.provesFreshness && login.challenge.freshSince === undefined) {
    return { again: await beginAgain(deps, context, login) };
  }
  const user = await provider.finish(callback, login.challenge).catch((error: unknown) => {
    if (error instanceof UnprovenSignIn) throw unprovenSignIn(deps, login, error);
    if (!(error instanceof FreshProofMissing)) throw error;
    const { reason, cause, unproven } = error;
    const detail = cause instanceof Error ? cause.message : undefined;
    const asked = error.after.asked?.at(-1);
    deps.logger.info(
      { requestId: context.requestId, provider: provider.name, asked, reason, authTime: unproven?.seen, said: detail },
      'fresh sign-in not proven, asking the provider in another way',
    );
    return error;
  });
  if (user instanceof FreshProofMissing) return { again: await beginAgain(deps, context, login, user.after) };
  return { user };
}

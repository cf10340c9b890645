/** The provider's callback: what it says of the user who came back, or another redirect for a proof that is missing. */
import { FreshProofMissing } from '../../idp/fresh-sign-in.ts';
import type { ProviderSignIn, SignInChallenge } from '../../idp/idp.ts';
import type { RequestContext } from '../../http/request-context.ts';
import type { WebDeps } from '../dependencies.ts';
import { beginLogin, providerNamed, type LoginTransaction } from './login-transaction.ts';

/**
 * Begins the same once more, and asks for a fresh sign-in.
 * @param after the challenge in which the provider showed no proof
 * @returns the provider's URL
 */
export const beginAgain = (
  deps: WebDeps,
  context: RequestContext,
  { provider, purpose }: LoginTransaction,
  after?: SignInChallenge,
): Promise<URL> =>
  beginLogin(deps, context, { provider, purpose, fresh: true, ...(after === undefined ? {} : { after }) });

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
    if (!(error instanceof FreshProofMissing)) throw error;
    const { reason, cause } = error;
    const detail = cause instanceof Error ? cause.message : undefined;
    const asked = error.after.asked?.at(-1);
    deps.logger.info(
      { requestId: context.requestId, provider: provider.name, asked, reason, said: detail },
      'fresh sign-in not proven, asking the provider in another way',
    );
    return error;
  });
  if (user instanceof FreshProofMissing) return { again: await beginAgain(deps, context, login, user.after) };
  return { user };
}

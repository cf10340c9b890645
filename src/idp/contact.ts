/** Notes of each provider whether it answered when it was last asked. */
import { AppError } from '../core/errors.ts';
import type { IdentityProvider } from './types.ts';
import { ProviderAnswer } from './provider-response.ts';

/** Anybody can come back with an error in the query, without the provider having been asked: it would be said to be down. */
const cameWithBrowser = ({ cause }: AppError): boolean => cause instanceof ProviderAnswer && cause.status === undefined;

/** @param note called after each question that tells something; a provider that refuses one user at a re-check has answered, and is well */
export function withContact(
  provider: IdentityProvider,
  note: (answered: boolean, error?: AppError) => void,
): IdentityProvider {
  const noting = async <T>(asked: Promise<T>, countsAsAnswer: (error: AppError) => boolean): Promise<T> => {
    try {
      const answer = await asked;
      note(true);
      return answer;
    } catch (error) {
      if (error instanceof AppError && error.code === 'provider_unavailable') {
        if (!cameWithBrowser(error)) note(false, error);
      } else if (error instanceof AppError && countsAsAnswer(error)) note(true, error);
      throw error;
    }
  };
  return {
    ...provider,
    // Nothing is asked here but discovery, which may be remembered: only a fault says something of the provider now.
    begin: (options) =>
      provider.begin(options).catch((error: unknown) => {
        if (error instanceof AppError && error.code === 'provider_unavailable') note(false, error);
        throw error;
      }),
    finish: (callback, challenge) => noting(provider.finish(callback, challenge), () => false),
    recheck: (subject, refreshToken, keep) =>
      noting(provider.recheck(subject, refreshToken, keep), ({ code }) => code === 'sign_in_refused'),
  };
}

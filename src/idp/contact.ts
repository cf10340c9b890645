/** Notes of each provider whether it answered when it was last asked. */
import { AppError } from '../core/errors.ts';
import type { IdentityProvider } from './idp.ts';

/** @param note called after each question that tells something; a provider that refuses a re-check has answered */
export function withContact(provider: IdentityProvider, note: (answered: boolean) => void): IdentityProvider {
  const noting = async <T>(asked: Promise<T>, countsAsAnswer: (error: AppError) => boolean): Promise<T> => {
    try {
      const answer = await asked;
      note(true);
      return answer;
    } catch (error) {
      if (error instanceof AppError && error.code === 'provider_unavailable') note(false);
      else if (error instanceof AppError && countsAsAnswer(error)) note(true);
      throw error;
    }
  };
  return {
    ...provider,
    // Nothing is asked here but discovery, which may be remembered: only a fault says something of the provider now.
    begin: (options) =>
      provider.begin(options).catch((error: unknown) => {
        if (error instanceof AppError && error.code === 'provider_unavailable') note(false);
        throw error;
      }),
    // Anybody can come back with an error in the query, without the provider having been asked.
    finish: (callback, challenge) => noting(provider.finish(callback, challenge), () => false),
    recheck: (subject, refreshToken, keep) =>
      noting(provider.recheck(subject, refreshToken, keep), ({ code }) => code === 'sign_in_refused'),
  };
}

/** Notes of each provider whether it answered when it was last asked. */
import { AppError } from '../core/errors.ts';
import type { IdentityProvider } from './types.ts';
import { ProviderErrorResponse } from './provider-response.ts';

/** Anybody can come back with an error in the query, without the provider having been asked: it would be said to be down. */
const cameWithBrowser = ({ cause }: AppError): boolean =>
  cause instanceof ProviderErrorResponse && cause.status === undefined;

/** @param note called after each question that tells something; a provider that refuses one user at a re-check has answered, and is well */
export function withAvailabilityReports(
  provider: IdentityProvider,
  report: (answered: boolean, error?: AppError) => void,
): IdentityProvider {
  const reporting = async <T>(request: Promise<T>, countsAsResponse: (error: AppError) => boolean): Promise<T> => {
    try {
      const result = await request;
      report(true);
      return result;
    } catch (error) {
      if (error instanceof AppError && error.code === 'provider_unavailable') {
        if (!cameWithBrowser(error)) report(false, error);
      } else if (error instanceof AppError && countsAsResponse(error)) report(true, error);
      throw error;
    }
  };
  return {
    ...provider,
    // Nothing is asked here but discovery, which may be remembered: only a fault says something of the provider now.
    begin: (options) =>
      provider.begin(options).catch((error: unknown) => {
        if (error instanceof AppError && error.code === 'provider_unavailable') report(false, error);
        throw error;
      }),
    finish: (callback, challenge) => reporting(provider.finish(callback, challenge), () => false),
    recheck: (subject, refreshToken, keep) =>
      reporting(provider.recheck(subject, refreshToken, keep), ({ code }) => code === 'sign_in_refused'),
  };
}

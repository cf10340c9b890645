/** Reports for each provider whether it responded when it was last asked. */
import { AppError } from '../core/errors.ts';
import { isMalformed } from '../core/identity/claims.ts';
import { isOfCallback } from './failed-check.ts';
import type { IdentityProvider } from './types.ts';
import { ProviderErrorResponse } from './provider-response.ts';

/**
 * Any client can come back with an error, another issuer or no code in the query without the provider having been
 * asked: the provider would be reported as down.
 */
const cameWithBrowser = ({ cause }: AppError): boolean =>
  (cause instanceof ProviderErrorResponse && cause.status === undefined) || isOfCallback(cause);

/** A response about one user, which says nothing of the others. */
const isAboutUser = ({ reason }: AppError): boolean => isMalformed(reason) || reason === 'auth_time_malformed';

/**
 * @param report called after each request that shows something; a provider that rejects one user at a re-check, or
 *   sends claims of one that are malformed, has responded, and is available
 */
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
        // A user whose own claims are malformed makes the provider look down for all, again and again.
        if (!cameWithBrowser(error)) report(isAboutUser(error), error);
      } else if (error instanceof AppError && countsAsResponse(error)) report(true, error);
      throw error;
    }
  };
  return {
    ...provider,
    // Only discovery is asked here, and its response may be cached: only an error says something of the provider
    // now.
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

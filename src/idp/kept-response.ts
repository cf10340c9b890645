/**
 * A provider's response, kept until it is verified.
 *
 * A code is redeemed once, and so is a refresh token that rotates: a provider takes the second time for theft. So where
 * a response does not fit what is known of the provider, it is verified again by what the provider publishes now, and
 * not requested again.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { Outbound } from './outbound.ts';

/** One request, whose response is verified as often as is needed. */
export interface KeptResponse {
  /** It has come, with status 200. */
  response?: Response;
}

const requests = new AsyncLocalStorage<KeptResponse>();

/** Runs `request`; what it asks through `keptResponses` is asked once. */
export const keepingResponse = <T>(kept: KeptResponse, request: () => Promise<T>): Promise<T> =>
  requests.run(kept, request);

/**
 * Returns the same requests, of which those within `keepingResponse` are answered by the response that was kept.
 * @param keysAt where the keys are, which are read each time
 */
export function keptResponses(outbound: Outbound, keysAt: string | undefined): Outbound {
  const keys = URL.parse(keysAt ?? '')?.href;
  return async (url, request) => {
    const kept = requests.getStore();
    if (kept === undefined || (request.method === 'GET' && url === keys)) return outbound(url, request);
    if (kept.response !== undefined) return kept.response.clone();
    const response = await outbound(url, request);
    if (response.status === 200) kept.response = response.clone();
    return response;
  };
}

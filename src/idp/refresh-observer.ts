/**
 * Observes refresh responses, for new refresh tokens.
 *
 * openid-client returns the response to a refresh only after it has verified the ID token in it, for which the
 * provider's keys may have to be read. If that fails, the new refresh token is lost, and the old one is used: a
 * provider takes its second use for theft.
 */
import type { Outbound, OutboundRequest } from './outbound.ts';

export interface RefreshObserver {
  /** Returns the same requests, observed. */
  observed(outbound: Outbound): Outbound;
  /**
   * @param onNewToken called with the new refresh token that comes for `presented`, if one does, before anything
   *   else in the response is checked
   */
  observe<T>(presented: string, onNewToken: (newest: string) => void, ask: () => Promise<T>): Promise<T>;
}

export function createRefreshObserver(): RefreshObserver {
  const awaited = new Map<string, (newest: string) => void>();
  return {
    observed: (outbound) => async (url, request) => {
      const response = await outbound(url, request);
      const onNewToken = awaited.get(presentedIn(request));
      if (onNewToken !== undefined && response.status === 200) {
        const newest = await newestIn(response.clone());
        if (newest !== undefined) onNewToken(newest);
      }
      return response;
    },
    async observe(presented, onNewToken, ask) {
      awaited.set(presented, onNewToken);
      try {
        return await ask();
      } finally {
        awaited.delete(presented);
      }
    },
  };
}

/** RFC 6749 §6. */
const presentedIn = ({ body }: OutboundRequest): string =>
  (body instanceof URLSearchParams ? body.get('refresh_token') : undefined) ?? '';

/** RFC 6749 §5.1. */
async function newestIn(response: Response): Promise<string | undefined> {
  const body: unknown = await response.json().catch(() => undefined);
  if (typeof body !== 'object' || body === null || !('refresh_token' in body)) return undefined;
  return typeof body.refresh_token === 'string' && body.refresh_token !== '' ? body.refresh_token : undefined;
}

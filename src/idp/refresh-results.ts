/**
 * New refresh tokens, heard as they come.
 *
 * openid-client gives the answer to a refresh away only after it has verified the ID token in it, for which the provider's keys may have to be
 * read. Whatever fails there takes the new refresh token with it, and the old one is spent: a provider takes its second use for theft.
 */
import type { Outbound, OutboundRequest } from './outbound.ts';

export interface RefreshAnswers {
  /** The same requests, overheard. */
  overheard(outbound: Outbound): Outbound;
  /** @param hears called with the new refresh token that comes for `presented`, if one does, before anybody judges what came with it */
  during<T>(presented: string, hears: (newest: string) => void, ask: () => Promise<T>): Promise<T>;
}

export function refreshAnswers(): RefreshAnswers {
  const awaited = new Map<string, (newest: string) => void>();
  return {
    overheard: (outbound) => async (url, request) => {
      const answer = await outbound(url, request);
      const hears = awaited.get(presentedIn(request));
      if (hears !== undefined && answer.status === 200) {
        const newest = await newestIn(answer.clone());
        if (newest !== undefined) hears(newest);
      }
      return answer;
    },
    async during(presented, hears, ask) {
      awaited.set(presented, hears);
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
async function newestIn(answer: Response): Promise<string | undefined> {
  const said: unknown = await answer.json().catch(() => undefined);
  if (typeof said !== 'object' || said === null || !('refresh_token' in said)) return undefined;
  return typeof said.refresh_token === 'string' && said.refresh_token !== '' ? said.refresh_token : undefined;
}

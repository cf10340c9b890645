/**
 * Ending reasons: the message for a user whose session was ended because their provider or a rule rejected them.
 *
 * The session and everything that belongs to it are deleted by then, the refresh token included. So the message is
 * stored separately, under what the user can still present: the session's id in a signed token, the certificate
 * that it was bound to, or a browser's cookie. A client that presents none of these gets no message.
 */
import { LRUCache } from 'lru-cache';
import { timeLimit } from '../timing/timing.ts';
import type { ArtefactStore } from './artefacts.ts';
import type { EndingReasons } from './store.ts';

const KIND = 'EndingReason';
/** The message of a rule is the operator's text, of any length. */
const MAX_CHARACTERS = 1000;
const MAX_KEPT = 1000;
const MIN_SECONDS = 60;
/** A rejection does not wait longer than this for its message: a store that hangs must not delay it. */
const READ_MS = 250;

/** How long a message that was read from the store is cached, in milliseconds. */
const CACHE_MS = 10_000;

/** @param nowMs returns epoch milliseconds */
export function createEndingReasons(
  artefacts: Pick<ArtefactStore, 'save' | 'find'>,
  nowMs: () => number,
): EndingReasons {
  const kept = new LRUCache<string, string>({ max: MAX_KEPT });
  const read = async (id: string): Promise<string | undefined> => {
    const late = Promise.withResolvers<undefined>();
    const stop = timeLimit(READ_MS, () => late.resolve(undefined));
    try {
      const payload = await Promise.race([artefacts.find(KIND, id), late.promise]);
      return typeof payload?.['message'] === 'string' ? payload['message'] : undefined;
    } catch {
      return undefined;
    } finally {
      stop();
    }
  };
  // An attacker with a token of a revoked session sends request after request, and each would read from the store,
  // so results are cached.
  const found = new LRUCache<string, { readonly message: string | undefined }>({
    max: MAX_KEPT,
    ttl: CACHE_MS,
    ttlResolution: 0,
    perf: { now: nowMs },
    fetchMethod: async (session) => ({ message: await read(sessionId(session)) }),
  });
  return {
    async keep({ id, via, thumbprint, expiresAt }, text) {
      const message = text.slice(0, MAX_CHARACTERS);
      kept.set(id, message);
      const ttlSeconds = Math.max(MIN_SECONDS, expiresAt - Math.floor(nowMs() / 1000));
      const ids = [
        sessionId(id),
        // The browser session through which the session was opened ends with it.
        ...(via === undefined ? [] : [sessionId(via)]),
        ...(thumbprint === undefined ? [] : [keyId(thumbprint)]),
      ];
      // Saved without `session`, because the message outlives the session.
      await Promise.allSettled(ids.map((one) => artefacts.save(KIND, one, { message }, { ttlSeconds })));
    },
    here: (session) => kept.get(session),
    ofSession: async (session) => kept.get(session) ?? (await found.fetch(session))?.message,
    ofKey: (thumbprint) => read(keyId(thumbprint)),
  };
}

const sessionId = (session: string): string => `session:${session}`;
const keyId = (thumbprint: string): string => `key:${thumbprint}`;

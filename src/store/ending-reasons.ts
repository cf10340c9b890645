/**
 * What a user is told whose session was ended because their provider or a rule refused them.
 *
 * The session and everything that belongs to it are gone by then, the refresh token included. So the message is kept beside
 * them, under what the user can still show: the session's id in a signed token, the key that it was bound to, or the cookie of
 * a browser. Whoever shows none of these is told nothing.
 */
import { LRUCache } from 'lru-cache';
import { timeLimit } from '../timing/timing.ts';
import type { ArtefactStore } from './artefacts.ts';
import type { EndingReasons } from './store.ts';

const KIND = 'EndingReason';
/** A rule's message is the operator's text, of any length. */
const MOST_CHARACTERS = 1000;
const MOST_REMEMBERED = 1000;
const SECONDS_AT_LEAST = 60;
/** A refusal is not kept waiting for its words: a store that hangs has nothing to say. */
const READ_MS = 250;

/** For so long (ms) what the store said of a session is believed. */
const BELIEVED_MS = 10_000;

/** @param now epoch milliseconds */
export function createEndingReasons(artefacts: Pick<ArtefactStore, 'save' | 'find'>, now: () => number): EndingReasons {
  const kept = new LRUCache<string, string>({ max: MOST_REMEMBERED });
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
  // Attack: whoever holds a token of a revoked session sends request after request, each of which would have the store asked.
  const found = new LRUCache<string, { readonly message: string | undefined }>({
    max: MOST_REMEMBERED,
    ttl: BELIEVED_MS,
    ttlResolution: 0,
    perf: { now },
    fetchMethod: async (session) => ({ message: await read(sessionId(session)) }),
  });
  return {
    async keep({ id, via, thumbprint, expiresAt }, text) {
      const message = text.slice(0, MOST_CHARACTERS);
      kept.set(id, message);
      const ttlSeconds = Math.max(SECONDS_AT_LEAST, expiresAt - Math.floor(now() / 1000));
      const ids = [
        sessionId(id),
        // The browser session through which it was opened ends with it.
        ...(via === undefined ? [] : [sessionId(via)]),
        ...(thumbprint === undefined ? [] : [keyId(thumbprint)]),
      ];
      // Without `session`: it outlives the session.
      await Promise.allSettled(ids.map((one) => artefacts.save(KIND, one, { message }, { ttlSeconds })));
    },
    here: (session) => kept.get(session),
    ofSession: async (session) => kept.get(session) ?? (await found.fetch(session))?.message,
    ofKey: (thumbprint) => read(keyId(thumbprint)),
  };
}

const sessionId = (session: string): string => `session:${session}`;
const keyId = (thumbprint: string): string => `key:${thumbprint}`;

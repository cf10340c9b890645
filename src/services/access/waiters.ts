/** Callers who wait until a request is decided: `GET /-/access/ID?wait=SECONDS`. */
import { setTimeout as delay } from 'node:timers/promises';
import type { AccessResult } from '../../core/api/rejections.ts';
import type { AccessCaller } from './access-requests.ts';
import { ConcurrencyLimit } from '../../core/concurrency-limit.ts';
import { versionOf, type AccessRequest } from '../../core/access/request.ts';
import { ok, no } from '../../core/result.ts';
import { tooMany } from '../../http/call-limits.ts';
import type { AccessDeps } from './dependencies.ts';

/** How often the store is asked for each caller who waits. */
const POLL_MS = 1000;
/**
 * One session waits for a few requests at once; an attacker opens connections without end, with each of the thousand sessions
 * that an account may have.
 */
export const MOST_WAITING = { session: 4, account: 20, all: 1000 };

export interface Waiters {
  /**
   * Waits until a request is in another state, or has another decision.
   * @returns the request as it is then, or as it still is after so many seconds
   * @throws ProblemError `too_many_requests`
   */
  wait(
    caller: AccessCaller,
    before: AccessRequest,
    until: { readonly seconds: number; readonly gone: AbortSignal },
  ): Promise<AccessResult<AccessRequest>>;
}

export function createWaiters({
  store,
  leaving,
}: Pick<AccessDeps, 'store'> & { readonly leaving?: AbortSignal }): Waiters {
  const waiting = new ConcurrencyLimit(MOST_WAITING);
  return {
    async wait({ actor }, before, { seconds, gone }) {
      const slots = waiting.acquire({ session: actor.session, account: actor.account, all: true });
      if (!slots.ok) throw tooMany('callers who wait', seconds);
      try {
        return await changed(store, before, {
          seconds,
          signal: AbortSignal.any([gone, ...(leaving === undefined ? [] : [leaving])]),
        });
      } finally {
        slots.value();
      }
    },
  };
}

async function changed(
  store: AccessDeps['store'],
  before: AccessRequest,
  { seconds, signal }: { readonly seconds: number; readonly signal: AbortSignal },
): Promise<AccessResult<AccessRequest>> {
  const until = performance.now() + seconds * 1000;
  let request = before;
  while (!signal.aborted && performance.now() < until) {
    await delay(Math.min(POLL_MS, Math.max(1, until - performance.now())), undefined, { signal }).catch(
      () => undefined,
    );
    const found = await store.access.find(before.id);
    if (found === undefined) return no({ reason: 'request_not_found' });
    ({ request } = found);
    if (versionOf(request) !== versionOf(before)) break;
  }
  return ok(request);
}

/** Why a request of a probe got no response, for an operator. */
import { connectionError, noResponseWithin } from '../../core/http/connection-error.ts';
import { proxyMessage } from '../../core/http/proxy-error.ts';
import { guardMessage } from '../outbound.ts';

/** The time limit of a step of a sign-in. */
const STEP_SECONDS = 5;
const TIMED_OUT = new Set(['TimeoutError', 'AbortError', 'OAUTH_TIMEOUT', 'OAUTH_ABORT']);

export function connectionMessage(thrown: unknown): string {
  const proxy = proxyMessage(thrown);
  if (proxy !== undefined) return proxy;
  for (let error = thrown; error instanceof Error; error = error.cause) {
    if (TIMED_OUT.has(error.name) || ('code' in error && TIMED_OUT.has(String(error.code)))) {
      return noResponseWithin(STEP_SECONDS);
    }
  }
  return guardMessage(thrown) ?? connectionError(thrown);
}

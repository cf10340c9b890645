/** Why a request of a probe got no response, for an operator. */
import { connectionFault, noAnswerWithin } from '../../core/http/connection-error.ts';
import { guardWords } from '../outbound.ts';

/** As long as a step of a sign-in waits. */
const STEP_SECONDS = 5;
const TIMED_OUT = new Set(['TimeoutError', 'AbortError', 'OAUTH_TIMEOUT', 'OAUTH_ABORT']);

export function connectionMessage(thrown: unknown): string {
  for (let fault = thrown; fault instanceof Error; fault = fault.cause) {
    if (TIMED_OUT.has(fault.name) || ('code' in fault && TIMED_OUT.has(String(fault.code)))) {
      return noAnswerWithin(STEP_SECONDS);
    }
  }
  return guardWords(thrown) ?? connectionFault(thrown);
}

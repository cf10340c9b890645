/** When a receiver is called again after a failure: the waits of both kinds of webhooks. */

/** A failure that says when to retry. */
export class RetryLater extends Error {
  readonly afterMs: number;

  constructor(message: string, afterMs: number) {
    super(message);
    this.afterMs = afterMs;
  }
}

export interface RetryLimits {
  /** First and longest wait between two attempts; doubles in between. */
  readonly retryMs: number;
  readonly retryMaxMs: number;
}

/** A server that asks for a longer wait than this is called again all the same. */
const LONGEST_WAIT_MS = 5 * 60 * 1000;

/**
 * Returns how long to wait after a failure. It varies by a quarter both ways, so that replicas that failed
 * together do not retry together.
 * @param failures number of consecutive failures before this one
 * @returns milliseconds
 */
export function retryDelay({ retryMs, retryMaxMs }: RetryLimits, failures: number, error: Error): number {
  const wait = Math.min(retryMs * 2 ** failures, retryMaxMs) * (0.75 + Math.random() / 2);
  return error instanceof RetryLater ? Math.max(wait, error.afterMs) : wait;
}

/**
 * Returns the failure that a webhook's response is, with when to retry where it says so.
 * @param code any but 2xx; a redirect is one, because no webhook follows it
 */
export function webhookFailure(code: number, retryAfter: string | string[] | undefined): Error {
  const message = `the webhook answered ${code}${code >= 300 && code < 400 ? ': redirects are not followed, name the final URL' : ''}`;
  const wait = typeof retryAfter === 'string' ? waitOf(retryAfter) : undefined;
  return wait === undefined ? new Error(message) : new RetryLater(message, Math.min(wait, LONGEST_WAIT_MS));
}

/**
 * Parses Retry-After (RFC 9110 §10.2.3): seconds, or a date.
 * @returns milliseconds
 */
function waitOf(retryAfter: string): number | undefined {
  const wait = /^\d{1,9}$/.test(retryAfter) ? Number(retryAfter) * 1000 : Date.parse(retryAfter) - Date.now();
  return wait >= 0 ? wait : undefined;
}

/** Webhooks, those of the audit log and those of access requests: how one is called, and when again after a failure. */
import { request } from 'undici';
import { timeoutSignal } from '../timing/timing.ts';
import type { Egress } from './egress.ts';

/** Only the head of a response is read; of the body so much that the connection can be used again. */
const MOST_OF_RESPONSE = 16 * 1024;

export interface WebhookCall {
  /** Its path and query may be a secret. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** JSON. */
  readonly body: string | Buffer;
  readonly timeoutMs: number;
  /** Aborts when the caller shuts down. */
  readonly closing: AbortSignal;
}

export interface WebhookResponse {
  readonly code: number;
  readonly retryAfter: string | string[] | undefined;
}

/** Sends one POST. @throws where there is no response in time; a `ProxyError` where a proxy is why */
export async function callWebhook(
  egress: Egress,
  { url, headers, body, timeoutMs, closing }: WebhookCall,
): Promise<WebhookResponse> {
  const to = new URL(url);
  const response = await request(to, {
    method: 'POST',
    dispatcher: egress.dispatcher,
    headers: { 'content-type': 'application/json', 'user-agent': 'portcullis', ...headers },
    body,
    signal: AbortSignal.any([timeoutSignal(timeoutMs), closing]),
  }).catch((error: unknown) => {
    throw egress.timedOut(error, to) ?? error;
  });
  await response.body.dump({ limit: MOST_OF_RESPONSE }).catch(() => {});
  return { code: response.statusCode, retryAfter: response.headers['retry-after'] };
}

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

export const isAccepted = ({ code }: WebhookResponse): boolean => code >= 200 && code < 300;

/**
 * Returns the failure that a webhook's response is, with when to retry where it says so.
 * @param response with any status but 2xx; a redirect is one, because no webhook follows it
 */
export function webhookFailure({ code, retryAfter }: WebhookResponse): Error {
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

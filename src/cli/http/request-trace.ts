/**
 * The trace of each request for `--verbose`: address, outcome, request id and duration. It goes through a
 * diagnostics channel, so that no function has to pass it on. It never holds a header, a body or a query: they hold
 * tokens and codes.
 */
import { channel } from 'node:diagnostics_channel';
import { describeSkew } from './clock-skew.ts';
import { plainText } from '../terminal/plain-text.ts';

export interface RequestTrace {
  readonly method: string;
  readonly url: URL;
  /** The proxy that the request went through. */
  readonly proxy: URL | undefined;
  readonly milliseconds: number;
  /** The response's status, or the reason of the error. */
  readonly outcome: number | string;
  /** As the server sent it. */
  readonly requestId?: string | undefined;
  /** Milliseconds by which the server's clock is ahead of this one's. */
  readonly clockSkewMs?: number | undefined;
}

const REQUESTS = channel('portcullis.cli.ask');

export function publishTrace(trace: RequestTrace): void {
  if (REQUESTS.hasSubscribers) REQUESTS.publish(trace);
}

/** Logs each request for the rest of this process. */
export function logRequests(notify: (message: string) => void): void {
  REQUESTS.subscribe((message) => notify(describe(message as RequestTrace)));
}

function describe({ method, url, proxy, milliseconds, outcome, requestId, clockSkewMs }: RequestTrace): string {
  const parts = [
    `${method} ${url.origin}${url.pathname}: ${outcome} after ${Math.round(milliseconds)} ms`,
    ...(proxy === undefined ? [] : [`through ${proxy.host}`]),
    ...(requestId === undefined ? [] : [`request id ${plainText(requestId, 80)}`]),
    ...(clockSkewMs === undefined ? [] : [describeSkew(clockSkewMs)]),
  ];
  return parts.filter((part) => part !== '').join(', ');
}

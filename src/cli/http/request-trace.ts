/**
 * What `--verbose` says about each question to a server: where, how it ended, the request id and how long it took. By a channel, so
 * that nothing on the way has to hand it through. Never a header, a body or a query: they hold tokens and codes.
 */
import { channel } from 'node:diagnostics_channel';
import { describeSkew } from './clock-skew.ts';
import { plainText } from '../terminal/plain-text.ts';

export interface RequestTrace {
  readonly method: string;
  readonly url: URL;
  /** The proxy that it went through. */
  readonly proxy: URL | undefined;
  readonly milliseconds: number;
  /** The answer's status, or the reason of the fault that came instead. */
  readonly outcome: number | string;
  /** As the server said it. */
  readonly requestId?: string | undefined;
  /** Milliseconds by which the server's clock is ahead of this one's. */
  readonly clockSkewMs?: number | undefined;
}

const REQUESTS = channel('portcullis.cli.ask');

export function publishTrace(trace: RequestTrace): void {
  if (REQUESTS.hasSubscribers) REQUESTS.publish(trace);
}

/** For the rest of this process. */
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

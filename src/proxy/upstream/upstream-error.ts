/** What a failure of an API server is called, in the metrics and towards the user. */
import {
  internalError,
  upstreamInvalid,
  upstreamLost,
  upstreamTimeout,
  upstreamUnavailable,
  upstreamUntrusted,
} from '../rejections.ts';
import type { Rejection } from '../status.ts';
import { UpstreamConnectError } from './connect.ts';

export interface UpstreamFault {
  /** Label of `portcullis_upstream_errors_total`. */
  readonly kind: 'connect' | 'tls' | 'timeout' | 'reset' | 'protocol' | 'internal';
  /** What the client is answered, where nothing has been answered yet. */
  readonly rejection: Rejection;
}

const LOST = new Set(['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE', 'UND_ERR_CLOSED', 'UND_ERR_DESTROYED']);
const TIMED_OUT = new Set(['UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT', 'UPSTREAM_TIMEOUT']);

const OURS = new Set(['UND_ERR_INVALID_ARG', 'UND_ERR_NOT_SUPPORTED', 'ERR_ASSERTION', 'ERR_INVALID_ARG_TYPE']);

const codeOf = (error: Error): string => ('code' in error && typeof error.code === 'string' ? error.code : '');

/** The connection went away, as opposed to an answer that was wrong or late. */
export const isConnectionLoss = (error: Error): boolean => LOST.has(codeOf(error));

/** @param repeatable the request changes nothing, so that it does no harm twice; absent: it may have changed something */
export function upstreamFault(cause: Error, { repeatable = false } = {}): UpstreamFault {
  const code = codeOf(cause);
  if (cause instanceof UpstreamConnectError) {
    return { kind: cause.kind, rejection: isUntrusted(cause) ? upstreamUntrusted() : upstreamUnavailable() };
  }
  if (TIMED_OUT.has(code)) return { kind: 'timeout', rejection: upstreamTimeout() };
  if (isConnectionLoss(cause)) return { kind: 'reset', rejection: upstreamLost(repeatable) };
  // Without a code, or with one that says we used a library wrongly, it is not the API server that is at fault.
  if (code === '' || OURS.has(code)) return { kind: 'internal', rejection: internalError() };
  return { kind: 'protocol', rejection: upstreamInvalid() };
}

/** A certificate that is not good stays so. One that is not even shown (a load balancer without members hangs up) may be there in a moment. */
const isUntrusted = ({ kind, cause }: UpstreamConnectError): boolean =>
  kind === 'tls' && cause instanceof Error && !isConnectionLoss(cause);

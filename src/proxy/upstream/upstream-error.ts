/** Classifies the failures of an API server, for the metrics and for the user. */
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

export interface UpstreamFailure {
  /** Label of `portcullis_upstream_errors_total`. */
  readonly kind: 'connect' | 'tls' | 'timeout' | 'reset' | 'protocol' | 'internal';
  /** The response to the client, if there is none yet. */
  readonly rejection: Rejection;
}

const LOST_CONNECTION = new Set(['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE', 'UND_ERR_CLOSED', 'UND_ERR_DESTROYED']);
const TIMED_OUT = new Set(['UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT', 'UPSTREAM_TIMEOUT']);

const LOCAL_ERRORS = new Set(['UND_ERR_INVALID_ARG', 'UND_ERR_NOT_SUPPORTED', 'ERR_ASSERTION', 'ERR_INVALID_ARG_TYPE']);

const codeOf = (error: Error): string => ('code' in error && typeof error.code === 'string' ? error.code : '');

/** True if the connection was lost, as opposed to a response that was wrong or late. */
export const isConnectionLoss = (error: Error): boolean => LOST_CONNECTION.has(codeOf(error));

/**
 * @param repeatable the request changes nothing, so that a second attempt does no harm; absent: it may have changed
 *   something
 */
export function upstreamFailure(cause: Error, { repeatable = false } = {}): UpstreamFailure {
  const code = codeOf(cause);
  if (cause instanceof UpstreamConnectError) {
    return { kind: cause.kind, rejection: isUntrusted(cause) ? upstreamUntrusted() : upstreamUnavailable() };
  }
  if (TIMED_OUT.has(code)) return { kind: 'timeout', rejection: upstreamTimeout() };
  if (isConnectionLoss(cause)) return { kind: 'reset', rejection: upstreamLost(repeatable) };
  // An error without a code, or with a code that means wrong use of a library, is not the API server's.
  if (code === '' || LOCAL_ERRORS.has(code)) return { kind: 'internal', rejection: internalError() };
  return { kind: 'protocol', rejection: upstreamInvalid() };
}

/**
 * A bad certificate stays bad. One that is not even presented (a load balancer without members hangs up) may be
 * there in a moment.
 */
const isUntrusted = ({ kind, cause }: UpstreamConnectError): boolean =>
  kind === 'tls' && cause instanceof Error && !isConnectionLoss(cause);

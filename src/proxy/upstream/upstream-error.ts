/** Classifies the failures of an API server, for the metrics and for the user. */
import { internalError } from '../rejections.ts';
import {
  upstreamBusy,
  upstreamInvalid,
  upstreamLost,
  upstreamTimeout,
  upstreamUnavailable,
  upstreamUntrusted,
} from '../upstream-rejections.ts';
import type { Rejection } from '../status.ts';
import { UpstreamConnectError } from './connect.ts';

export interface UpstreamFailure {
  /** Label of `portcullis_upstream_errors_total`. */
  readonly kind: 'connect' | 'tls' | 'timeout' | 'reset' | 'protocol' | 'internal' | 'busy';
  /** The response to the client, if there is none yet. */
  readonly rejection: Rejection;
}

type Kind = UpstreamFailure['kind'];

/** A request to an API server that has failed after its connection was there, or while it waited for one. */
export class UpstreamError extends Error {
  readonly code: string;
  readonly kind: Kind;

  /** @param detail for the logs; never shown to a user */
  constructor(kind: Kind, detail: string, cause?: unknown) {
    super(detail, cause === undefined ? undefined : { cause });
    this.name = 'UpstreamError';
    this.kind = kind;
    this.code = `UPSTREAM_${kind.toUpperCase()}`;
  }
}

export const tooManyInterim = (): UpstreamError => new UpstreamError('protocol', 'too many interim responses');

/** Codes of Node's own sockets. */
const LOST_CONNECTION = new Set(['ECONNRESET', 'EPIPE', 'ERR_STREAM_DESTROYED']);
const LOCAL_ERRORS = new Set(['ERR_ASSERTION', 'ERR_INVALID_ARG_TYPE', 'ERR_INVALID_CHAR']);

const codeOf = (error: Error): string => ('code' in error && typeof error.code === 'string' ? error.code : '');

/** True if the connection was lost, as opposed to a response that was wrong or late. */
export const isConnectionLoss = (error: Error): boolean =>
  error instanceof UpstreamError ? error.kind === 'reset' : LOST_CONNECTION.has(codeOf(error));

/**
 * @param repeatable the request changes nothing, so that a second attempt does no harm; absent: it may have changed
 *   something
 */
export function upstreamFailure(cause: Error, { repeatable = false } = {}): UpstreamFailure {
  if (cause instanceof UpstreamConnectError) {
    return { kind: cause.kind, rejection: isUntrusted(cause) ? upstreamUntrusted() : upstreamUnavailable() };
  }
  const kind = kindOf(cause);
  if (kind === 'timeout') return { kind, rejection: upstreamTimeout() };
  if (kind === 'busy') return { kind, rejection: upstreamBusy() };
  if (kind === 'reset') return { kind, rejection: upstreamLost(repeatable) };
  return { kind, rejection: kind === 'protocol' ? upstreamInvalid() : internalError() };
}

function kindOf(cause: Error): Kind {
  if (cause instanceof UpstreamError) return cause.kind;
  if (isConnectionLoss(cause)) return 'reset';
  // An error without a code, or with a code that means wrong use of a library, is not the API server's.
  const code = codeOf(cause);
  return code === '' || LOCAL_ERRORS.has(code) ? 'internal' : 'protocol';
}

/**
 * A bad certificate stays bad. One that is not even presented (a load balancer without members hangs up) may be
 * there in a moment.
 */
const isUntrusted = ({ kind, cause }: UpstreamConnectError): boolean =>
  kind === 'tls' && cause instanceof Error && !isConnectionLoss(cause);

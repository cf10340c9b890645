/** What a failure of an API server is called, in the metrics and towards the person. */
import { AppError } from '../core/errors.ts';
import { UpstreamConnectError } from './upstream-connect.ts';

export interface UpstreamFault {
  /** Label of `portcullis_upstream_errors_total`. */
  readonly kind: 'connect' | 'tls' | 'timeout' | 'reset' | 'protocol' | 'internal';
  /** Undefined where the fault is our own. */
  readonly error: AppError | undefined;
}

const LOST = new Set(['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE', 'UND_ERR_CLOSED', 'UND_ERR_DESTROYED']);
const TIMED_OUT = new Set(['UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT', 'UPSTREAM_TIMEOUT']);

const OURS = new Set(['UND_ERR_INVALID_ARG', 'UND_ERR_NOT_SUPPORTED', 'ERR_ASSERTION', 'ERR_INVALID_ARG_TYPE']);

const codeOf = (error: Error): string => ('code' in error && typeof error.code === 'string' ? error.code : '');

/** The connection went away, as opposed to an answer that was wrong or late. */
export const isConnectionLoss = (error: Error): boolean => LOST.has(codeOf(error));

export function upstreamFault(cause: Error): UpstreamFault {
  const code = codeOf(cause);
  if (cause instanceof UpstreamConnectError) {
    return { kind: cause.kind, error: cause.kind === 'timeout' ? timeout(cause) : unavailable(cause) };
  }
  if (TIMED_OUT.has(code)) return { kind: 'timeout', error: timeout(cause) };
  if (isConnectionLoss(cause)) return { kind: 'reset', error: unavailable(cause) };
  // Without a code, or with one that says we used a library wrongly, it is not the API server that is at fault.
  if (code === '' || OURS.has(code)) return { kind: 'internal', error: undefined };
  return { kind: 'protocol', error: unavailable(cause) };
}

const unavailable = (cause: Error): AppError =>
  new AppError('upstream_unavailable', "the cluster's API server cannot be reached; ask your platform team", { cause });

const timeout = (cause: Error): AppError =>
  new AppError('upstream_timeout', "the cluster's API server did not answer in time; try again", { cause });

/**
 * Connections that end without a response, because of what their clients sent, or did not send.
 *
 * There is no request to audit, and most of them have no TLS to write a response in. An attacker who tries what the
 * listener takes, and an operator whose clients all fail in the same way, would go unseen without a number for it.
 */
import type { ApiListenerDeps } from '../dependencies.ts';
import type { ProxyHeaderError } from './proxy-protocol.ts';

/**
 * - `connection_silent`: no byte in the time for a handshake
 * - `handshake_late`, `handshake_failed`: it was not over in time; it is no TLS 1.3
 * - `handshake_too_large`, `certificate_too_large`: larger than any client's
 * - `first_request_late`, `http2_error`: over HTTP/2, no request in time; frames that no client sends, or too many
 * - `key_updates`: many key updates of TLS, and no data between them
 * - `connection_unknown`: it could not be reset, so it is not served
 */
const MESSAGES = {
  connection_silent: 'connection closed: its client sent nothing',
  handshake_late: 'connection closed: its TLS handshake took too long',
  handshake_failed: 'connection closed: its TLS handshake failed; clients must speak TLS 1.3',
  handshake_too_large: 'connection closed: its TLS handshake is larger than any client’s',
  certificate_too_large: 'connection closed: its client certificate is larger than 8 KiB',
  first_request_late: 'connection closed: no request came on it in time',
  http2_error: 'connection closed: its client broke the rules of HTTP/2 or a limit for its frames',
  key_updates: 'connection closed: its client updates the keys of TLS and sends no data',
  connection_unknown: 'connection closed: it could not be reset, so it is not served',
} as const;

const PROXY_HEADER =
  'connection without a valid PROXY header dropped: compare the load balancer with listen.trustedProxies and its protocol version';

export type DropReason = keyof typeof MESSAGES | `proxy_header_${ProxyHeaderError}`;

/** @param peer the client's address as far as it is known; that of its socket for a PROXY header that does not count */
export type OnDropped = (reason: DropReason, peer: string) => void;

const REPORT_EVERY_MS = 60_000;

/**
 * Counts each drop, and logs one of each reason a minute: an attacker who can connect could fill the logs otherwise, or
 * hide one reason behind another.
 */
export function dropReporter({
  metrics,
  logger,
  clock,
}: Pick<ApiListenerDeps, 'metrics' | 'logger' | 'clock'>): OnDropped {
  const silentUntil = new Map<DropReason, number>();
  return (reason, peer) => {
    metrics.rejection(reason);
    if (clock.nowMs() < (silentUntil.get(reason) ?? 0)) return;
    silentUntil.set(reason, clock.nowMs() + REPORT_EVERY_MS);
    logger.warn({ reason, peer }, isOwn(reason) ? MESSAGES[reason] : PROXY_HEADER);
  };
}

const isOwn = (reason: DropReason): reason is keyof typeof MESSAGES => Object.hasOwn(MESSAGES, reason);

/** @returns why a TLS handshake ended; undefined if its client left, as health checks and aborted commands do */
export function handshakeDrop({ code }: NodeJS.ErrnoException): DropReason | undefined {
  if (code === 'ECONNRESET' || code === 'EPIPE') return undefined;
  return code === 'ERR_TLS_HANDSHAKE_TIMEOUT' ? 'handshake_late' : 'handshake_failed';
}

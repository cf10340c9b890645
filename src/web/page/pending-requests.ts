/**
 * Limits the requests to pages that are open, as the api listener does for its endpoints: a page sees a request when
 * its body is whole, and how many are open is limited by connection, by address and in all.
 *
 * An attacker without a credential begins thousands of forms and never finishes them, and Node would wait five minutes
 * for each. The attacker also sends the last byte after the request was rejected, so a page is not given the request
 * before: it would be executed all the same.
 */
import type { Request, RequestHandler, Response } from 'express';
import { whenWhole } from '../../core/http/pending-body.ts';
import { MOST_BODY_BYTES, mostPendingAt, PendingRequests } from '../../core/http/pending-requests.ts';
import { whenOver } from '../../core/http/response-over.ts';
import { record } from '../../http/audit-events.ts';
import { contextOf } from '../../http/request-context.ts';
import type { WebDeps } from '../dependencies.ts';
import { sendErrorPage, sendTooMany } from './error-page.ts';

/** Time for a body, which is a form or a token. A user's network is slow at most. */
const BODY_MS = 30_000;
/** Read by programs, and not by browsers. */
const OF_PROGRAMS = /^\/oauth\/(?:token|revoke)$/;

interface Rejected {
  readonly status: 408 | 413 | 429;
  readonly reason: string;
}

/** It must run behind the context of a request, and before anything that reads its body. */
export function limitPending(
  deps: Pick<WebDeps, 'audit' | 'clock' | 'config'>,
  { most = mostPendingAt(deps.config.limits.connections), bodyMs = BODY_MS } = {},
): RequestHandler {
  const pending = new PendingRequests(most);
  return (req, res, next) => {
    const { address, shared } = contextOf(req);
    // RFC 9112 §6.3.
    let missesBody = req.headers['transfer-encoding'] !== undefined || Number(req.headers['content-length'] ?? 0) > 0;
    const end = (rejected: Rejected): void => {
      missesBody = false;
      clearTimeout(late);
      reject(deps, req, res, rejected);
    };
    const slot = pending.add({
      connection: req.socket,
      // All users behind the ingress.
      address: shared === true ? undefined : address,
      waitsForClient: () => missesBody,
      giveWay: (level) => end({ status: 429, reason: `${level}_pending` }),
    });
    const late =
      missesBody && slot.ok ? setTimeout(() => end({ status: 408, reason: 'request_too_slow' }), bodyMs) : undefined;
    if (!slot.ok) return end({ status: 429, reason: `${slot.reason}_pending` });
    whenOver(res, () => {
      clearTimeout(late);
      slot.value();
    });
    if (!missesBody) return next();
    whenWhole(req, MOST_BODY_BYTES, (body) => {
      // It has been rejected meanwhile.
      if (!missesBody) return;
      if (body === undefined) return end({ status: 413, reason: 'body_too_large' });
      missesBody = false;
      clearTimeout(late);
      next();
    });
  };
}

function reject(
  deps: Pick<WebDeps, 'audit' | 'clock' | 'config'>,
  req: Request,
  res: Response,
  { status, reason }: Rejected,
): void {
  const context = contextOf(req);
  record(deps, context, { event: 'malformed-request', path: req.path, code: status, reason });
  // The rest of the body would be read as the next request.
  res.shouldKeepAlive = false;
  const { contact } = deps.config;
  if (status !== 429) return sendErrorPage(res, context, { status }, contact);
  if (!OF_PROGRAMS.test(req.path)) return sendTooMany(res, context, { of: 'requests', retrySeconds: 1, contact });
  const error_description = 'Too many requests from your address are open. Try again in a moment.';
  res.setHeader('Retry-After', '1');
  res.status(status).json({ error: 'temporarily_unavailable', error_description });
}

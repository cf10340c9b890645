/**
 * How often one address may start a sign-in. In front of every way to start one, so that none can forget it.
 *
 * Threat: who stands in the same place as everybody, behind an ingress that does not say who is behind it, would use up the sign-ins of all,
 * an admin's in an incident included. So an address that is shared is not counted; the ingress sees the real ones, and can.
 */
import type { RequestHandler } from 'express';
import type { WebDeps } from '../dependencies.ts';
import { sendTooMany } from '../page/error-page.ts';
import type { RateLimiter } from '../../core/rate-limit.ts';
import { auditTooMany } from './sign-in.ts';
import { contextOf } from '../../http/request-context.ts';

/** @param path of the step, for the audit log */
export function limitSignIns<P>(deps: WebDeps, limit: RateLimiter, path = '/login/start'): RequestHandler<P> {
  return (req, res, next) => {
    const context = contextOf(req);
    const wait = context.shared === true ? 0 : limit.take(context.address);
    if (wait <= 0) return next();
    auditTooMany(deps, context, path);
    sendTooMany(res, context, { of: 'sign-ins', retrySeconds: wait, contact: deps.config.contact });
  };
}

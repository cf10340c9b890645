/**
 * The limit on sign-ins from one address, in front of every route that starts one.
 *
 * An attacker behind an ingress that hides its clients shares the address of all other users and could use up
 * their sign-ins, also an admin's during an incident. So a shared address is not counted; the ingress sees the
 * real addresses and can limit them.
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

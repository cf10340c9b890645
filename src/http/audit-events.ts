/**
 * Audit events of HTTP requests to pages and APIs: who acted, from where, and with which result.
 */
import type { RequestHandler } from 'express';
import {
  portcullisEvent,
  type AuditFacts,
  type PortcullisEvent,
  type PortcullisEventName,
} from '../core/audit/event.ts';
import { AppError } from '../core/errors.ts';
import type { Account, Identity } from '../core/identity/identity.ts';
import type { AuditTrail } from '../audit/audit.ts';
import type { Clock } from '../contracts/clock.ts';
import { appErrorOf } from './error-status.ts';
import { ProblemError } from './problem.ts';
import { contextOf, type RequestContext } from './request-context.ts';
import { defined } from '../core/defined.ts';

interface Audited {
  readonly audit: Pick<AuditTrail, 'record' | 'blocked'>;
  readonly clock: Clock;
}

export interface AuditedAct {
  readonly event: PortcullisEventName;
  /** A path without its query: queries carry codes and states. */
  readonly path: string;
  /** HTTP status that the caller saw. */
  readonly code: number;
  readonly reason?: string;
  readonly provider?: string;
  readonly details?: AuditFacts;
  /** The user that the event is about, where that is not the actor of the request. */
  readonly about?: { readonly identity: Identity; readonly account: Account; readonly session?: string };
}

/**
 * Nothing may happen unaudited.
 * @throws AppError `audit_unavailable` while no audit event can be written
 */
export function assertAuditable({ audit }: { readonly audit: Pick<AuditTrail, 'blocked'> }): void {
  if (!audit.blocked) return;
  const message = 'The audit log cannot be written right now, so nothing is done. Try again in a moment.';
  throw new AppError('audit_unavailable', message);
}

/** Rejects every request while no audit event can be written. */
export function requireAuditLog(deps: Pick<Audited, 'audit'>): RequestHandler {
  return (_req, _res, next) => {
    assertAuditable(deps);
    next();
  };
}

/**
 * Audits the failure of a handler under the name of what was tried, unless it was audited already, then passes the error on to
 * the error page.
 * @param event names what the handler does
 */
export function auditFailures(deps: Audited, event: PortcullisEventName, handler: RequestHandler): RequestHandler {
  return async (req, res, next) => {
    try {
      await handler(req, res, next);
    } catch (thrown) {
      const { error, status } = appErrorOf(thrown);
      if (!(thrown instanceof ProblemError && thrown.audited))
        record(deps, contextOf(req), { event, path: req.path, code: status, reason: error.reason });
      throw thrown;
    }
  };
}

/** Writes one audit event; the actor comes from the request's context. */
export function record({ audit, clock }: Audited, context: RequestContext, action: AuditedAct): void {
  const { event, code } = action;
  audit.record(portcullisEvent({ ...requestFacts(context, action), event, code, at: clock.nowMs() }));
}

/** Returns what the audit events of a request have in common: who acted, from where, and what was asked for. */
export function requestFacts(
  context: RequestContext,
  { path, about, reason, provider, details }: Omit<AuditedAct, 'event' | 'code'>,
): Omit<PortcullisEvent, 'event' | 'code' | 'at'> {
  const subject: AuditedAct['about'] = about ?? context.actor ?? context.user;
  return {
    auditId: context.requestId,
    requestUri: path,
    sourceIps: context.address === '' ? [] : [context.address],
    ...(context.userAgent === '' ? {} : { userAgent: context.userAgent }),
    ...defined({
      identity: subject?.identity,
      account: subject?.account,
      session: subject?.session,
      provider,
      reason,
      details,
    }),
  };
}

/**
 * From what happened in the web room to a line in the record.
 */
import type { RequestHandler } from 'express';
import { gateEvent, type AuditFacts, type GateEventName } from '../core/audit-event.ts';
import { AppError } from '../core/errors.ts';
import type { Account, Identity } from '../core/identity.ts';
import type { WebDeps } from './deps.ts';
import { faultOf } from './page/error-status.ts';
import { visitOf, type Visit } from './request-context.ts';

export interface Happening {
  readonly event: GateEventName;
  /** A path without its query: queries carry codes and states. */
  readonly path: string;
  /** HTTP status that the caller saw. */
  readonly code: number;
  readonly reason?: string;
  readonly provider?: string;
  readonly details?: AuditFacts;
  /** Who it is about, where that is not the visit's own actor. */
  readonly about?: { readonly identity: Identity; readonly account: Account; readonly session?: string };
}

/** Nothing may happen that could not be recorded. */
export function recordable(deps: Pick<WebDeps, 'audit'>): RequestHandler {
  return (_req, _res, next) => {
    if (deps.audit.blocked) throw new AppError('audit_unavailable', 'The audit record cannot be written right now.');
    next();
  };
}

/**
 * What came to nothing has a line too, under the name of what was tried; and then goes on to the error page.
 * @param event for what the handler does
 */
export function recordingFailures(
  deps: Pick<WebDeps, 'audit' | 'clock'>,
  event: GateEventName,
  handler: RequestHandler,
): RequestHandler {
  return async (req, res, next) => {
    try {
      await handler(req, res, next);
    } catch (thrown) {
      const { error, status } = faultOf(thrown);
      record(deps, visitOf(req), { event, path: req.path, code: status, reason: error.reason });
      throw thrown;
    }
  };
}

/** Writes one event; who the visitor is comes from the visit. */
export function record(deps: Pick<WebDeps, 'audit' | 'clock'>, visit: Visit, happening: Happening): void {
  const { path, about, ...rest } = happening;
  const who: Happening['about'] = about ?? visit.actor ?? visit.person;
  deps.audit.record(
    gateEvent({
      ...rest,
      auditId: visit.requestId,
      at: deps.clock.now(),
      requestUri: path,
      sourceIps: visit.address === '' ? [] : [visit.address],
      ...(visit.userAgent === '' ? {} : { userAgent: visit.userAgent }),
      ...(who === undefined ? {} : { identity: who.identity, account: who.account }),
      ...(who?.session === undefined ? {} : { session: who.session }),
    }),
  );
}

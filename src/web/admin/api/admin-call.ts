/**
 * One call to the admin API: who calls, may they, and how a read, a refusal or a fault is answered and put on the record.
 */
import express, { type ErrorRequestHandler, type Request, type RequestHandler } from 'express';
import type { AuditFacts, GateEventName } from '../../../core/audit-event.ts';
import type { WebDeps } from '../../deps.ts';
import { faultOf } from '../../page/error-status.ts';
import { AdminError, sendProblem } from '../problem.ts';
import { record } from '../../record.ts';
import type { Asker } from '../revoking.ts';
import { assertRole, type Need } from '../roles.ts';
import { visitOf, type Actor } from '../../visit.ts';

/** Proves who calls, or throws `AppError` `unauthenticated`, `forbidden` or `fenced`. */
export type IdentifyCaller = (req: Request) => Promise<Actor>;

export interface Reply {
  readonly status: number;
  readonly body: object;
  /** For the record of a read: what was read, and of whom. */
  readonly reason: string;
  readonly details?: AuditFacts;
}

const BODY_BYTES = '16kb';
const jsonParser = express.json({ limit: BODY_BYTES, strict: true, type: 'application/json' });

/** The API's own path, as CONTRACT names it in the record whichever listener it came through. */
const pathOf = (req: Request): string => req.originalUrl.split('?', 1)[0] ?? '';

function actorOf(req: Request): Actor {
  const { actor } = visitOf(req);
  if (actor === undefined) throw new Error('the caller must be identified first');
  return actor;
}

export const askerOf = (req: Request): Asker => ({ visit: visitOf(req), actor: actorOf(req), path: pathOf(req) });

/** What stands before everything else that a caller may not all do. */
export function mayDo(deps: WebDeps, need: Need): RequestHandler {
  return (req, _res, next) => {
    assertRole(actorOf(req), deps.config, need);
    next();
  };
}

/** Answers a read. The credential is judged once more after everything was fetched, before a byte goes out. */
export function read(deps: WebDeps, handler: (req: Request) => Promise<Reply> | Reply): RequestHandler[] {
  const answer: RequestHandler = async (req, res) => {
    const { status, body, reason, details } = await handler(req);
    actorOf(req).assertGood();
    record(deps, visitOf(req), {
      event: 'admin-read',
      path: pathOf(req),
      code: status,
      reason,
      ...(details === undefined ? {} : { details }),
    });
    res.status(status).json(body);
  };
  return [mayDo(deps, 'read'), answer];
}

/** What stands before a change. The handler puts it on the record itself. */
export function change(deps: WebDeps, need: Need, handler: RequestHandler): RequestHandler[] {
  return [mayDo(deps, need), jsonParser, handler];
}

export function identified(identify: IdentifyCaller): RequestHandler {
  return async (req, _res, next) => {
    visitOf(req).actor = await identify(req);
    next();
  };
}

export const notAllowed =
  (...allowed: readonly string[]): RequestHandler =>
  (_req, res) => {
    res.setHeader('Allow', allowed.join(', '));
    throw new AdminError('method_not_allowed', 'bad_request', `This resource takes ${allowed.join(', ')}.`);
  };

/** The name of what was tried. */
function triedAt(req: Request): GateEventName {
  if (['GET', 'HEAD'].includes(req.method)) return 'admin-read';
  const [, resource] = req.path.split('/', 2);
  if (resource === 'drills') return 'drill';
  if (resource === 'locks') return req.method === 'DELETE' ? 'unlock' : 'lock';
  return 'revocation';
}

/** What went wrong goes on the record, under the name of what was tried, where it does not stand there already. */
export function onError(deps: WebDeps, bearer: boolean): ErrorRequestHandler {
  return (thrown: unknown, req, res, next) => {
    const visit = visitOf(req);
    if (res.headersSent) return next(thrown);
    const problem = sendProblem(res, thrown, { requestId: visit.requestId, bearer });
    const { reason } = faultOf(thrown).error;
    if (problem.status >= 500)
      deps.logger.error({ err: thrown, requestId: visit.requestId, reason }, 'admin API failed');
    if (thrown instanceof AdminError && thrown.recorded) return;
    const refused = problem.status === 401 || problem.status === 403;
    const event = refused ? 'admin-refused' : triedAt(req);
    record(deps, visit, { event, path: pathOf(req), code: problem.status, reason });
  };
}

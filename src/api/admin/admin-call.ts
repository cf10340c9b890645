/**
 * The steps of one call to the admin API: identify the caller, check the role and the query, send the response or
 * the error, and write the audit event.
 */
import type { AdminApiDeps } from '../dependencies.ts';
import { createHash } from 'node:crypto';
import express, { type ErrorRequestHandler, type Request, type RequestHandler } from 'express';
import type { AuditFacts, PortcullisEventName } from '../../core/audit/event.ts';
import { AppError } from '../../core/errors.ts';
import { type AdminContext, AdminError, assertFresh, assertRole, roleOf } from '../../services/admin/admin.ts';
import { appErrorOf } from '../../http/error-status.ts';
import { ProblemError, sendProblem } from '../../http/problem.ts';
import { record } from '../../http/audit-events.ts';
import { rejectionOrTooMany, type CallLimits } from '../../http/call-limits.ts';
import type { Route } from './routes.ts';
import { contextOf, knownActorOf, type Actor } from '../../http/request-context.ts';
import { cutWhenRevoked } from '../../http/revocable-response.ts';

/** Verifies the caller's credential. Throws `AppError` `unauthenticated`, `forbidden` or `fenced`. */
export type IdentifyCaller = (req: Request) => Promise<Actor>;

export interface ReadResult {
  readonly body: object;
  /** The kind of resource that was read, for the audit event. */
  readonly reason: string;
  readonly details?: AuditFacts;
}

const BODY_BYTES = '16kb';
const jsonParser = express.json({ limit: BODY_BYTES, strict: true, type: 'application/json' });

/**
 * The API's own path (docs/reference/admin-api.md), which the audit event names whichever listener the call came
 * through.
 */
const pathOf = (req: Request): string => req.originalUrl.split('?', 1)[0] ?? '';

export const adminContextOf = (req: Request): AdminContext => ({
  context: contextOf(req),
  actor: knownActorOf(req),
  path: pathOf(req),
});

/** Rejects a caller whose role does not allow the route. */
export function requireRole(deps: AdminApiDeps, { need, holds }: Route): RequestHandler {
  return (req, _res, next) => {
    const actor = knownActorOf(req);
    if (actor.unread !== undefined) {
      // The token of a former admin may still say that they are one, so such a caller may only have a target held.
      if (holds !== true) throw actor.unread;
      return next();
    }
    const hasRole = need === 'any' && roleOf(actor, deps.config) !== undefined;
    if (!hasRole) assertRole(actor, deps.config, need === 'any' ? 'read' : need);
    next();
  };
}

/**
 * Rejects unknown query parameters. Without that a mistyped filter would be ignored, and the caller would take the
 * response for a narrower one. The handler validates the values of known parameters.
 */
export function rejectUnknownQuery({ query }: Route): RequestHandler {
  const known = new Set(Object.keys(query?.shape ?? {}));
  return (req, _res, next) => {
    const unknown = Object.keys(req.query).some((name) => !known.has(name));
    if (!unknown) return next();
    const allowed = known.size === 0 ? 'none' : [...known].join(', ');
    throw new AppError('bad_request', `The query has an unknown parameter. Allowed here: ${allowed}.`, {
      reason: 'query_malformed',
    });
  };
}

/** Returns an entity tag (RFC 9110 §8.8.3). It is weak, because it stands for the content and not for its bytes. */
const entityTag = (text: string): string => `W/"${createHash('sha256').update(text).digest('base64url').slice(0, 27)}"`;

/** Sends the response of a read. The credential is checked again after everything was read, before a byte is sent. */
export function read(
  deps: AdminApiDeps,
  { conditional }: Route,
  handler: (req: Request) => Promise<ReadResult> | ReadResult,
): RequestHandler {
  return async (req, res) => {
    const { body, reason, details = {} } = await handler(req);
    const text = JSON.stringify(body);
    if (conditional === true) res.setHeader('ETag', entityTag(text));
    const unchanged = conditional === true && req.fresh;
    knownActorOf(req).assertValid();
    const code = unchanged ? 304 : 200;
    record(deps, contextOf(req), { event: 'admin-read', path: pathOf(req), code, reason, details });
    res.status(code);
    if (unchanged) res.end();
    else {
      cutWhenRevoked(res);
      res.type('application/json').send(text);
    }
  };
}

/** Serves a stream of events where the client accepts one, as the EventSource of browsers does; otherwise JSON. */
export function streamOrJson(live: RequestHandler, json: RequestHandler): RequestHandler {
  return (req, res, next) => {
    res.vary('Accept');
    const handler = req.accepts(['json', 'text/event-stream']) === 'text/event-stream' ? live : json;
    return handler(req, res, next);
  };
}

/**
 * Returns the handlers of a change: the check of a fresh sign-in, the body parser, and the handler, which writes
 * its audit event.
 */
export function change(deps: AdminApiDeps, handler: RequestHandler): RequestHandler[] {
  const fresh: RequestHandler = (req, _res, next) => {
    assertFresh(deps, knownActorOf(req));
    next();
  };
  return [fresh, jsonParser, handler];
}

export function identifyCaller(identify: IdentifyCaller, limits: CallLimits): RequestHandler {
  return async (req, _res, next) => {
    try {
      contextOf(req).actor = await identify(req);
    } catch (thrown) {
      throw rejectionOrTooMany(limits, req, thrown);
    }
    next();
  };
}

export const methodNotAllowed =
  (...allowed: readonly string[]): RequestHandler =>
  (_req, res) => {
    res.setHeader('Allow', allowed.join(', '));
    throw new AdminError('method_not_allowed', 'bad_request', `This resource takes ${allowed.join(', ')}.`);
  };

/** Returns the name of the audit event of what the caller tried. */
function attemptedEvent(req: Request): PortcullisEventName {
  if (['GET', 'HEAD'].includes(req.method)) return 'admin-read';
  const [, resource] = req.path.split('/', 2);
  if (resource === 'drills') return 'drill';
  if (resource === 'locks') return req.method === 'DELETE' ? 'unlock' : 'lock';
  if (resource === 'fresh-sign-ins') return 'fresh-sign-in-lifted';
  if (resource === 'access') return 'access-refused';
  return 'revocation';
}

/**
 * Sends an error and audits it, under the name of what was tried, unless an audit event for it was written already.
 */
export function onError(deps: AdminApiDeps, bearer: boolean): ErrorRequestHandler {
  return (thrown: unknown, req, res, next) => {
    const context = contextOf(req);
    if (res.headersSent) return next(thrown);
    const problem = sendProblem(res, thrown, { requestId: context.requestId, bearer });
    const { reason } = appErrorOf(thrown).error;
    if (problem.status >= 500)
      deps.logger.error({ err: thrown, requestId: context.requestId, reason }, 'admin API request failed');
    if (thrown instanceof ProblemError && thrown.audited) return;
    // A 429 counts as a rejection too, where the caller is not known.
    const isAnonymous = problem.status === 429 && context.actor === undefined;
    const isRejection = problem.status === 401 || problem.status === 403 || isAnonymous;
    const event = isRejection ? 'admin-refused' : attemptedEvent(req);
    record(deps, context, { event, path: pathOf(req), code: problem.status, reason });
  };
}

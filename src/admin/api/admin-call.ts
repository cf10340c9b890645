/**
 * One call to the admin API: who calls, may they, and how a read, a refusal or a fault is answered and put on the record.
 */
import { createHash } from 'node:crypto';
import express, { type ErrorRequestHandler, type Request, type RequestHandler } from 'express';
import type { AuditFacts, PortcullisEventName } from '../../core/audit/event.ts';
import { AppError } from '../../core/errors.ts';
import type { AdminDeps, AdminContext } from '../dependencies.ts';
import { appErrorOf } from '../../http/error-status.ts';
import { assertFresh } from '../freshness.ts';
import { AdminError, sendProblem } from '../problem.ts';
import { record } from '../../http/audit-events.ts';
import { assertRole, roleOf } from '../roles.ts';
import { refusedOrTooMany, type CallLimits } from './call-limits.ts';
import type { Route } from './routes.ts';
import { contextOf, type Actor } from '../../http/request-context.ts';

/** Proves who calls, or throws `AppError` `unauthenticated`, `forbidden` or `fenced`. */
export type IdentifyCaller = (req: Request) => Promise<Actor>;

export interface Reply {
  readonly body: object;
  /** For the record of a read: what was read, and of whom. */
  readonly reason: string;
  readonly details?: AuditFacts;
}

const BODY_BYTES = '16kb';
const jsonParser = express.json({ limit: BODY_BYTES, strict: true, type: 'application/json' });

/** The API's own path (docs/reference/admin-api.md), which the audit event names whichever listener the call came through. */
const pathOf = (req: Request): string => req.originalUrl.split('?', 1)[0] ?? '';

function actorOf(req: Request): Actor {
  const { actor } = contextOf(req);
  if (actor === undefined) throw new Error('the caller must be identified first');
  return actor;
}

export const adminContextOf = (req: Request): AdminContext => ({
  context: contextOf(req),
  actor: actorOf(req),
  path: pathOf(req),
});

/** What stands before everything else that a caller may not all do. */
export function mayDo(deps: AdminDeps, { need, holds }: Route): RequestHandler {
  return (req, _res, next) => {
    const actor = actorOf(req);
    if (actor.unread !== undefined) {
      // Attack: the token of a former admin still says that they are one, so it serves for one thing only.
      if (holds !== true) throw actor.unread;
      return next();
    }
    const hasRole = need === 'any' && roleOf(actor, deps.config) !== undefined;
    if (!hasRole) assertRole(actor, deps.config, need === 'any' ? 'read' : need);
    next();
  };
}

/** Threat: a mistyped parameter is left out, and the answer is taken for a narrower one. What a known one may say is its handler's business. */
export function knownQuery({ query }: Route): RequestHandler {
  const known = new Set(Object.keys(query?.shape ?? {}));
  return (req, _res, next) => {
    const unknown = Object.keys(req.query).some((name) => !known.has(name));
    if (!unknown) return next();
    const takes = known.size === 0 ? 'no query' : [...known].join(', ');
    throw new AppError('bad_request', `The query has an unknown parameter. This takes ${takes}.`, {
      reason: 'query_malformed',
    });
  };
}

/** RFC 9110 §8.8.3: weak, because it stands for what is said and not for its bytes. */
const entityTag = (text: string): string => `W/"${createHash('sha256').update(text).digest('base64url').slice(0, 27)}"`;

/** Answers a read. The credential is judged once more after everything was fetched, before a byte goes out. */
export function read(
  deps: AdminDeps,
  { conditional }: Route,
  handler: (req: Request) => Promise<Reply> | Reply,
): RequestHandler {
  return async (req, res) => {
    const { body, reason, details = {} } = await handler(req);
    const text = JSON.stringify(body);
    if (conditional === true) res.setHeader('ETag', entityTag(text));
    const unchanged = conditional === true && req.fresh;
    actorOf(req).assertGood();
    const code = unchanged ? 304 : 200;
    record(deps, contextOf(req), { event: 'admin-read', path: pathOf(req), code, reason, details });
    res.status(code);
    if (unchanged) res.end();
    else res.type('application/json').send(text);
  };
}

/** A stream of events where the caller asks for one, as browsers' EventSource does; else JSON. */
export function liveWhereAsked(live: RequestHandler, json: RequestHandler): RequestHandler {
  return (req, res, next) => {
    res.vary('Accept');
    const handler = req.accepts(['json', 'text/event-stream']) === 'text/event-stream' ? live : json;
    return handler(req, res, next);
  };
}

/** What stands before a change: a sign-in that is not too old, then what is said. The handler puts it on the record itself. */
export function change(deps: AdminDeps, handler: RequestHandler): RequestHandler[] {
  const fresh: RequestHandler = (req, _res, next) => {
    assertFresh(deps, actorOf(req));
    next();
  };
  return [fresh, jsonParser, handler];
}

export function identified(identify: IdentifyCaller, limits: CallLimits): RequestHandler {
  return async (req, _res, next) => {
    try {
      contextOf(req).actor = await identify(req);
    } catch (thrown) {
      throw refusedOrTooMany(limits, req, thrown);
    }
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
function triedAt(req: Request): PortcullisEventName {
  if (['GET', 'HEAD'].includes(req.method)) return 'admin-read';
  const [, resource] = req.path.split('/', 2);
  if (resource === 'drills') return 'drill';
  if (resource === 'locks') return req.method === 'DELETE' ? 'unlock' : 'lock';
  if (resource === 'fresh-sign-ins') return 'fresh-sign-in-lifted';
  return 'revocation';
}

/** What went wrong goes on the record, under the name of what was tried, where it does not stand there already. */
export function onError(deps: AdminDeps, bearer: boolean): ErrorRequestHandler {
  return (thrown: unknown, req, res, next) => {
    const context = contextOf(req);
    if (res.headersSent) return next(thrown);
    const problem = sendProblem(res, thrown, { requestId: context.requestId, bearer });
    const { reason } = appErrorOf(thrown).error;
    if (problem.status >= 500)
      deps.logger.error({ err: thrown, requestId: context.requestId, reason }, 'admin API failed');
    if (thrown instanceof AdminError && thrown.recorded) return;
    // Too often is a refusal too, where nobody knows whose.
    const unknown = problem.status === 429 && context.actor === undefined;
    const refused = problem.status === 401 || problem.status === 403 || unknown;
    const event = refused ? 'admin-refused' : triedAt(req);
    record(deps, context, { event, path: pathOf(req), code: problem.status, reason });
  };
}

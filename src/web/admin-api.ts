/**
 * The admin API, version 1: sessions, revocations, clusters, providers. The same resources twice, told apart only by how the
 * caller proves who they are: a browser by cookie, CSRF header and Origin; a program by a certificate-bound Bearer token.
 */
import express, { type ErrorRequestHandler, type Request, type RequestHandler, type Response } from 'express';
import { AppError } from '../core/errors.ts';
import type { WebDeps } from './deps.ts';
import { faultOf } from './error-status.ts';
import { AdminError, sendProblem } from './problem.ts';
import { record, recordable } from './record.ts';
import {
  reasonSchema,
  revocationSchema,
  revocationStatus,
  revoke,
  sessionIdSchema,
  targetOf,
  type RevocationRequest,
} from './revoking.ts';
import { assertRole, type Need } from './roles.ts';
import { findings, listQuery } from './session-query.ts';
import { sessionView } from './session-view.ts';
import { visitOf, type Actor } from './visit.ts';

/** Proves who calls, or throws `AppError` `unauthenticated`, `forbidden` or `fenced`. */
export type IdentifyCaller = (req: Request) => Promise<Actor>;

interface Call {
  readonly req: Request;
  readonly actor: Actor;
}

interface Reply {
  readonly status: number;
  readonly body: object;
  /** For the record of a read: what was read, and of whom. */
  readonly reason: string;
  readonly details?: Readonly<Record<string, string>>;
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

function mayDo(deps: WebDeps, need: Need): RequestHandler {
  return (req, _res, next) => {
    assertRole(actorOf(req).identity, deps.config.admin, need);
    next();
  };
}

/** Answers a read. The credential is judged once more after everything was fetched, before a byte goes out. */
function read(deps: WebDeps, handler: (call: Call) => Promise<Reply> | Reply): RequestHandler[] {
  const answer: RequestHandler = async (req, res) => {
    const actor = actorOf(req);
    const { status, body, reason, details } = await handler({ req, actor });
    actor.assertGood();
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

const sessionGone = (): AdminError =>
  new AdminError('session_not_found', 'not_found', 'There is no live session of this id. It may have ended already.');

async function listSessions(deps: WebDeps, { req }: Call): Promise<Reply> {
  const query = listQuery(req.query);
  const { sessions, cursor } = await deps.store.sessions.list(query);
  const body = { sessions: sessions.map(sessionView), ...(cursor === undefined ? {} : { cursor }) };
  const details = query.account === undefined ? {} : { account: query.account };
  return { status: 200, body, reason: 'sessions', details };
}

function sessionIdOf(req: Request): string {
  const id = sessionIdSchema.safeParse(req.params['id']);
  if (!id.success) throw sessionGone();
  return id.data;
}

async function oneSession(deps: WebDeps, { req }: Call): Promise<Reply> {
  const session = await deps.store.sessions.read(sessionIdOf(req));
  if (session === undefined) throw sessionGone();
  return { status: 200, body: sessionView(session), reason: 'session', details: { target: `session:${session.id}` } };
}

function oneRevocation(deps: WebDeps, { req }: Call): Reply {
  const answer = deps.gate.answer(String(req.params['id']));
  if (answer === undefined) {
    const words =
      'This replica knows no revocation of this id from the last ten minutes. Ask the replica that was asked to revoke.';
    throw new AdminError('revocation_not_found', 'not_found', words);
  }
  return { status: 200, body: answer, reason: 'revocation', details: { revocation: answer.id } };
}

async function carryOut(deps: WebDeps, req: Request, res: Response, request: RevocationRequest): Promise<void> {
  const target = await targetOf(deps, request);
  actorOf(req).assertGood();
  const answer = await revoke(deps, visitOf(req), { target, reason: request.reason, path: pathOf(req) });
  res.status(revocationStatus(answer)).json(answer);
}

function postRevocation(deps: WebDeps): RequestHandler {
  return async (req, res) => {
    const parsed = revocationSchema.safeParse(req.body);
    if (!parsed.success) {
      const words = req.body === undefined ? 'Send JSON as application/json.' : findings(parsed.error);
      throw new AppError('bad_request', words, { reason: 'revocation_malformed' });
    }
    await carryOut(deps, req, res, parsed.data);
  };
}

function deleteSession(deps: WebDeps): RequestHandler {
  return async (req, res) => {
    const reason = reasonSchema.safeParse(req.query['reason'] ?? 'no reason given');
    if (!reason.success) {
      const words = `reason: ${findings(reason.error)}`;
      throw new AppError('bad_request', words, { reason: 'reason_malformed' });
    }
    await carryOut(deps, req, res, { session: sessionIdOf(req), reason: reason.data });
  };
}

function identified(identify: IdentifyCaller): RequestHandler {
  return async (req, _res, next) => {
    visitOf(req).actor = await identify(req);
    next();
  };
}

const notAllowed =
  (...allowed: readonly string[]): RequestHandler =>
  (_req, res) => {
    res.setHeader('Allow', allowed.join(', '));
    throw new AdminError('method_not_allowed', 'bad_request', `This resource takes ${allowed.join(', ')}.`);
  };

/** What went wrong goes on the record, under the name of what was tried; a revocation that reached the gate has done so itself. */
function onError(deps: WebDeps, bearer: boolean): ErrorRequestHandler {
  return (thrown: unknown, req, res, next) => {
    const visit = visitOf(req);
    if (res.headersSent) return next(thrown);
    const problem = sendProblem(res, thrown, { requestId: visit.requestId, bearer });
    const { reason } = faultOf(thrown).error;
    if (problem.status >= 500)
      deps.logger.error({ err: thrown, requestId: visit.requestId, reason }, 'admin API failed');
    if (reason === 'revocation_not_written') return;
    const refused = problem.status === 401 || problem.status === 403;
    const event = refused ? 'admin-refused' : ['GET', 'HEAD'].includes(req.method) ? 'admin-read' : 'revocation';
    record(deps, visit, { event, path: pathOf(req), code: problem.status, reason });
  };
}

/** What exists here, by name only: addresses and rules are the operator's business. */
function names(deps: WebDeps, api: express.Router): void {
  const clusters = deps.config.clusters.map(({ name }) => ({ name }));
  const providers = [...deps.providers.keys()].map((name) => ({ name }));
  api
    .route('/clusters')
    .get(read(deps, () => ({ status: 200, body: { clusters }, reason: 'clusters' })))
    .all(notAllowed('GET'));
  api
    .route('/providers')
    .get(read(deps, () => ({ status: 200, body: { providers }, reason: 'providers' })))
    .all(notAllowed('GET'));
}

function sessionsAndRevocations(deps: WebDeps, api: express.Router): void {
  const act = (handler: RequestHandler): RequestHandler[] => [mayDo(deps, 'act'), jsonParser, handler];
  api
    .route('/sessions')
    .get(read(deps, (call) => listSessions(deps, call)))
    .all(notAllowed('GET'));
  api
    .route('/sessions/:id')
    .get(read(deps, (call) => oneSession(deps, call)))
    .delete(act(deleteSession(deps)))
    .all(notAllowed('GET', 'DELETE'));
  api
    .route('/revocations')
    .post(act(postRevocation(deps)))
    .all(notAllowed('POST'));
  api
    .route('/revocations/:id')
    .get(read(deps, (call) => oneRevocation(deps, call)))
    .all(notAllowed('GET'));
}

/**
 * The resources below one prefix. Order for each call: who, may they, what do they say.
 * @param prefix such as `/admin/api/v1`
 * @param bearer whether a 401 asks for a Bearer token
 */
export function adminApi(
  deps: WebDeps,
  options: { readonly prefix: string; readonly bearer: boolean; readonly identify: IdentifyCaller },
): express.Router {
  const api = express.Router({ caseSensitive: true, strict: true });
  api.use(recordable(deps), identified(options.identify));
  sessionsAndRevocations(deps, api);
  names(deps, api);
  api.use(() => {
    throw new AppError('not_found', 'There is no such resource in version 1 of the admin API.');
  });
  const router = express.Router({ caseSensitive: true, strict: true });
  router.use(options.prefix, api);
  router.use(options.prefix, onError(deps, options.bearer));
  return router;
}

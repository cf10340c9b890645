/**
 * The admin API, version 1: sessions, revocations, locks, replicas, drills, clusters, providers, the live record. The same resources twice, told apart only
 * by how the caller proves who they are: a browser by cookie, CSRF header and Origin; a program by a certificate-bound Bearer token.
 */
import express, { type Request } from 'express';
import { AppError } from '../../../core/errors.ts';
import { tailAudit } from './admin-audit.ts';
import { change, identified, mayDo, notAllowed, onError, read, type IdentifyCaller, type Reply } from './admin-call.ts';
import { deleteLock, deleteSession, postDrill, postLock, postRevocation, sessionIdOf } from './admin-changes.ts';
import type { WebDeps } from '../../deps.ts';
import type { RunDrill } from '../drills.ts';
import { lockViews } from '../locks.ts';
import { AdminError } from '../problem.ts';
import { recordable } from '../../record.ts';
import { sessionGone } from '../revocation-request.ts';
import type { AdminRoom } from '../revoking.ts';
import { listQuery } from '../session-query.ts';
import { sessionView } from '../session-view.ts';

async function listSessions(deps: WebDeps, req: Request): Promise<Reply> {
  const query = listQuery(req.query);
  const { sessions, cursor } = await deps.store.sessions.list(query);
  const body = { sessions: sessions.map(sessionView), ...(cursor === undefined ? {} : { cursor }) };
  const details = query.account === undefined ? {} : { target: `account:${query.account}` };
  return { status: 200, body, reason: 'sessions', details };
}

async function oneSession(deps: WebDeps, req: Request): Promise<Reply> {
  const session = await deps.store.sessions.read(sessionIdOf(req));
  if (session === undefined) throw sessionGone();
  return { status: 200, body: sessionView(session), reason: 'session', details: { target: `session:${session.id}` } };
}

async function oneRevocation({ answers }: AdminRoom, req: Request): Promise<Reply> {
  const answer = await answers.find(String(req.params['id']));
  if (answer === undefined) {
    const words = 'No revocation of this id is known from the last ten minutes.';
    throw new AdminError('revocation_not_found', 'not_found', words);
  }
  return { status: 200, body: answer, reason: 'revocation', details: { revocation: answer.id } };
}

async function listLocks(deps: WebDeps): Promise<Reply> {
  return { status: 200, body: { locks: await lockViews(deps) }, reason: 'locks' };
}

function listReplicas(deps: WebDeps): Reply {
  return { status: 200, body: { replicas: deps.gate.replicas }, reason: 'replicas' };
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

function sessionsAndRevocations(room: AdminRoom, api: express.Router): void {
  const { deps } = room;
  api
    .route('/sessions')
    .get(read(deps, (req) => listSessions(deps, req)))
    .all(notAllowed('GET'));
  api
    .route('/sessions/:id')
    .get(read(deps, (req) => oneSession(deps, req)))
    .delete(change(deps, 'act', deleteSession(room)))
    .all(notAllowed('GET', 'DELETE'));
  api
    .route('/revocations')
    .post(change(deps, 'act', postRevocation(room)))
    .all(notAllowed('POST'));
  api
    .route('/revocations/:id')
    .get(read(deps, (req) => oneRevocation(room, req)))
    .all(notAllowed('GET'));
}

function locksReplicasAndDrills(room: AdminRoom, runDrill: RunDrill, api: express.Router): void {
  const { deps } = room;
  api
    .route('/locks')
    .get(read(deps, () => listLocks(deps)))
    .post(change(deps, 'act', postLock(room)))
    .all(notAllowed('GET', 'POST'));
  api
    .route('/locks/:account')
    .delete(change(deps, 'act', deleteLock(room)))
    .all(notAllowed('DELETE'));
  api
    .route('/replicas')
    .get(read(deps, () => listReplicas(deps)))
    .all(notAllowed('GET'));
  api
    .route('/drills')
    .post(change(deps, 'drill', postDrill(runDrill)))
    .all(notAllowed('POST'));
}

function liveRecord(deps: WebDeps, api: express.Router): void {
  if (deps.tails === undefined) return;
  api.route('/audit').get(mayDo(deps, 'read'), tailAudit(deps, deps.tails)).all(notAllowed('GET'));
}

/**
 * The resources below one prefix. Order for each call: who, may they, what do they say.
 * @param prefix such as `/admin/api/v1`
 * @param bearer whether a 401 asks for a Bearer token
 */
export function adminApi(
  room: AdminRoom,
  options: {
    readonly prefix: string;
    readonly bearer: boolean;
    readonly identify: IdentifyCaller;
    readonly runDrill: RunDrill;
  },
): express.Router {
  const { deps } = room;
  const api = express.Router({ caseSensitive: true, strict: true });
  api.use(recordable(deps), identified(options.identify));
  sessionsAndRevocations(room, api);
  locksReplicasAndDrills(room, options.runDrill, api);
  names(deps, api);
  liveRecord(deps, api);
  api.use(() => {
    throw new AppError('not_found', 'There is no such resource in version 1 of the admin API.');
  });
  const router = express.Router({ caseSensitive: true, strict: true });
  router.use(options.prefix, api);
  router.use(options.prefix, onError(deps, options.bearer));
  return router;
}

/**
 * The API for access requests, for programs at the api listener: `/-/access`. A caller has an access token with the audience
 * of their own sessions, which is bound to the client certificate of the connection.
 */
import express, { type Request, type RequestHandler, type Response } from 'express';
import { z } from 'zod';
import {
  type AccessCaller,
  type AccessDeps,
  type AccessRequestView,
  type AccessRequests,
  type OfferedRole,
  type Waiters,
  accessRequestView,
  assertOwnSession,
  createWaiters,
} from '../services/access/access.ts';
import { revocationStatus } from '../services/admin/admin.ts';
import type { AccessRequest } from '../core/access/request.ts';
import { approvalsNeeded } from '../core/access/role.ts';
import { accessDecisionSchema, accessRequestIdSchema } from '../core/api/access.ts';
import { AppError } from '../core/errors.ts';
import { requireAuditLog } from '../http/audit-events.ts';
import { createCallLimits, limitCalls } from '../http/call-limits.ts';
import {
  bodyOf,
  callerOf,
  identifyOwn,
  handleInTurn,
  limitOrders,
  methodNotAllowed,
  onOwnError,
  pathOf,
  queryOf,
  spenderOf,
  type OwnSessionsDeps,
} from './own-sessions.ts';
import { contextOf } from '../http/request-context.ts';
import { whenOver } from '../core/http/response-over.ts';
import { cutWhenRevoked } from '../http/revocable-response.ts';
import { SerialQueue } from '../core/serial-queue.ts';

const PATH = '/-/access';
/** More than a reason may have, so that its own error can say so. */
const BODY_BYTES = '32kb';
/** Of one's own requests, in a list. */
const MINE = 50;
/**
 * What waits for an approver, in a page: about so many. A hundred requests are unsealed for it at most, and fifty grants.
 */
const QUEUE_PAGE = { usual: 50, most: 100 } as const;
/** Lists of an account that may wait for one another. */
const MOST_LISTS_WAITING = 4;

export interface AccessApiDeps extends AccessDeps, Pick<OwnSessionsDeps, 'authenticate'> {
  readonly config: AccessDeps['config'] & OwnSessionsDeps['config'];
  /** Aborts when this replica begins to shut down: callers that wait get what there is, and ask another replica. */
  readonly leaving?: AbortSignal;
}

const orderSchema = z.strictObject({
  role: z.string(),
  seconds: z.number(),
  reason: z.string().default(''),
  session: z.string().exactOptional(),
});

const waitSchema = z.strictObject({ wait: z.coerce.number().int().min(0).max(25).default(0) });
const endSchema = z.strictObject({ reason: z.string().default('') });
const listSchema = z.strictObject({
  cursor: z.string().max(500).exactOptional(),
  limit: z.coerce.number().int().min(1).max(QUEUE_PAGE.most).default(QUEUE_PAGE.usual),
});

/** Returns a handler of all requests below `/-/access`; others it passes on. */
export function accessApi(deps: AccessApiDeps, requests: AccessRequests): RequestHandler {
  const calls = createCallLimits(deps.clock);
  const orders = limitOrders(deps, 'access requests at once');
  const json = express.json({ limit: BODY_BYTES, type: 'application/json' });
  const router = express.Router({ caseSensitive: true, strict: true });
  router.use(PATH, requireAuditLog(deps), identifyOwn(deps, calls, 'access requests'), limitCalls(calls, spenderOf));
  router.use(PATH, requireOwnSession(deps));
  const list = router.route(PATH);
  list.get(
    handleInTurn({ queue: new SerialQueue(MOST_LISTS_WAITING), what: 'lists at once' }, listHandler(deps, requests)),
  );
  list.post(orders, json, askHandler(deps, requests));
  list.all(methodNotAllowed('GET', 'POST'));
  const one = router.route(`${PATH}/:id`);
  one.get(findHandler(deps, requests, createWaiters(deps)));
  one.delete(orders, endHandler(requests));
  one.all(methodNotAllowed('GET', 'DELETE'));
  for (const verb of ['approve', 'deny'] as const) {
    const decision = router.route(`${PATH}/:id/${verb}`);
    decision.post(orders, json, decisionHandler(deps, requests, verb));
    decision.all(methodNotAllowed('POST'));
  }
  router.use(PATH, () => {
    throw new AppError('not_found', 'There is no such resource among access requests.');
  });
  router.use(PATH, onOwnError(deps, { event: 'access-refused', failure: 'request about access requests failed' }));
  return router;
}

/** Not even to read: what waits for approval is no business of a script. */
function requireOwnSession(deps: AccessApiDeps): RequestHandler {
  return (req, _res, next) => {
    const { credential, delegation } = callerOf(req);
    assertOwnSession(deps, { account: credential.account, ...(delegation === undefined ? {} : { delegation }) });
    next();
  };
}

/** Of the path. One that has not the form of an id is as unknown as any other. */
const idOf = (req: Request): string => accessRequestIdSchema.safeParse(req.params['id']).data ?? '';

function accessCallerOf(req: Request): AccessCaller {
  const context = contextOf(req);
  if (context.actor === undefined) throw new Error('the caller must be identified first');
  return { actor: context.actor, context, path: pathOf(req) };
}

function view(
  { config, clock }: AccessApiDeps,
  requests: AccessRequests,
  { caller, request }: { readonly caller: AccessCaller; readonly request: AccessRequest },
): AccessRequestView {
  const may = requests.may(caller, request);
  return accessRequestView(request, { publicUrl: config.publicUrl, nowMs: clock.nowMs(), may });
}

const offeredView = ({ role, needsFreshSignIn }: OfferedRole) => ({
  name: role.name,
  description: role.description,
  groups: role.groups,
  ...(role.clusters === undefined ? {} : { clusters: role.clusters }),
  needed: approvalsNeeded(role),
  approvers: role.approval === 'none' ? [] : role.approval.groups,
  longestSeconds: role.longest,
  ...(role.reason === undefined ? {} : { reason: role.reason }),
  ...(role.freshness === undefined ? {} : { freshnessSeconds: role.freshness }),
  needsFreshSignIn,
});

/** The first page has what is the caller's own as well. */
function listHandler(deps: AccessApiDeps, requests: AccessRequests) {
  return async (req: Request, res: Response): Promise<void> => {
    const page = queryOf(req, listSchema);
    const caller = accessCallerOf(req);
    const views = (list: readonly AccessRequest[]) => list.map((request) => view(deps, requests, { caller, request }));
    const isFirst = page.cursor === undefined;
    const mine = isFirst ? await requests.mine(caller, { limit: MINE }) : { requests: [] };
    const { requests: queue, cursor } = await requests.queue(caller, page);
    // After everything was read, before a byte is sent.
    caller.actor.assertValid();
    cutWhenRevoked(res);
    res.json({
      roles: isFirst ? requests.roles(caller).map(offeredView) : [],
      mine: views(mine.requests),
      queue: views(queue),
      ...(cursor === undefined ? {} : { cursor }),
    });
  };
}

function askHandler(deps: AccessApiDeps, requests: AccessRequests): RequestHandler {
  return async (req, res) => {
    const caller = accessCallerOf(req);
    const request = await requests.request(caller, bodyOf(orderSchema, req));
    res.status(201).json(view(deps, requests, { caller, request }));
  };
}

function findHandler(deps: AccessApiDeps, requests: AccessRequests, waiters: Waiters): RequestHandler {
  return async (req, res) => {
    const { wait } = queryOf(req, waitSchema);
    const caller = accessCallerOf(req);
    const before = await requests.find(caller, idOf(req));
    const request = wait === 0 ? before : await waiters.wait(caller, before, { seconds: wait, gone: goneSignal(res) });
    caller.actor.assertValid();
    cutWhenRevoked(res);
    res.json(view(deps, requests, { caller, request }));
  };
}

/** Aborts when the client has gone. */
function goneSignal(res: Response): AbortSignal {
  const gone = new AbortController();
  whenOver(res, () => gone.abort());
  return gone.signal;
}

function decisionHandler(deps: AccessApiDeps, requests: AccessRequests, verb: 'approve' | 'deny'): RequestHandler {
  return async (req, res) => {
    const caller = accessCallerOf(req);
    const { reason } = bodyOf(accessDecisionSchema, req);
    const request = await requests[verb](caller, idOf(req), reason);
    res.json(view(deps, requests, { caller, request }));
  };
}

function endHandler(requests: AccessRequests): RequestHandler {
  return async (req, res) => {
    const { reason } = queryOf(req, endSchema);
    const { result } = await requests.end(accessCallerOf(req), idOf(req), reason);
    if (result === undefined) res.json({ withdrawn: true });
    else res.status(revocationStatus(result)).json(result);
  };
}

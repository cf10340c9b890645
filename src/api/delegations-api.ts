/**
 * The API for delegated sessions, for programs at the api listener: `/-/delegations`. A caller has an access token with
 * the audience of their own sessions, which is bound to the client certificate of the connection.
 */
import express, { type Request, type RequestHandler, type Response } from 'express';
import { z } from 'zod';
import { revocationStatus } from '../services/admin/admin.ts';
import { sessionIdSchema } from '../core/api/fields.ts';
import { auditedSession } from '../core/delegation/delegation.ts';
import { parseLimit } from '../core/delegation/parse.ts';
import type { RightsLimit } from '../core/delegation/rights.ts';
import { AppError } from '../core/errors.ts';
import { record, requireAuditLog } from '../http/audit-events.ts';
import { assertCredential, unauthenticated } from '../http/bearer.ts';
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
import { ProblemError } from '../http/problem.ts';
import { contextOf } from '../http/request-context.ts';
import { cutWhenRevoked } from '../http/revocable-response.ts';
import { SerialQueue } from '../core/serial-queue.ts';
import type { SessionRecord } from '../store/store.ts';
import {
  type DelegationDeps,
  type Delegations,
  REJECTIONS,
  type Rejection,
  errorCodeOf,
} from '../services/delegation/delegation.ts';
import { delegatedView, listedView } from './delegation-view.ts';

const PATH = '/-/delegations';
/** More than the limits may have, so that their own error can say so. */
const BODY_BYTES = '32kb';
/** Names of clusters in an order. An error of each of ten thousand would take longer than all else. */
const MOST_CLUSTERS = 256;
/** Latest requests of one session. */
const RECENT = 10;
/** The same of each session of a list: each is a read in the store. */
const RECENT_IN_LIST = 1;
/**
 * Sessions of a page. Each is unsealed, and has its latest request read: about a third of a millisecond of CPU, over several
 * turns.
 */
const PAGE = { usual: 20, most: 50 } as const;
/** Lists of an account that may wait for one another. */
const MOST_LISTS_WAITING = 4;

export interface DelegationApiDeps extends DelegationDeps, Pick<OwnSessionsDeps, 'authenticate'> {
  readonly config: DelegationDeps['config'] & OwnSessionsDeps['config'];
  /** PEM that a kubeconfig should trust at the api listener; undefined: the system's roots. */
  readonly apiCa?: string;
}

const orderSchema = z.strictObject({
  name: z.string(),
  clusters: z.array(z.unknown()).max(MOST_CLUSTERS).pipe(z.array(z.string())),
  limits: z.array(z.unknown()),
  seconds: z.number(),
  thumbprint: z.string().exactOptional(),
});

const listSchema = z.strictObject({
  cursor: z.string().max(500).exactOptional(),
  limit: z.coerce.number().int().min(1).max(PAGE.most).default(PAGE.usual),
});

/** Returns a handler of all requests below `/-/delegations`; others it passes on. */
export function delegationsApi(deps: DelegationApiDeps, delegations: Delegations): RequestHandler {
  const calls = createCallLimits(deps.clock);
  const router = express.Router({ caseSensitive: true, strict: true });
  router.use(PATH, requireAuditLog(deps), identifyOwn(deps, calls, 'delegated sessions'), limitCalls(calls, spenderOf));
  const list = router.route(PATH);
  list.get(
    handleInTurn({ queue: new SerialQueue(MOST_LISTS_WAITING), what: 'lists at once' }, listHandler(deps, delegations)),
  );
  list.post(
    limitOrders(deps, 'delegated sessions at once'),
    express.json({ limit: BODY_BYTES, type: 'application/json' }),
    handleInTurn({ queue: new SerialQueue(0), what: 'delegated sessions at once' }, createHandler(deps, delegations)),
  );
  list.all(methodNotAllowed('GET', 'POST'));
  const one = router.route(`${PATH}/:id`);
  one.get(findHandler(deps, delegations));
  one.delete(endHandler(deps, delegations));
  one.all(methodNotAllowed('GET', 'DELETE'));
  router.use(PATH, () => {
    throw new AppError('not_found', 'There is no such resource among delegated sessions.');
  });
  router.use(
    PATH,
    onOwnError(deps, {
      event: 'delegation-refused',
      failure: 'request about delegated sessions failed',
      count({ method }, status) {
        if (method === 'POST') deps.countDelegation(status >= 500 ? 'unavailable' : 'refused');
      },
    }),
  );
  return router;
}

function limitsOf(values: readonly unknown[]): readonly RightsLimit[] {
  return values.map((value, index) => {
    const limit = parseLimit(value);
    if (limit.ok) return limit.value;
    const { place, message } = limit.reason;
    const where = `limits[${index}]${place === '' ? '' : `.${place}`}`;
    throw rejectionError({ reason: 'limits_malformed', message: `${where}: ${message}` }, false);
  });
}

/** @param audited whether its audit event was written already */
const rejectionError = ({ reason, message }: Rejection, audited = true): ProblemError =>
  new ProblemError({ problem: reason, status: REJECTIONS[reason], code: errorCodeOf(reason) }, message, { audited });

function createHandler(deps: DelegationApiDeps, delegations: Delegations) {
  const servers = new Map(deps.config.clusters.map(({ name, publicUrl }) => [name, publicUrl]));
  return async (req: Request, res: Response): Promise<void> => {
    const { name, limits, ...asked } = bodyOf(orderSchema, req);
    const { requestId: id, address, userAgent } = contextOf(req);
    const caller = callerOf(req);
    const made = await delegations.createWithToken({
      ...asked,
      limits: limitsOf(limits),
      parent: caller.credential.session,
      actor: { name },
      address,
      userAgent,
      request: { id, path: PATH },
    });
    if (!made.ok) throw rejectionError(made.reason);
    const { session, refreshToken } = made.value;
    res.status(201).json({
      delegation: delegatedView({ ...session, address }),
      refreshToken,
      clusters: session.delegation.clusters.map((cluster) => ({
        name: cluster,
        server: servers.get(cluster),
        ...(deps.apiCa === undefined ? {} : { caData: deps.apiCa }),
      })),
    });
  };
}

/** Returns the caller's own session, as it is now. */
async function holderOf({ store }: DelegationApiDeps, req: Request): Promise<SessionRecord> {
  const holder = await store.sessions.read(callerOf(req).credential.session);
  if (holder === undefined) throw unauthenticated('Your session has ended. Run “portcullis login”.', 'session_unknown');
  return holder;
}

function listHandler(deps: DelegationApiDeps, delegations: Delegations) {
  return async (req: Request, res: Response): Promise<void> => {
    const query = queryOf(req, listSchema);
    const { sessions, cursor } = await delegations.list(await holderOf(deps, req), query);
    const views = await Promise.all(
      sessions.map(async ({ delegation, ...session }) => {
        if (delegation === undefined) return [];
        const recent = await deps.store.recent.read(session.id, RECENT_IN_LIST);
        return [listedView({ ...session, delegation }, recent)];
      }),
    );
    // After everything was read, before a byte is sent.
    assertCredential(deps.guard, callerOf(req).credential);
    cutWhenRevoked(res);
    res.json({ delegations: views.flat(), ...(cursor === undefined ? {} : { cursor }) });
  };
}

function findHandler(deps: DelegationApiDeps, delegations: Delegations): RequestHandler {
  return async (req, res) => {
    const holder = await holderOf(deps, req);
    const id = sessionIdSchema.safeParse(req.params['id']);
    const session = id.success ? await delegations.find(holder, id.data) : undefined;
    const recent = session === undefined ? [] : await deps.store.recent.read(session.id, RECENT);
    assertCredential(deps.guard, callerOf(req).credential);
    if (session?.delegation === undefined) throw notAmongYours();
    const { delegation } = session;
    cutWhenRevoked(res);
    res.json(delegatedView({ ...session, delegation }, recent));
  };
}

function notAmongYours(): ProblemError {
  const about = { problem: 'session_not_found', status: 404, code: 'not_found' } as const;
  return new ProblemError(
    about,
    'There is no such delegated session among yours. “portcullis delegations” lists them.',
  );
}

function endHandler(deps: DelegationApiDeps, delegations: Delegations): RequestHandler {
  return async (req, res) => {
    const holder = await holderOf(deps, req);
    const id = sessionIdSchema.safeParse(req.params['id']);
    assertCredential(deps.guard, callerOf(req).credential);
    const ended = id.success ? await delegations.end(holder, id.data) : undefined;
    if (ended === undefined) throw notAmongYours();
    const { result } = ended;
    const code = revocationStatus(result);
    const about = auditedSession(ended.record);
    const { identity, account, provider, client } = ended.record;
    record(deps, contextOf(req), {
      event: 'logout',
      path: pathOf(req),
      code,
      about: { identity, account, session: about.session },
      provider,
      reason: 'sign_out',
      details: {
        ...about.details,
        client,
        complete: String(result.complete),
        sessions: String(result.sessions),
        'streams-closed': String(result.streamsClosed),
      },
    });
    res.status(code).json(result);
  };
}

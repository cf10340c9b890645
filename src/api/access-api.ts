/** The handlers of the API for access requests, for programs at the api listener: `/-/access`. */
import type { RequestHandler } from 'express';
import { ACCESS_API } from '../core/api/access-operations.ts';
import { accessRequestIdSchema } from '../core/api/access.ts';
import { ACCESS } from '../core/api/rejections.ts';
import type { AccessRequest } from '../core/access/request.ts';
import { approvalsNeeded } from '../core/access/role.ts';
import { SerialQueue } from '../core/serial-queue.ts';
import { passed } from '../http/problem.ts';
import {
  accessRequestView,
  createWaiters,
  judgeSession,
  type AccessCaller,
  type AccessDeps,
  type AccessRequests,
  type AccessRequestView,
  type OfferedRole,
} from '../services/access/access.ts';
import { revocationStatus } from '../services/admin/admin.ts';
import type { Call, Handlers } from './call.ts';
import { ownApi, type OwnSessionsDeps } from './own-sessions.ts';
import { defined } from '../core/defined.ts';

/** Of one's own requests, in a list. */
const MINE = 50;
/** Lists of an account that may wait for one another. */
const MOST_LISTS_WAITING = 4;

export interface AccessApiDeps extends AccessDeps, Pick<OwnSessionsDeps, 'authenticate'> {
  readonly config: AccessDeps['config'] & OwnSessionsDeps['config'];
  /** Aborts when this replica begins to shut down: callers that wait get what there is, and ask another replica. */
  readonly leaving?: AbortSignal;
}

/** Returns a handler of all requests below `/-/access`; others it passes on. */
export const accessApi = (deps: AccessApiDeps, requests: AccessRequests): RequestHandler =>
  ownApi(deps, {
    description: ACCESS_API,
    what: 'access requests',
    orders: 'access requests at once',
    queues: { 'lists at once': new SerialQueue(MOST_LISTS_WAITING) },
    event: 'access-refused',
    failures: {
      log: 'request about access requests failed',
      notFound: 'There is no such resource among access requests.',
    },
    // Not even to read: what waits for approval is no business of a script.
    assertMay: ({ credential, delegation }) =>
      passed(ACCESS, judgeSession(deps, { account: credential.account, ...defined({ delegation }) })),
    handlers: handlersOf(deps, requests),
    live: {},
  });

/** Of the path. One that has not the form of an id is as unknown as any other. */
const idOf = ({ params }: Call): string => accessRequestIdSchema.safeParse(params['id']).data ?? '';

const offeredView = ({ role, needsFreshSignIn }: OfferedRole) => ({
  name: role.name,
  description: role.description,
  groups: role.groups,
  ...defined({ clusters: role.clusters }),
  needed: approvalsNeeded(role),
  approvers: role.approval === 'none' ? [] : role.approval.groups,
  longestSeconds: role.longest,
  ...defined({ reason: role.reason, freshnessSeconds: role.freshness }),
  needsFreshSignIn,
});

function handlersOf(deps: AccessApiDeps, requests: AccessRequests): Handlers<typeof ACCESS_API> {
  const waiters = createWaiters(deps);
  const view = (caller: AccessCaller, request: AccessRequest): AccessRequestView =>
    accessRequestView(request, {
      publicUrl: deps.config.publicUrl,
      nowMs: deps.clock.nowMs(),
      may: requests.may(caller, request),
    });
  return {
    /** The first page has what is the caller's own as well. */
    async listAccess(call) {
      const isFirst = call.query.cursor === undefined;
      const mine = isFirst ? await requests.mine(call, { limit: MINE }) : { requests: [] };
      const { requests: queue, cursor } = await requests.queue(call, call.query);
      const views = (list: readonly AccessRequest[]) => list.map((request) => view(call, request));
      return {
        body: {
          roles: isFirst ? requests.roles(call).map(offeredView) : [],
          mine: views(mine.requests),
          queue: views(queue),
          ...defined({ cursor }),
        },
      };
    },
    async requestAccess(call) {
      return { status: 201, body: view(call, passed(ACCESS, await requests.request(call, call.body))) };
    },
    async getAccess(call) {
      const { wait } = call.query;
      const before = passed(ACCESS, await requests.find(call, idOf(call)));
      if (wait === 0) return { body: view(call, before) };
      const changed = await waiters.wait(call, before, { seconds: wait, gone: call.gone() });
      return { body: view(call, passed(ACCESS, changed)) };
    },
    async approveAccess(call) {
      return { body: view(call, passed(ACCESS, await requests.approve(call, idOf(call), call.body.reason))) };
    },
    async denyAccess(call) {
      return { body: view(call, passed(ACCESS, await requests.deny(call, idOf(call), call.body.reason))) };
    },
    async endAccess(call) {
      const { result } = passed(ACCESS, await requests.end(call, idOf(call), call.query.reason));
      if (result === undefined) return { body: { withdrawn: true as const } };
      return { status: revocationStatus(result), body: result };
    },
  };
}

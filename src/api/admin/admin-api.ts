/**
 * The admin API, version 1, made from the table of routes. The same resources are served at two prefixes, which
 * differ only in the caller's credential: a browser's cookie, CSRF header and Origin, or a program's
 * certificate-bound Bearer token.
 *
 * The files of this folder:
 * - admin-api.ts: the router of one prefix
 * - routes.ts: the table of routes; openapi.ts, schemas.ts: the OpenAPI document made from it
 * - admin-call.ts: the steps of one call (role, query, response, audit event, error)
 * - admin-callers.ts: the caller of a Bearer token
 * - admin-reads.ts, admin-changes.ts: the handlers of reads and of changes
 * - admin-audit.ts, live-views.ts, event-stream.ts: handlers that stream, and the stream itself
 * - admin-access.ts: access requests
 * - admin-history.ts: searches in the audit log of the past
 */
import type { AdminApiDeps, AdminApiService } from '../dependencies.ts';
import express, { type RequestHandler } from 'express';
import { AppError } from '../../core/errors.ts';
import { type RunDrill, createSessionList } from '../../services/admin/admin.ts';
import { requireAuditLog } from '../../http/audit-events.ts';
import { tailAudit } from './admin-audit.ts';
import {
  change,
  identifyCaller,
  rejectUnknownQuery,
  streamOrJson,
  requireRole,
  methodNotAllowed,
  onError,
  read,
  type IdentifyCaller,
  type ReadResult,
} from './admin-call.ts';
import { deleteFreshSignIn, deleteLock, deleteSession, postDrill, postLock, postRevocation } from './admin-changes.ts';
import {
  freshSignIn,
  listClusters,
  listLocks,
  listProviders,
  listReplicas,
  listSessions,
  oneRevocation,
  revocationScope,
  oneSession,
  sessionRequests,
} from './admin-reads.ts';
import { accessHistory, decideAccess, endAccess, oneAccessRequest } from './admin-access.ts';
import { exportAudit, searchAudit } from './admin-history.ts';
import { inTurn, limitCalls, type CallLimits } from '../../http/call-limits.ts';
import type { SerialQueue } from '../../core/serial-queue.ts';
import { contextOf } from '../../http/request-context.ts';
import { liveReplicas, liveRevocation } from './live-views.ts';
import { openApiDocument } from './openapi.ts';
import { ROUTES, routes, type Route, type RouteName } from './routes.ts';

const notFound: RequestHandler = () => {
  throw new AppError('not_found', 'There is no such resource in version 1 of the admin API.');
};

type ReadHandler = Parameters<typeof read>[2];
type Handlers = Readonly<Record<RouteName, RequestHandler | readonly RequestHandler[]>>;

/** Returns a handler for each route. A route without a handler does not compile. */
function handlersOf(service: AdminApiService, runDrill: RunDrill, reads: SerialQueue): Handlers {
  const { deps } = service;
  const list = createSessionList(deps);
  const document = openApiDocument();
  const queue = { queue: reads, what: 'reads at once' };
  /** For what waits for more than the store, and has limits of its own. */
  const slowly = (name: RouteName, handler: ReadHandler): RequestHandler => read(deps, ROUTES[name], handler);
  /**
   * One at a time of an account. A stolen token lists two hundred sessions sixty times at once, all within the limit of a
   * minute: the replica would not renew its lease meanwhile.
   */
  const reading = (name: RouteName, handler: ReadHandler): RequestHandler =>
    slowly(name, (req) => inTurn(queue, contextOf(req).actor?.account ?? '', async () => handler(req)));
  return {
    listSessions: reading('listSessions', (req) => listSessions(list, req)),
    getSession: reading('getSession', (req) => oneSession(deps, req)),
    endSession: change(deps, deleteSession(service)),
    listSessionRequests: reading('listSessionRequests', (req) => sessionRequests(deps, req)),
    createRevocation: change(deps, postRevocation(service)),
    getRevocation: streamOrJson(
      liveRevocation(service),
      reading('getRevocation', (req) => oneRevocation(service, req)),
    ),
    getRevocationScope: reading('getRevocationScope', (req) => revocationScope(deps, req)),
    listLocks: reading('listLocks', () => listLocks(deps)),
    createLock: change(deps, postLock(service)),
    deleteLock: change(deps, deleteLock(service)),
    getFreshSignIn: reading('getFreshSignIn', (req) => freshSignIn(deps, req)),
    liftFreshSignIn: change(deps, deleteFreshSignIn(service)),
    listReplicas: streamOrJson(
      liveReplicas(deps),
      reading('listReplicas', () => listReplicas(deps)),
    ),
    listClusters: slowly('listClusters', () => listClusters(deps)),
    listProviders: slowly('listProviders', () => listProviders(deps)),
    listAccessRequests: reading('listAccessRequests', (req) => accessHistory(deps, req)),
    getAccessRequest: reading('getAccessRequest', (req) => oneAccessRequest(deps, req)),
    approveAccessRequest: change(deps, decideAccess(deps, 'approve')),
    denyAccessRequest: change(deps, decideAccess(deps, 'deny')),
    endAccessRequest: change(deps, endAccess(deps)),
    createDrill: change(deps, postDrill(runDrill)),
    tailAudit: deps.tails === undefined ? notFound : tailAudit(deps, deps.tails),
    searchAudit: slowly('searchAudit', (req) => searchAudit(deps, req)),
    exportAudit: exportAudit(deps),
    getOpenApi: reading('getOpenApi', (): ReadResult => ({ body: document, reason: 'openapi' })),
  };
}

/** Returns a path of the table in the router's syntax. */
const expressPath = (path: string): string => path.replace(/\{(\w+)\}/g, ':$1');

function addRoutes(deps: AdminApiDeps, api: express.Router, handlers: Handlers): void {
  const paths = new Set(routes.map(([, { path }]) => path));
  for (const path of paths) {
    const here = routes.filter(([, route]) => route.path === path);
    const resource = api.route(expressPath(path));
    for (const [name, route] of here) addRoute(deps, resource, route, [handlers[name]].flat());
    resource.all(methodNotAllowed(...here.map(([, { method }]) => method)));
  }
}

/** Adds one route. Each call passes the check of the role, then the check of the query, then the handler. */
function addRoute(
  deps: AdminApiDeps,
  resource: express.IRoute,
  route: Route,
  handlers: readonly RequestHandler[],
): void {
  const chain = [requireRole(deps, route), rejectUnknownQuery(route), ...handlers];
  switch (route.method) {
    case 'GET':
      resource.get(...chain);
      break;
    case 'POST':
      resource.post(...chain);
      break;
    case 'DELETE':
      resource.delete(...chain);
  }
}

interface ApiMount {
  /** Such as `/admin/api/v1`. */
  readonly prefix: string;
  /** Whether a 401 asks for a Bearer token. */
  readonly bearer: boolean;
  readonly identify: IdentifyCaller;
}

/**
 * Creates what both prefixes share: a call at one of them counts towards the limits at the other, and so does a
 * live view.
 * @param bounds of the reads and changes of an account
 * @returns a function that creates the router of one prefix. Each call first passes the checks of the audit log,
 *   the credential and the rate limits
 */
export function createAdminApi(
  service: AdminApiService,
  runDrill: RunDrill,
  { limits, reads }: { readonly limits: CallLimits; readonly reads: SerialQueue },
): (mount: ApiMount) => express.Router {
  const { deps } = service;
  const handlers = handlersOf(service, runDrill, reads);
  return ({ prefix, bearer, identify }) => {
    const api = express.Router({ caseSensitive: true, strict: true });
    api.use(requireAuditLog(deps), identifyCaller(identify, limits), limitCalls(limits));
    addRoutes(deps, api, handlers);
    api.use(notFound);
    const router = express.Router({ caseSensitive: true, strict: true });
    router.use(prefix, api);
    router.use(prefix, onError(deps, bearer));
    return router;
  };
}

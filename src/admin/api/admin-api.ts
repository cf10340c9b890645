/**
 * The admin API, version 1, made from the table of routes. The same resources twice, told apart only by how the caller proves who they
 * are: a browser by cookie, CSRF header and Origin; a program by a certificate-bound Bearer token.
 */
import express, { type RequestHandler } from 'express';
import { AppError } from '../../core/errors.ts';
import type { AdminDeps } from '../dependencies.ts';
import { requireAuditLog } from '../../http/audit-events.ts';
import type { RunDrill } from '../drills.ts';
import type { AdminService } from '../revoke.ts';
import { createSessionList } from '../session-query.ts';
import { tailAudit } from './admin-audit.ts';
import {
  change,
  identified,
  knownQuery,
  liveWhereAsked,
  mayDo,
  notAllowed,
  onError,
  read,
  type IdentifyCaller,
  type Reply,
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
  oneSession,
  sessionRequests,
} from './admin-reads.ts';
import { limitCalls, type CallLimits } from './call-limits.ts';
import { liveReplicas, liveRevocation } from './live-views.ts';
import { openApiDocument } from './openapi.ts';
import { ROUTES, routes, type Route, type RouteName } from './routes.ts';

const nothingHere: RequestHandler = () => {
  throw new AppError('not_found', 'There is no such resource in version 1 of the admin API.');
};

type Handlers = Readonly<Record<RouteName, RequestHandler | readonly RequestHandler[]>>;

/** One for each route; a route without one does not compile. */
function handlersOf(service: AdminService, runDrill: RunDrill): Handlers {
  const { deps } = service;
  const list = createSessionList(deps);
  const document = openApiDocument();
  const reading = (name: RouteName, handler: Parameters<typeof read>[2]): RequestHandler =>
    read(deps, ROUTES[name], handler);
  return {
    listSessions: reading('listSessions', (req) => listSessions(list, req)),
    getSession: reading('getSession', (req) => oneSession(deps, req)),
    endSession: change(deps, deleteSession(service)),
    listSessionRequests: reading('listSessionRequests', (req) => sessionRequests(deps, req)),
    createRevocation: change(deps, postRevocation(service)),
    getRevocation: liveWhereAsked(
      liveRevocation(service),
      reading('getRevocation', (req) => oneRevocation(service, req)),
    ),
    listLocks: reading('listLocks', () => listLocks(deps)),
    createLock: change(deps, postLock(service)),
    deleteLock: change(deps, deleteLock(service)),
    getFreshSignIn: reading('getFreshSignIn', (req) => freshSignIn(deps, req)),
    liftFreshSignIn: change(deps, deleteFreshSignIn(service)),
    listReplicas: liveWhereAsked(
      liveReplicas(deps),
      reading('listReplicas', () => listReplicas(deps)),
    ),
    listClusters: reading('listClusters', () => listClusters(deps)),
    listProviders: reading('listProviders', () => listProviders(deps)),
    createDrill: change(deps, postDrill(runDrill)),
    tailAudit: deps.tails === undefined ? nothingHere : tailAudit(deps, deps.tails),
    getOpenApi: reading('getOpenApi', (): Reply => ({ body: document, reason: 'openapi' })),
  };
}

/** As the router spells a path of the table. */
const expressPath = (path: string): string => path.replace(/\{(\w+)\}/g, ':$1');

function addRoutes(deps: AdminDeps, api: express.Router, handlers: Handlers): void {
  const paths = new Set(routes.map(([, { path }]) => path));
  for (const path of paths) {
    const here = routes.filter(([, route]) => route.path === path);
    const resource = api.route(expressPath(path));
    for (const [name, route] of here) addRoute(deps, resource, route, [handlers[name]].flat());
    resource.all(notAllowed(...here.map(([, { method }]) => method)));
  }
}

/** Order for each call: may they, is that a question at all, what do they say. */
function addRoute(deps: AdminDeps, resource: express.IRoute, route: Route, handlers: readonly RequestHandler[]): void {
  const chain = [mayDo(deps, route), knownQuery(route), ...handlers];
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

interface Door {
  /** Such as `/admin/api/v1`. */
  readonly prefix: string;
  /** Whether a 401 asks for a Bearer token. */
  readonly bearer: boolean;
  readonly identify: IdentifyCaller;
}

/**
 * What both doors share: a call at one of them counts at the other, and so does a live view.
 * @returns makes the resources below one prefix. Before each call: can it be recorded, who calls, how often
 */
export function createAdminApi(
  service: AdminService,
  runDrill: RunDrill,
  limits: CallLimits,
): (door: Door) => express.Router {
  const { deps } = service;
  const handlers = handlersOf(service, runDrill);
  return ({ prefix, bearer, identify }) => {
    const api = express.Router({ caseSensitive: true, strict: true });
    api.use(requireAuditLog(deps), identified(identify, limits), limitCalls(limits));
    addRoutes(deps, api, handlers);
    api.use(nothingHere);
    const router = express.Router({ caseSensitive: true, strict: true });
    router.use(prefix, api);
    router.use(prefix, onError(deps, bearer));
    return router;
  };
}

/**
 * Web: the pages for browsers and the web consoles; it also mounts the admin API.
 *
 * Owns: the sign-in pages, the user's own page, the admin pages, the browser cookie with its CSRF token, and the
 * order in which the parts of the web listener see a request. Must not know: how tokens are minted (module
 * `oauth`), Kubernetes requests, or Redis.
 *
 * - `browser`: the signed-in user of a browser: cookies, session, CSRF token, guards.
 * - `sign-in`, `device`: sign-ins and the sign-out. `step-up`: a later proof for a session.
 * - `my-sessions`, `access`, `admin`: the pages of a user and of an admin; rights for a while.
 * - `consoles`: web consoles, each on a host name of its own.
 * - `page`, `assets`: templates, layout, error pages, response headers; style sheets, scripts and the icon.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import querystring from 'node:querystring';
import express, { type ErrorRequestHandler, type Express, type RequestHandler } from 'express';
import { AppError } from '../core/errors.ts';
import { unescapeForm } from '../core/request/form.ts';
import { assetFiles } from './page/assets.ts';
import { bearerCaller, createAdminApi } from '../api/api.ts';
import { browserCaller } from './browser/admin-caller.ts';
import { accessPages } from './access/access-pages.ts';
import { adminPages } from './admin/admin-pages.ts';
import { backchannelLogout } from './sign-in/backchannel-logout.ts';
import { type AdminService, type RunDrill, createDrills, createRevocationResults } from '../services/admin/admin.ts';
import { createBrowserSessions } from './browser/browser-session.ts';
import { browserSignIn } from './sign-in/browser-sign-in.ts';
import { callback } from './sign-in/callback.ts';
import { clientAddresses, socketAddress, type ClientAddressOf } from '../http/client-address.ts';
import { clientSignIn } from './sign-in/client-sign-in.ts';
import { limitSignIns } from './sign-in/sign-in-limit.ts';
import { createConsoles, mainHostOnly, type Consoles } from './consoles/consoles.ts';
import type { WebDeps } from './dependencies.ts';
import { deviceSignIn } from './device/device-sign-in.ts';
import { sendErrorPage } from './page/error-page.ts';
import { logServerError } from './page/server-error-log.ts';
import { createGuards } from './browser/guards.ts';
import { createCallLimits, type CallLimits } from '../http/call-limits.ts';
import { SerialQueue } from '../core/serial-queue.ts';
import { mySessions } from './my-sessions/my-sessions.ts';
import { requireAuditLog } from '../http/audit-events.ts';
import { sendProblem } from '../http/problem.ts';
import { createRateLimiter } from '../core/rate-limit.ts';
import { stepUpPages } from './step-up/step-up.ts';
import { limitPending } from './page/pending-requests.ts';
import { noStore, securityHeaders } from './page/security-headers.ts';
import { beginContext, contextOf } from '../http/request-context.ts';

export { errorDocument } from './page/error-page.ts';
export type { WebDeps } from './dependencies.ts';

export interface Web {
  /** The pages of the main host. */
  readonly app: Express;
  /** Serves a web listener: the pages under our own host name, and each console under its own. */
  readonly serve: (server: Server) => void;
  /** `/-/admin/api/v1/…`, and the other APIs for programs, on the api listener, where the client certificate is seen. */
  readonly adminApi: (req: IncomingMessage, res: ServerResponse) => void;
}

/** Pages and reads of an account that may wait for one another: a browser opens some, a script twenty at once. */
const MOST_READS_WAITING = 24;

const OAUTH_PATH = /^\/(?:oauth|\.well-known)(?:\/|$)/;

/** Express' own `simple` parser, but for the exceptions. */
const parseQuery = (query: string): querystring.ParsedUrlQuery =>
  querystring.parse(query, '&', '=', { decodeURIComponent: unescapeForm });

/** An Express app that trusts no forwarded header and does not name itself in responses. */
function plainExpress(addressOf: ClientAddressOf): Express {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.enable('case sensitive routing');
  app.enable('strict routing');
  app.set('query parser', parseQuery);
  app.set('trust proxy', false);
  app.use((req, res, next) => {
    // Express parses it again each time that it is read.
    let query: unknown;
    Object.defineProperty(req, 'query', {
      get: () => (query ??= Reflect.get(Object.getPrototypeOf(req) as object, 'query', req)),
    });
    beginContext(req, res, addressOf);
    next();
  });
  return app;
}

const notFound: RequestHandler = () => {
  throw new AppError('not_found', 'There is no page at this address.');
};

/**
 * Sends the error page. A response that has begun is broken off instead, because the client would take it for a
 * complete one.
 */
function errorPages(deps: WebDeps): ErrorRequestHandler {
  return (thrown: unknown, req, res, _next) => {
    const context = contextOf(req);
    logServerError(deps, context.requestId, thrown);
    if (res.headersSent) res.destroy();
    else sendErrorPage(res, context, thrown, deps.config.contact);
  };
}

function errorProblems(deps: WebDeps): ErrorRequestHandler {
  return (thrown: unknown, req, res, _next) => {
    const { requestId } = contextOf(req);
    logServerError(deps, requestId, thrown);
    if (res.headersSent) res.destroy();
    else sendProblem(res, thrown, { requestId, bearer: true });
  };
}

/** The parts that both mounts of the admin API share, so that a drill at one of them is known at the other. */
interface AdminParts {
  readonly service: AdminService & { readonly deps: WebDeps };
  readonly runDrill: RunDrill;
  readonly limits: CallLimits;
  readonly reads: SerialQueue;
  readonly adminApi: ReturnType<typeof createAdminApi>;
}

function webApp(
  { service, runDrill, limits: callLimits, reads, adminApi }: AdminParts,
  consoles: Consoles | undefined,
): Express {
  const { deps } = service;
  const { publicUrl, limits } = deps.config;
  const browsers = createBrowserSessions(deps);
  const guards = createGuards(browsers, deps, { limits: callLimits, queue: reads });
  const limit = createRateLimiter(limits.signInsPerMinute, deps.clock);
  const app = plainExpress(clientAddresses({ ...deps, publicUrl }));
  app.use(securityHeaders(publicUrl));
  app.use(assetFiles());
  app.use(noStore);
  app.use(limitPending(deps));
  const limited = () => limitSignIns(deps, createRateLimiter(limits.signInsPerMinute, deps.clock), '/oauth/authorize');
  // Each step has a limit of its own: a sign-in with kubectl takes one of each, and one where it continues to the
  // provider.
  const steps = { begin: limited(), resume: limited() };
  app.use((req, res, next) => {
    if (!OAUTH_PATH.test(req.path)) return next();
    const serve = (): void => deps.oauthHandler(req, res, contextOf(req).address);
    if (!req.path.startsWith('/oauth/authorize') || deps.audit.blocked) return serve();
    // An attacker makes authorization requests without end, each of which writes to the store, so each address may
    // make a limited number a minute. An attacker resumes one of them many times at once (`/oauth/authorize/…`)
    // before anyone has signed in, and the library begins as many interactions, so that step is limited, too.
    const step = req.path === '/oauth/authorize' ? steps.begin : steps.resume;
    void step(req, res, serve);
  });
  const identify = browserCaller(deps, browsers);
  app.use(adminApi({ prefix: '/admin/api/v1', bearer: false, identify }));
  app.use(backchannelLogout(deps));
  app.use(requireAuditLog(deps));
  app.use(browserSignIn(deps, browsers, limit));
  app.use(callback(deps));
  app.use(clientSignIn(deps, limit));
  app.use(deviceSignIn(deps, browsers, limit));
  app.use(stepUpPages(deps, { browsers, guards, signIns: limit }));
  app.use(mySessions(deps, browsers, guards));
  app.use(accessPages(deps, guards, service.results));
  app.use(adminPages({ ...service, runDrill }, guards));
  if (consoles !== undefined) app.use(consoles.entrance(browsers));
  app.use(notFound);
  app.use(errorPages(deps));
  return app;
}

function programApp({ service, adminApi }: AdminParts): Express {
  const { deps } = service;
  const app = plainExpress(socketAddress);
  app.use(securityHeaders(deps.config.publicUrl));
  app.use(noStore);
  app.use(adminApi({ prefix: '/-/admin/api/v1', bearer: true, identify: bearerCaller(deps) }));
  for (const handler of deps.programs ?? []) app.use(handler);
  app.use(notFound);
  app.use(errorProblems(deps));
  return app;
}

/**
 * Builds the web listener's handler and the admin API for programs. Opens nothing and starts nothing.
 * @throws Error when a cluster's `allow` does not compile; the configuration has checked that before
 */
export function createWeb(deps: WebDeps): Web {
  const service = { deps, results: deps.results ?? createRevocationResults(deps) };
  const runDrill = createDrills(service);
  const limits = createCallLimits(deps.clock);
  const reads = new SerialQueue(MOST_READS_WAITING);
  const adminApi = createAdminApi(service, runDrill, { limits, reads });
  const admin = { service, runDrill, limits, reads, adminApi };
  const programs = programApp(admin);
  const { publicUrl, limits: ofConfig } = deps.config;
  const consoles =
    deps.consoles === undefined
      ? undefined
      : createConsoles({ ...deps, ...deps.consoles, publicUrl, limits: ofConfig });
  const app = webApp(admin, consoles);
  return {
    app,
    serve: (server) => {
      server.on('request', (_req, res) => {
        // The browser would reuse a connection that stays open, and come back to this replica instead of one that
        // stays.
        if (deps.leaving?.aborted === true) res.shouldKeepAlive = false;
      });
      if (consoles === undefined) server.on('request', mainHostOnly(publicUrl, app));
      else consoles.serve(server, app);
    },
    adminApi: (req, res) => {
      programs(req, res);
    },
  };
}

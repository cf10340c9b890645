/**
 * The ops listener: `/metrics`, `/livez`, `/readyz` for the platform, on a separate port that outside clients
 * cannot reach.
 */
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerOptions, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Health, HealthReport } from './health.ts';
import type { Logger } from './logger.ts';
import type { Metrics } from './types.ts';

export interface OpsParts {
  readonly metrics: Pick<Metrics, 'render'>;
  readonly health: Pick<Health, 'live' | 'ready'>;
  readonly logger: Pick<Logger, 'info' | 'warn' | 'error'>;
}

const MOST_CONNECTIONS = 256;

interface OpsResponse {
  readonly status: number;
  readonly body: string;
  readonly contentType?: string;
}

const NOT_FOUND: OpsResponse = { status: 404, body: 'not found: this listener has /metrics, /livez and /readyz\n' };

/**
 * Creates the server; the caller listens and closes. GET and HEAD only, else 405; other paths 404. Health checks
 * return 200 or 503, in the format of Kubernetes' own `/readyz`: `ok`, or each check by name with `?verbose` and
 * whenever one fails; `?exclude=NAME` omits one.
 * @param more further options of the server
 */
export function createOpsListener(parts: OpsParts, more: ServerOptions = {}): Server {
  const respond = routes(parts);
  const server = createServer(
    // No request here is long or frequent, and any client in the cluster's network can send one.
    { headersTimeout: 5000, requestTimeout: 10_000, keepAliveTimeout: 15_000, maxHeaderSize: 8192, ...more },
    (request, response) => {
      respond(request).then(
        (result) => send(response, result),
        (error: unknown) => {
          parts.logger.error({ err: error }, 'the ops listener could not respond');
          send(response, { status: 500, body: 'internal error: see the log\n' });
        },
      );
    },
  );
  closeFirstOpened(server);
  return server;
}

/**
 * Lets the connection that was opened first give way to a new one. An attacker in the cluster's network opens as many
 * as there may be, and sends a request on each every few seconds: the kubelet's probe would get none, and the kubelet
 * would restart a replica that is well. A probe takes a few milliseconds, in which no one opens as many others.
 */
function closeFirstOpened(server: Server): void {
  const open = new Set<Socket>();
  server.on('connection', (socket) => {
    open.add(socket);
    socket.once('close', () => open.delete(socket));
    const [first] = open;
    if (open.size <= MOST_CONNECTIONS || first === undefined) return;
    open.delete(first);
    first.destroy();
  });
}

function routes({ metrics, health, logger }: OpsParts): (request: IncomingMessage) => Promise<OpsResponse> {
  const logReadiness = logTransitions(logger);
  return async (request) => {
    if (request.method !== 'GET' && request.method !== 'HEAD') return { status: 405, body: 'only GET and HEAD\n' };
    const [path = '', query] = (request.url ?? '').split('?', 2);
    const parameters = new URLSearchParams(query);
    const verbose = parameters.has('verbose');
    switch (path) {
      case '/metrics':
        return { status: 200, ...(await metrics.render(request.headers.accept)) };
      case '/livez':
        return healthResponse('livez', await health.live(), verbose);
      case '/readyz': {
        const report = await health.ready();
        logReadiness(report);
        return healthResponse('readyz', without(report, parameters.getAll('exclude')), verbose);
      }
      default:
        return NOT_FOUND;
    }
  };
}

function without({ checks }: HealthReport, names: readonly string[]): HealthReport {
  const rest = checks.filter(({ name }) => !names.includes(name));
  return { ok: rest.every(({ problem }) => problem === undefined), checks: rest };
}

function healthResponse(name: string, report: HealthReport, verbose: boolean): OpsResponse {
  if (report.ok && !verbose) return { status: 200, body: 'ok\n' };
  const lines = report.checks.map(({ name: check, problem }) =>
    problem === undefined ? `[+]${check} ok` : `[-]${check} failed: ${problem}`,
  );
  lines.push(report.ok ? `${name} check passed` : `${name} check failed`);
  return { status: report.ok ? 200 : 503, body: `${lines.join('\n')}\n` };
}

/** Probes come every few seconds, so only a change is logged. */
function logTransitions(logger: Pick<Logger, 'info' | 'warn'>): (report: HealthReport) => void {
  let wasReady: boolean | undefined;
  return ({ ok, checks }) => {
    if (ok === wasReady) return;
    wasReady = ok;
    if (ok) logger.info('ready to serve');
    else
      logger.warn(
        { failed: checks.filter((check) => check.problem !== undefined) },
        'not ready to serve; load balancers send nothing here until these checks pass',
      );
  };
}

/** For HEAD, node:http omits the body and keeps the headers. */
function send(response: ServerResponse, result: OpsResponse): void {
  if (response.destroyed || response.headersSent) return;
  response.writeHead(result.status, {
    'content-type': result.contentType ?? 'text/plain; charset=utf-8',
    'content-length': Buffer.byteLength(result.body),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    ...(result.status === 405 ? { allow: 'GET, HEAD', connection: 'close' } : {}),
  });
  response.end(result.body);
}

/** The ops listener: `/metrics`, `/livez`, `/readyz` for the platform, on a port of its own that outsiders do not reach. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Health, HealthReport } from './health.ts';
import type { Logger } from './logger.ts';
import type { Metrics } from './types.ts';

export interface OpsParts {
  readonly metrics: Pick<Metrics, 'render'>;
  readonly health: Pick<Health, 'live' | 'ready'>;
  readonly logger: Pick<Logger, 'info' | 'warn' | 'error'>;
}

interface Answer {
  readonly status: number;
  readonly body: string;
  readonly contentType?: string;
}

const NOT_FOUND: Answer = { status: 404, body: 'not found: this listener has /metrics, /livez and /readyz\n' };

/**
 * Makes the server; the caller listens and closes. GET and HEAD only, else 405; other paths 404. Health answers 200 or 503, in words
 * as Kubernetes' own `/readyz` has them: `ok`, or each check by name with `?verbose` and whenever one fails; `?exclude=NAME` leaves one out.
 */
export function createOpsListener(parts: OpsParts): Server {
  const answerFor = routes(parts);
  const server = createServer(
    // Nothing here needs long requests or many of them, and anybody in the cluster's network may try.
    { headersTimeout: 5000, requestTimeout: 10_000, keepAliveTimeout: 15_000, maxHeaderSize: 8192 },
    (request, response) => {
      answerFor(request).then(
        (answer) => send(response, answer),
        (error: unknown) => {
          parts.logger.error({ err: error }, 'the ops listener could not answer');
          send(response, { status: 500, body: 'internal error: see the log\n' });
        },
      );
    },
  );
  server.maxConnections = 256;
  return server;
}

function routes({ metrics, health, logger }: OpsParts): (request: IncomingMessage) => Promise<Answer> {
  const noticeReadiness = logTransitions(logger);
  return async (request) => {
    if (request.method !== 'GET' && request.method !== 'HEAD') return { status: 405, body: 'only GET and HEAD\n' };
    const [path = '', query] = (request.url ?? '').split('?', 2);
    const wanted = new URLSearchParams(query);
    const verbose = wanted.has('verbose');
    switch (path) {
      case '/metrics':
        return { status: 200, ...(await metrics.render(request.headers.accept)) };
      case '/livez':
        return healthAnswer('livez', await health.live(), verbose);
      case '/readyz': {
        const report = await health.ready();
        noticeReadiness(report);
        return healthAnswer('readyz', without(report, wanted.getAll('exclude')), verbose);
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

function healthAnswer(name: string, report: HealthReport, verbose: boolean): Answer {
  if (report.ok && !verbose) return { status: 200, body: 'ok\n' };
  const lines = report.checks.map(({ name: check, problem }) =>
    problem === undefined ? `[+]${check} ok` : `[-]${check} failed: ${problem}`,
  );
  lines.push(report.ok ? `${name} check passed` : `${name} check failed`);
  return { status: report.ok ? 200 : 503, body: `${lines.join('\n')}\n` };
}

/** Probes come every few seconds: only a change is worth a line. */
function logTransitions(logger: Pick<Logger, 'info' | 'warn'>): (report: HealthReport) => void {
  let wasReady: boolean | undefined;
  return ({ ok, checks }) => {
    if (ok === wasReady) return;
    wasReady = ok;
    if (ok) logger.info('ready to serve');
    else logger.warn({ failed: checks.filter((check) => check.problem !== undefined) }, 'not ready to serve');
  };
}

/** For HEAD, node:http leaves out the body and keeps the headers. */
function send(response: ServerResponse, answer: Answer): void {
  if (response.destroyed || response.headersSent) return;
  response.writeHead(answer.status, {
    'content-type': answer.contentType ?? 'text/plain; charset=utf-8',
    'content-length': Buffer.byteLength(answer.body),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    ...(answer.status === 405 ? { allow: 'GET, HEAD', connection: 'close' } : {}),
  });
  response.end(answer.body);
}

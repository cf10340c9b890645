/**
 * The steps of a call, the same for every operation of every API: the audit log is open → who calls → how often → whether they
 * may → what they ask → the work → is the credential still good → the audit event → the response.
 *
 * An attacker whose credential is revoked while a store is read must get nothing of what was read. So no handler sends: each
 * returns what it found, and it is sent in the tick in which the credential was found good, and cut when it is revoked later
 * (src/http/revocable-response.ts). Only the response to what was done is sent in any case (`reports`).
 */
import { createHash } from 'node:crypto';
import express, { type NextFunction, type Request, type RequestHandler, type Response } from 'express';
import type { z } from 'zod';
import { whenOver } from '../core/http/response-over.ts';
import { checked } from '../core/api/issues.ts';
import { isChange, type ApiDescription, type Operation } from '../core/api/operation.ts';
import type { PortcullisEventName } from '../core/audit/event.ts';
import { AppError } from '../core/errors.ts';
import type { RateLimiter } from '../core/rate-limit.ts';
import type { SerialQueue } from '../core/serial-queue.ts';
import type { Clock } from '../contracts/clock.ts';
import type { Logger } from '../contracts/logger.ts';
import type { AuditTrail } from '../audit/audit.ts';
import { assertAuditable, record, type AuditedAct } from '../http/audit-events.ts';
import { inTurn, limiterKey, rejectionOrTooMany, takeCall, tooMany, type CallLimits } from '../http/call-limits.ts';
import { appErrorOf } from '../http/error-status.ts';
import { ProblemError, sendProblem } from '../http/problem.ts';
import { contextOf, knownActorOf, noteActor, type Actor } from '../http/request-context.ts';
import { cutWhenRevoked } from '../http/revocable-response.ts';
import type { Call, Handler, Handlers, LiveView, LiveViews, ReadAudit, Reply } from './call.ts';

/** Verifies the caller's credential. Throws `AppError` `unauthenticated`, `forbidden` or `fenced`. */
export type IdentifyCaller = (req: Request) => Promise<Actor>;

interface PipelineDeps {
  readonly audit: Pick<AuditTrail, 'record' | 'blocked'>;
  readonly clock: Clock;
  readonly logger: Pick<Logger, 'error'>;
}

/** An API with what its calls need. */
export interface Api<A extends ApiDescription> {
  readonly description: A;
  readonly deps: PipelineDeps;
  readonly handlers: Handlers<A>;
  readonly live: LiveViews<A>;
  readonly limits: CallLimits;
  /** What calls count for. Default: the account. */
  readonly spenderOf?: (req: Request) => string;
  /** By `inTurn` of an operation. */
  readonly queues: Readonly<Record<string, SerialQueue>>;
  /** Counts operations with `order`. */
  readonly orders?: { readonly limiter: RateLimiter; readonly what: string };
  /**
   * Asserts that the caller may make this call.
   * @param operation undefined where there is none at this path
   */
  readonly assertMay: (actor: Actor, operation: Operation | undefined, req: Request) => void;
  /** Asserts how recent the sign-in is, for operations with `fresh`. */
  readonly assertFresh?: (actor: Actor) => void;
  /** True: a parameter of the query that the operation does not have is rejected. */
  readonly rejectsUnknownQuery: boolean;
  readonly failures: Failures;
}

/** What is made of an error. */
interface Failures {
  /** For the server's log, where the error is one of the server. */
  readonly log: string;
  /** `detail` of a 404 for a path without an operation. */
  readonly notFound: string;
  /** The event of a call that is no operation. */
  readonly event: (req: Request) => PortcullisEventName;
  /** The event of a caller who is rejected, whatever they call. Default: that of the operation. */
  readonly refused?: PortcullisEventName;
  /** The path for the audit event. Default: that of the request, without its query. */
  readonly path?: (path: string) => string;
  /** Whether an error is no more than sent. Default: none is. */
  readonly isQuiet?: (req: Request, status: number) => boolean;
  /** Further facts about the caller. Default: none. */
  readonly about?: (req: Request) => Pick<AuditedAct, 'about' | 'provider' | 'details'>;
  /** Counts an error that is audited here. */
  readonly count?: (req: Request, status: number) => void;
}

export interface Mount {
  /** Such as `/admin/api/v1`; empty for an API that is served at one path. */
  readonly prefix: string;
  /** Whether a 401 asks for a Bearer token. */
  readonly bearer: boolean;
  readonly identify: IdentifyCaller;
}

/** One operation with its handlers; both undefined where there is none at a path. */
interface Served {
  readonly operation?: Operation;
  readonly handler?: Handler;
  readonly live?: LiveView;
  /** Responds where there is no operation. */
  readonly otherwise?: (res: Response) => never;
  /** The event of such a call that may have been meant to change something. */
  readonly event?: PortcullisEventName | undefined;
}

/** Returns a path of the table in the router's syntax. */
const expressPath = (path: string): string => path.replace(/\{(\w+)\}/g, ':$1');

/** Returns the router of an API at one prefix; it passes on other paths. */
export function apiRouter<A extends ApiDescription>(api: Api<A>, mount: Mount): express.Router {
  const json = express.json({ limit: api.description.bodyBytes, type: 'application/json' });
  const serve = (served: Served): RequestHandler => callOf(api, mount, { ...served, json });
  const operations = Object.entries(api.description.operations);
  const root = `${mount.prefix}${api.description.root}`;
  const router = express.Router({ caseSensitive: true, strict: true });
  for (const path of new Set(operations.map(([, operation]) => operation.path))) {
    const here = operations.filter(([, operation]) => operation.path === path);
    const resource = router.route(`${root}${expressPath(path)}`);
    for (const [name, operation] of here) {
      const handler = Object.getOwnPropertyDescriptor(api.handlers, name)?.value as Handler | undefined;
      const live = Object.getOwnPropertyDescriptor(api.live, name)?.value as LiveView | undefined;
      const served = serve({ operation, ...(handler && { handler }), ...(live && { live }) });
      switch (operation.method) {
        case 'GET':
          resource.get(served);
          break;
        case 'POST':
          resource.post(served);
          break;
        case 'DELETE':
          resource.delete(served);
      }
    }
    const event = here.find(([, operation]) => isChange(operation))?.[1].event;
    resource.all(serve({ otherwise: methodNotAllowed(here.map(([, { method }]) => method)), event }));
  }
  router.use(
    root,
    serve({
      otherwise: () => {
        throw new AppError('not_found', api.failures.notFound);
      },
    }),
  );
  return router;
}

const methodNotAllowed =
  (allowed: readonly string[]) =>
  (res: Response): never => {
    res.setHeader('Allow', allowed.join(', '));
    throw new ProblemError(
      { problem: 'method_not_allowed', status: 405, code: 'bad_request' },
      `This resource takes ${allowed.join(', ')}.`,
    );
  };

type Parser = ReturnType<typeof express.json>;

/** Returns the handler of an operation: every step of its calls. */
function callOf<A extends ApiDescription>(
  api: Api<A>,
  { bearer, identify }: Mount,
  { operation, handler, live, otherwise, event, json }: Served & { readonly json: Parser },
): RequestHandler {
  return async (req, res, next) => {
    try {
      assertAuditable(api.deps);
      const actor = await identified(api, identify, req);
      const spender = api.spenderOf?.(req) ?? actor.account;
      const seconds = takeCall(api.limits, req, spender);
      if (seconds > 0) throw tooMany('calls', seconds);
      api.assertMay(actor, operation, req);
      if (operation === undefined) return otherwise?.(res);
      if (api.rejectsUnknownQuery) assertKnownQuery(operation, req);
      if (live !== undefined && isWanted(live, handler, req, res)) {
        return await stream(api, { operation, live }, req, res);
      }
      if (handler === undefined) throw new AppError('not_found', api.failures.notFound);
      if (operation.fresh === true) api.assertFresh?.(actor);
      if (operation.order === true) takeOrder(api, spender);
      if (operation.body !== undefined) await parsed(json, req, res);
      const queue = operation.inTurn === undefined ? undefined : api.queues[operation.inTurn];
      const work = async (): Promise<Reply> =>
        answered(operation, actor, () => handler(callWith(api, operation, req, res)));
      const reply =
        queue === undefined ? await work() : await inTurn({ queue, what: operation.inTurn ?? '' }, spender, work);
      send(api, operation, { req, res, reply });
    } catch (thrown) {
      const isRead = req.method === 'GET' || req.method === 'HEAD';
      const attempted = operation?.event ?? (isRead ? undefined : event) ?? api.failures.event(req);
      fail(api, { attempted, bearer, thrown }, { req, res, next });
    }
  };
}

const reports = (operation: Operation): boolean => 'reports' in operation && operation.reports === true;

/** Does the work. That something is not there is what was read, too. */
async function answered<T>(operation: Operation, actor: Actor, work: () => Promise<T> | T): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    if (!reports(operation) && thrown instanceof AppError && thrown.code === 'not_found') actor.assertValid();
    throw thrown;
  }
}

async function identified<A extends ApiDescription>(
  { limits }: Api<A>,
  identify: IdentifyCaller,
  req: Request,
): Promise<Actor> {
  try {
    const actor = await identify(req);
    noteActor(req, actor);
    return actor;
  } catch (thrown) {
    throw rejectionOrTooMany(limits, req, thrown);
  }
}

function takeOrder<A extends ApiDescription>({ orders }: Api<A>, spender: string): void {
  if (orders === undefined) throw new Error('the API has a limit on orders, and no limiter');
  const seconds = orders.limiter.take(limiterKey(spender));
  if (seconds > 0) throw tooMany(orders.what, seconds);
}

/** Reads the body. Rejects with the error of body-parser. */
const parsed = (json: Parser, req: Request, res: Response): Promise<void> =>
  new Promise((resolve, reject) => {
    json(req, res, (error?: unknown) => {
      if (error === undefined) resolve();
      else reject(error instanceof Error ? error : new Error('the body could not be read'));
    });
  });

const shapeOf = (query: z.ZodType | undefined): readonly string[] =>
  query !== undefined && 'shape' in query ? Object.keys(query.shape as object) : [];

/**
 * Rejects unknown query parameters. Without that a mistyped filter would be ignored, and the caller would take the
 * response for a narrower one.
 */
function assertKnownQuery({ query }: Operation, req: Request): void {
  const known = shapeOf(query);
  if (Object.keys(req.query).every((name) => known.includes(name))) return;
  const allowed = known.length === 0 ? 'none' : known.join(', ');
  throw new AppError('bad_request', `The query has an unknown parameter. Allowed here: ${allowed}.`, {
    reason: 'query_malformed',
  });
}

/** Whether the client takes a stream of events, as the EventSource of browsers does. */
function isWanted(live: LiveView, handler: Handler | undefined, req: Request, res: Response): boolean {
  if (handler === undefined) return true;
  res.vary('Accept');
  return req.accepts(['json', 'text/event-stream']) === 'text/event-stream';
}

/** @throws AppError `bad_request` for a query or a body that is not as the operation has it */
function callWith<A extends ApiDescription>(
  api: Api<A>,
  operation: Operation,
  req: Request,
  res: Response,
): Call<never, never> {
  const { query, body } = operation;
  const schema = body === undefined ? undefined : api.description.schemas[body];
  return {
    actor: knownActorOf(req),
    context: contextOf(req),
    path: pathOf(req),
    params: req.params as Readonly<Record<string, string>>,
    rawQuery: { ...req.query },
    query: (query === undefined ? undefined : validQuery(api, operation, query, req)) as never,
    body: (schema === undefined ? undefined : validBody(schema, req.body)) as never,
    header: (name) => req.get(name),
    gone: () => goneSignal(res),
    isAbandoned: () => res.destroyed,
  };
}

/** The audit event of an admin's change names the parameter that is wrong; that of a read has the whole query. */
function validQuery<A extends ApiDescription>(
  { rejectsUnknownQuery }: Api<A>,
  operation: Operation,
  schema: z.ZodType,
  req: Request,
): unknown {
  const given = { ...req.query };
  const result = checked(schema, given);
  if (result.ok) return result.value;
  const [name = 'query'] = schema.safeParse(given).error?.issues[0]?.path ?? [];
  const reason = rejectsUnknownQuery && isChange(operation) ? `${String(name)}_malformed` : 'query_malformed';
  throw new AppError('bad_request', result.reason, { reason });
}

function validBody(schema: z.ZodType, body: unknown): unknown {
  const result = checked(schema, body);
  if (result.ok) return result.value;
  const message = body === undefined ? 'Send JSON as application/json.' : result.reason;
  throw new AppError('bad_request', message, { reason: 'request_malformed' });
}

function goneSignal(res: Response): AbortSignal {
  const gone = new AbortController();
  whenOver(res, () => gone.abort());
  return gone.signal;
}

/** The path that the audit event names, whole where a router has taken its own part off. */
const pathOf = ({ originalUrl }: Request): string => originalUrl.split('?', 1)[0] ?? '';

/** Returns an entity tag (RFC 9110 §8.8.3). It is weak, because it stands for the content and not for its bytes. */
const entityTag = (text: string): string => `W/"${createHash('sha256').update(text).digest('base64url').slice(0, 27)}"`;

/** Sends what was found, in the tick in which the credential is checked. */
function send<A extends ApiDescription>(
  { deps }: Api<A>,
  operation: Operation,
  { req, res, reply }: { readonly req: Request; readonly res: Response; readonly reply: Reply },
): void {
  const { status = 200, body, file, read } = reply;
  const text = file?.text ?? JSON.stringify(body);
  if (operation.conditional === true) res.setHeader('ETag', entityTag(text));
  const isUnchanged = operation.conditional === true && req.fresh;
  const mayBeOver = reports(operation);
  if (!mayBeOver) knownActorOf(req).assertValid();
  const code = isUnchanged ? 304 : status;
  if (read !== undefined) auditRead(deps, req, read, code);
  res.status(code);
  if (isUnchanged) return void res.end();
  if (!mayBeOver) cutWhenRevoked(res);
  if (file !== undefined) res.setHeader('Content-Disposition', `attachment; filename="${file.name}"`);
  res.type(file?.type ?? 'application/json').send(text);
}

function auditRead(deps: PipelineDeps, req: Request, { reason, details = {} }: ReadAudit, code: number): void {
  record(deps, contextOf(req), { event: 'admin-read', path: pathOf(req), code, reason, details });
}

/** Serves a stream of events. It checks the credential before each of them (event-stream.ts). */
async function stream<A extends ApiDescription>(
  api: Api<A>,
  { operation, live }: { readonly operation: Operation; readonly live: LiveView },
  req: Request,
  res: Response,
): Promise<void> {
  const call = callWith(api, operation, req, res);
  const { actor } = call;
  const opened = live.stream({ actor, res });
  try {
    const { read, events } = await answered(operation, actor, () => live.open(call, opened));
    actor.assertValid();
    auditRead(api.deps, req, read, events === undefined ? 204 : 200);
    if (events === undefined) return void res.status(204).end();
    if (req.method === 'HEAD') return void res.type('text/event-stream').end();
    opened.begin();
    await events();
    opened.finish();
  } finally {
    opened.close();
  }
}

/** Sends an error and audits it, under the name of what was tried, unless an audit event for it was written already. */
function fail<A extends ApiDescription>(
  { deps, failures }: Api<A>,
  what: { readonly attempted: PortcullisEventName; readonly bearer: boolean; readonly thrown: unknown },
  { req, res, next }: { readonly req: Request; readonly res: Response; readonly next: NextFunction },
): void {
  const { attempted, bearer, thrown } = what;
  if (res.headersSent) return next(thrown);
  const context = contextOf(req);
  const { requestId } = context;
  const { status } = sendProblem(res, thrown, { requestId, bearer });
  const { reason } = appErrorOf(thrown).error;
  if (status >= 500) deps.logger.error({ err: thrown, requestId, reason }, failures.log);
  if (thrown instanceof ProblemError && thrown.audited) return;
  if (failures.isQuiet?.(req, status) === true) return;
  failures.count?.(req, status);
  // A 429 counts as a rejection too, where the caller is not known.
  const isRejection = status === 401 || status === 403 || (status === 429 && context.actor === undefined);
  const event = isRejection ? (failures.refused ?? attempted) : attempted;
  const path = pathOf(req);
  record(deps, context, {
    event,
    path: failures.path?.(path) ?? path,
    code: status,
    reason,
    ...failures.about?.(req),
  });
}

/**
 * What the APIs for programs share that act for their own sessions: the caller has an access token with that audience, bound to
 * the client certificate of the connection.
 */
import type { ErrorRequestHandler, Request, RequestHandler, Response } from 'express';
import type { z } from 'zod';
import type { AuditTrail } from '../audit/audit.ts';
import type { Clock } from '../contracts/clock.ts';
import type { Logger } from '../contracts/logger.ts';
import { checked } from '../core/api/issues.ts';
import type { PortcullisEventName } from '../core/audit/event.ts';
import { SELF_AUDIENCE } from '../core/core.ts';
import type { Caller, Credential } from '../core/credential/credential.ts';
import { auditedSession } from '../core/delegation/delegation.ts';
import { AppError } from '../core/errors.ts';
import { createRateLimiter } from '../core/rate-limit.ts';
import { record, type AuditedAct } from '../http/audit-events.ts';
import { assertCredential, authenticateBearer, type Authenticate } from '../http/bearer.ts';
import {
  inTurn,
  limiterKey,
  rejectionOrTooMany,
  tooMany,
  type CallLimits,
  type CallQueue,
} from '../http/call-limits.ts';
import { appErrorOf } from '../http/error-status.ts';
import { ProblemError, sendProblem } from '../http/problem.ts';
import { contextOf } from '../http/request-context.ts';
import { registerFor, type FlightGuard } from '../http/revocable-response.ts';

export interface OwnSessionsDeps {
  readonly config: {
    readonly sessions: { readonly binding: 'required' | 'off' };
    readonly limits: { readonly signInsPerMinute: number };
  };
  readonly guard: FlightGuard & { check(credential: Credential): string | undefined };
  readonly audit: Pick<AuditTrail, 'record' | 'blocked'>;
  readonly clock: Clock;
  readonly logger: Pick<Logger, 'error'>;
  readonly authenticate: Authenticate<Caller>;
}

const callers = new WeakMap<Request, Caller>();

/**
 * Authenticates the caller, and makes them the actor of the request's context.
 * @param what the API is about, for messages: `delegated sessions`
 */
export function identifyOwn(deps: OwnSessionsDeps, calls: CallLimits, what: string): RequestHandler {
  const { authenticate, guard, config } = deps;
  const asked = { authenticate, audience: SELF_AUDIENCE, what, binding: config.sessions.binding };
  return async (req, _res, next) => {
    try {
      const caller = await authenticateBearer(req, asked);
      callers.set(req, caller);
      const { credential, identity, authTime, sessionExpiresAt, sessionIdleAt } = caller;
      const { account, session, provider } = credential;
      contextOf(req).actor = {
        identity,
        account,
        session,
        proof: { provider, ...(authTime === undefined ? {} : { authTime }) },
        assertValid: () => assertCredential(guard, credential),
        register: registerFor(guard, credential, { expiresAt: sessionExpiresAt, idleAt: sessionIdleAt }),
      };
    } catch (thrown) {
      throw rejectionOrTooMany(calls, req, thrown);
    }
    next();
  };
}

/**
 * Returns what the limits count by: the account. An attacker who directs an agent has it make sessions without end, each of
 * which would have limits of its own, so all delegated sessions of an account count as one. They do not use up what their
 * user has: the user ends them by the same API.
 */
export function spenderOf(req: Request): string {
  const { credential, delegation } = callerOf(req);
  return delegation === undefined ? credential.account : `delegated sessions of ${credential.account}`;
}

/** Does the work of a handler in its turn. Its body is read before, so that a slow client holds up no other. */
export function handleInTurn(
  queue: CallQueue,
  handler: (req: Request, res: Response) => Promise<void>,
): RequestHandler {
  return (req, res) => inTurn(queue, spenderOf(req), () => handler(req, res));
}

/**
 * Limits the orders of each account: they write to the store and to the audit log, and may ask a provider.
 * @param what there is too much of, for messages: `step-ups at once`
 */
export function limitOrders(
  { config, clock }: Pick<OwnSessionsDeps, 'config' | 'clock'>,
  what: string,
): RequestHandler {
  const orders = createRateLimiter(config.limits.signInsPerMinute, clock);
  return (req, _res, next) => {
    const seconds = orders.take(limiterKey(spenderOf(req)));
    if (seconds > 0) throw tooMany(what, seconds);
    next();
  };
}

/** @throws Error where `identifyOwn` did not run before, which is a programming error */
export function callerOf(req: Request): Caller {
  const caller = callers.get(req);
  if (caller === undefined) throw new Error('the caller must be identified first');
  return caller;
}

interface Rejected {
  readonly event: PortcullisEventName;
  /** For the server's log, where the error is one of the server: `request about a step-up failed`. */
  readonly failure: string;
  /** Returns the path for the audit event. Default: the whole one, without its query. */
  readonly path?: (req: Request) => string;
  /** Whether an error is no more than sent. Default: none is. */
  readonly isQuiet?: (req: Request, status: number) => boolean;
  /** Counts an error that is audited here. */
  readonly count?: (req: Request, status: number, caller: Caller | undefined) => void;
}

/** Sends an error and audits it, unless an audit event for it was written already. */
export function onOwnError(
  deps: Pick<OwnSessionsDeps, 'audit' | 'clock' | 'logger'>,
  { event, failure, path = pathOf, isQuiet, count }: Rejected,
): ErrorRequestHandler {
  return (thrown: unknown, req, res, next) => {
    if (res.headersSent) return next(thrown);
    const context = contextOf(req);
    const { requestId } = context;
    const { status } = sendProblem(res, thrown, { requestId, bearer: true });
    const { reason } = appErrorOf(thrown).error;
    if (status >= 500) deps.logger.error({ err: thrown, requestId, reason }, failure);
    if (thrown instanceof ProblemError && thrown.audited) return;
    if (isQuiet?.(req, status) === true) return;
    const caller = callers.get(req);
    count?.(req, status, caller);
    const about = caller === undefined ? {} : aboutCaller(caller);
    record(deps, context, { event, path: path(req), code: status, reason, ...about });
  };
}

function aboutCaller({ credential, identity, delegation }: Caller): Pick<AuditedAct, 'about' | 'provider' | 'details'> {
  const { account, provider, session: id } = credential;
  const { session, details } = auditedSession({ id, ...(delegation === undefined ? {} : { delegation }) });
  return { about: { identity, account, session }, provider, details };
}

/** Returns the body as the schema has it. @throws AppError `bad_request` */
export function bodyOf<T extends z.ZodType>(schema: T, req: Request): z.output<T> {
  const body = checked(schema, req.body);
  if (body.ok) return body.value;
  const message = req.body === undefined ? 'Send JSON as application/json.' : body.reason;
  throw new AppError('bad_request', message, { reason: 'request_malformed' });
}

/** Returns the query as the schema has it. @throws AppError `bad_request` */
export function queryOf<T extends z.ZodType>(req: Request, schema: T): z.output<T> {
  const query = checked(schema, { ...req.query });
  if (query.ok) return query.value;
  throw new AppError('bad_request', query.reason, { reason: 'query_malformed' });
}

export const methodNotAllowed =
  (...allowed: readonly string[]): RequestHandler =>
  (_req, res) => {
    res.setHeader('Allow', allowed.join(', '));
    const about = { problem: 'method_not_allowed', status: 405, code: 'bad_request' } as const;
    throw new ProblemError(about, `This resource takes ${allowed.join(', ')}.`);
  };

/** Whole, where a router has taken its own part off: without the query. */
export const pathOf = ({ originalUrl }: Request): string => originalUrl.split('?', 1)[0] ?? '';

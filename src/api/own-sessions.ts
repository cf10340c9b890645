/**
 * What the APIs for a user's own sessions share: the caller has an access token with that audience, bound to the client
 * certificate of the connection.
 */
import type { Request, RequestHandler } from 'express';
import type { AuditTrail } from '../audit/audit.ts';
import type { Clock } from '../contracts/clock.ts';
import type { Logger } from '../contracts/logger.ts';
import type { ApiDescription } from '../core/api/operation.ts';
import type { PortcullisEventName } from '../core/audit/event.ts';
import { SELF_AUDIENCE } from '../core/core.ts';
import type { Caller, Credential } from '../core/credential/credential.ts';
import { auditedSession } from '../core/delegation/delegation.ts';
import { createRateLimiter } from '../core/rate-limit.ts';
import type { AuditedAct } from '../http/audit-events.ts';
import { authenticateBearer, programActor, type Authenticate } from '../http/bearer.ts';
import { createCallLimits } from '../http/call-limits.ts';
import type { Actor, RequestContext } from '../http/request-context.ts';
import { contextOf } from '../http/request-context.ts';
import type { FlightGuard } from '../http/revocable-response.ts';
import { apiRouter, type Api } from './pipeline.ts';
import { defined } from '../core/defined.ts';

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

type OwnFailures = Pick<Api<ApiDescription>['failures'], 'log' | 'notFound' | 'path' | 'isQuiet'>;

/** An API for own sessions: what differs between them. */
export interface OwnApi<A extends ApiDescription> extends Pick<Api<A>, 'description' | 'handlers' | 'live' | 'queues'> {
  /** What it is about, for messages: `delegated sessions`. */
  readonly what: string;
  /** What there is too much of where an account orders too much, for messages: `step-ups at once`. */
  readonly orders: string;
  /** The audit event of each call that fails. */
  readonly event: PortcullisEventName;
  readonly failures: OwnFailures & {
    /** @param caller undefined where they are not known */
    readonly count?: (req: Request, status: number, caller: Caller | undefined) => void;
  };
  /** Asserts that the caller may use the API at all. Default: any caller may. */
  readonly assertMay?: (caller: Caller) => void;
}

const callers = new WeakMap<RequestContext, Caller>();

/** @throws Error where the caller was not identified before, which is a programming error */
export function callerOf(context: RequestContext): Caller {
  const caller = callers.get(context);
  if (caller === undefined) throw new Error('the caller must be identified first');
  return caller;
}

/** Returns a handler of all requests below the root of the API; others it passes on. */
export function ownApi<A extends ApiDescription>(deps: OwnSessionsDeps, own: OwnApi<A>): RequestHandler {
  const { description, handlers, live, queues, event, failures, assertMay } = own;
  const { count, ...shared } = failures;
  const api: Api<A> = {
    description,
    handlers,
    live,
    queues,
    deps,
    limits: createCallLimits(deps.clock),
    spenderOf: (req) => spenderOf(callerOf(contextOf(req))),
    orders: { limiter: createRateLimiter(deps.config.limits.signInsPerMinute, deps.clock), what: own.orders },
    assertMay: (_actor, _operation, req) => assertMay?.(callerOf(contextOf(req))),
    rejectsUnknownQuery: false,
    failures: {
      ...shared,
      event: () => event,
      about(req) {
        const caller = callers.get(contextOf(req));
        return caller === undefined ? {} : aboutCaller(caller);
      },
      ...(count && { count: (req, status) => count(req, status, callers.get(contextOf(req))) }),
    },
  };
  return apiRouter(api, { prefix: '', bearer: true, identify: (req) => identifyOwn(deps, req, own.what) });
}

async function identifyOwn(deps: OwnSessionsDeps, req: Request, what: string): Promise<Actor> {
  const { authenticate, guard, config } = deps;
  const { binding } = config.sessions;
  const caller = await authenticateBearer(req, { authenticate, audience: SELF_AUDIENCE, what, binding });
  callers.set(contextOf(req), caller);
  return programActor(guard, caller);
}

/**
 * Returns what the limits count by: the account. An attacker who directs an agent has it make sessions without end, each of
 * which would have limits of its own, so all delegated sessions of an account count as one. They do not use up what their
 * user has: the user ends them by the same API.
 */
const spenderOf = ({ credential, delegation }: Caller): string =>
  delegation === undefined ? credential.account : `delegated sessions of ${credential.account}`;

function aboutCaller({ credential, identity, delegation }: Caller): Pick<AuditedAct, 'about' | 'provider' | 'details'> {
  const { account, provider, session: id } = credential;
  const { session, details } = auditedSession({ id, ...defined({ delegation }) });
  return { about: { identity, account, session }, provider, details };
}

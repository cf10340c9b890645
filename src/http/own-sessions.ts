/**
 * What the APIs for programs share that act for their own sessions: the caller has an access token with that audience, bound to
 * the client certificate of the connection.
 */
import type { Request, RequestHandler } from 'express';
import type { z } from 'zod';
import { checked } from '../core/admin-api/issues.ts';
import { SELF_AUDIENCE } from '../core/core.ts';
import type { Caller, Credential } from '../core/credential/credential.ts';
import { AppError } from '../core/errors.ts';
import type { Result } from '../core/result.ts';
import { assertCredential, authenticateBearer } from './bearer.ts';
import { rejectionOrTooMany, type CallLimits } from './call-limits.ts';
import { ProblemError } from './problem.ts';
import { contextOf } from './request-context.ts';

interface OwnSessionsDeps {
  readonly config: { readonly sessions: { readonly binding: 'required' | 'off' } };
  readonly guard: { check(credential: Credential): string | undefined };
  readonly authenticate: (request: {
    readonly token: string;
    readonly audience: string;
    readonly thumbprint: string | undefined;
  }) => Promise<Result<Caller, string>>;
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
      const { credential, identity, authTime } = caller;
      const { account, session, provider } = credential;
      contextOf(req).actor = {
        identity,
        account,
        session,
        proof: { provider, ...(authTime === undefined ? {} : { authTime }) },
        assertValid: () => assertCredential(guard, credential),
      };
    } catch (thrown) {
      throw rejectionOrTooMany(calls, req, thrown);
    }
    next();
  };
}

/** Returns the caller; undefined where they were not authenticated. */
export const knownCaller = (req: Request): Caller | undefined => callers.get(req);

/** @throws Error where `identifyOwn` did not run before, which is a programming error */
export function callerOf(req: Request): Caller {
  const caller = callers.get(req);
  if (caller === undefined) throw new Error('the caller must be identified first');
  return caller;
}

/** Returns the body as the schema has it. @throws AppError `bad_request` */
export function bodyOf<T extends z.ZodType>(schema: T, req: Request): z.output<T> {
  const body = checked(schema, req.body);
  if (body.ok) return body.value;
  const message = req.body === undefined ? 'Send JSON as application/json.' : body.reason;
  throw new AppError('bad_request', message, { reason: 'request_malformed' });
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

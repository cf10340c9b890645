/**
 * The API for programs at the api listener: `/-/step-up`. A caller has an access token with the audience of their own sessions,
 * which is bound to the client certificate of the connection.
 */
import express, { type ErrorRequestHandler, type RequestHandler } from 'express';
import { z } from 'zod';
import { auditedSession } from '../core/delegation/delegation.ts';
import { AppError } from '../core/errors.ts';
import { isLoopbackCallback } from '../core/http/redirect-uri.ts';
import { createRateLimiter } from '../core/rate-limit.ts';
import { record, requireAuditLog } from '../http/audit-events.ts';
import { assertCredential } from '../http/bearer.ts';
import { createCallLimits, limitCalls, tooMany } from '../http/call-limits.ts';
import { appErrorOf } from '../http/error-status.ts';
import { bodyOf, callerOf, identifyOwn, knownCaller, methodNotAllowed, pathOf } from '../http/own-sessions.ts';
import { sendProblem } from '../http/problem.ts';
import { contextOf } from '../http/request-context.ts';
import { POLL_SECONDS, type Challenges, type StepUpState } from './challenges.ts';
import type { StepUpDeps } from './dependencies.ts';

const PATH = '/-/step-up';
const BODY_BYTES = '4kb';

const orderSchema = z.strictObject({
  redirect: z
    .string()
    .refine(isLoopbackCallback, 'http://127.0.0.1:PORT/callback or http://[::1]:PORT/callback')
    .exactOptional(),
  state: z
    .string()
    .regex(/^[A-Za-z0-9._~-]{1,200}$/, 'at most 200 letters, digits and . _ ~ -')
    .exactOptional(),
});

const codeSchema = z.strictObject({ code: z.string().regex(/^[\w-]{43}$/, 'a code as the browser has brought it') });

const idSchema = z.string().regex(/^[\w-]{43}$/);

/** Returns a handler of all requests below `/-/step-up`; others it passes on. */
export function stepUpApi(deps: StepUpDeps, stepUps: Challenges): RequestHandler {
  const calls = createCallLimits(deps.clock);
  const router = express.Router({ caseSensitive: true, strict: true });
  const json = express.json({ limit: BODY_BYTES, type: 'application/json' });
  router.use(PATH, requireAuditLog(deps), identifyOwn(deps, calls, 'step-up'), limitCalls(calls));
  const all = router.route(PATH);
  all.post(limitOrders(deps), json, beginHandler(deps, stepUps));
  all.all(methodNotAllowed('POST'));
  const one = router.route(`${PATH}/:id`);
  one.get(stateHandler(deps, stepUps));
  one.post(json, redeemHandler(deps, stepUps));
  one.all(methodNotAllowed('GET', 'POST'));
  router.use(PATH, () => {
    throw new AppError('not_found', 'There is no such resource of step-up.');
  });
  router.use(PATH, onError(deps));
  return router;
}

/** Each order writes to the store, so one session may make only so many. */
function limitOrders({ config, clock }: StepUpDeps): RequestHandler {
  const orders = createRateLimiter(config.limits.signInsPerMinute, clock);
  return (req, _res, next) => {
    const seconds = orders.take(callerOf(req).credential.session);
    if (seconds > 0) throw tooMany('step-ups at once', seconds);
    next();
  };
}

const timeText = (epochSeconds: number): string => new Date(epochSeconds * 1000).toISOString();

function beginHandler({ config, guard }: StepUpDeps, stepUps: Challenges): RequestHandler {
  return async (req, res) => {
    const order = bodyOf(orderSchema, req);
    const caller = callerOf(req);
    const { id, userCode, expiresAt } = await stepUps.begin(caller, order, contextOf(req));
    assertCredential(guard, caller.credential);
    const page = `${config.publicUrl}/step-up`;
    res.status(201).json({
      id,
      // A code is typed there: no link may lead past it.
      url: userCode === undefined ? `${page}/${id}` : page,
      ...(userCode === undefined
        ? {}
        : { userCode: `${userCode.slice(0, 4)}-${userCode.slice(4)}`, verificationUrl: page }),
      expiresAt: timeText(expiresAt),
      interval: POLL_SECONDS,
    });
  };
}

/** Returns what a program gets: when a proof counts no more for the strictest of the rules, as a hint. */
function viewOf({ config }: StepUpDeps, { state, description, authTime }: StepUpState): Record<string, string> {
  const ages = config.stepUp.map(({ maxAge }) => maxAge);
  return {
    state,
    ...(description === undefined ? {} : { detail: description }),
    ...(authTime === undefined ? {} : { authenticatedAt: timeText(authTime) }),
    ...(authTime === undefined || ages.length === 0 ? {} : { freshUntil: timeText(authTime + Math.min(...ages)) }),
  };
}

function stateHandler(deps: StepUpDeps, stepUps: Challenges): RequestHandler {
  return async (req, res) => {
    const caller = callerOf(req);
    const state = await stepUps.stateOf(caller, idSchema.safeParse(req.params['id']).data ?? '');
    assertCredential(deps.guard, caller.credential);
    res.json(viewOf(deps, state));
  };
}

function redeemHandler(deps: StepUpDeps, stepUps: Challenges): RequestHandler {
  return async (req, res) => {
    const { code } = bodyOf(codeSchema, req);
    const caller = callerOf(req);
    const id = idSchema.safeParse(req.params['id']).data ?? '';
    const state = await stepUps.redeem(caller, id, code, contextOf(req));
    assertCredential(deps.guard, caller.credential);
    res.json(viewOf(deps, state));
  };
}

/** Sends an error and audits it. A poll of what is over writes nothing: a program asks again and again. */
function onError(deps: StepUpDeps): ErrorRequestHandler {
  return (thrown: unknown, req, res, next) => {
    if (res.headersSent) return next(thrown);
    const { requestId } = contextOf(req);
    const { status } = sendProblem(res, thrown, { requestId, bearer: true });
    const { reason } = appErrorOf(thrown).error;
    if (status >= 500) deps.logger.error({ err: thrown, requestId, reason }, 'request about a step-up failed');
    if (req.method === 'GET' && status === 404) return;
    const caller = knownCaller(req);
    if (caller !== undefined && status < 500) deps.countStepUp?.('refused');
    const path = pathOf(req).startsWith(`${PATH}/`) ? `${PATH}/ID` : PATH;
    if (caller === undefined)
      return record(deps, contextOf(req), { event: 'step-up-refused', path, code: status, reason });
    const { credential, identity, delegation } = caller;
    const { account, provider, session: id } = credential;
    const { session, details } = auditedSession({ id, ...(delegation === undefined ? {} : { delegation }) });
    const about = { identity, account, session };
    record(deps, contextOf(req), { event: 'step-up-refused', path, code: status, reason, provider, details, about });
  };
}

/**
 * The API for programs at the api listener: `/-/step-up`. A caller has an access token with the audience of their own sessions,
 * which is bound to the client certificate of the connection.
 */
import express, { type ErrorRequestHandler, type RequestHandler } from 'express';
import { z } from 'zod';
import { AppError } from '../core/errors.ts';
import { isLoopbackCallback } from '../core/http/redirect-uri.ts';
import { requireAuditLog } from '../http/audit-events.ts';
import { assertCredential } from '../http/bearer.ts';
import { createCallLimits, limitCalls } from '../http/call-limits.ts';
import {
  bodyOf,
  callerOf,
  identifyOwn,
  limitOrders,
  methodNotAllowed,
  onOwnError,
  pathOf,
  spenderOf,
  type OwnSessionsDeps,
} from './own-sessions.ts';
import { contextOf } from '../http/request-context.ts';
import { type Challenges, POLL_SECONDS, type StepUpDeps, type StepUpState } from '../services/step-up/step-up.ts';

export interface StepUpApiDeps extends StepUpDeps, Pick<OwnSessionsDeps, 'authenticate' | 'logger'> {
  readonly config: StepUpDeps['config'] & OwnSessionsDeps['config'];
  readonly guard: StepUpDeps['guard'] & OwnSessionsDeps['guard'];
}

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
export function stepUpApi(deps: StepUpApiDeps, stepUps: Challenges): RequestHandler {
  const calls = createCallLimits(deps.clock);
  const router = express.Router({ caseSensitive: true, strict: true });
  const json = express.json({ limit: BODY_BYTES, type: 'application/json' });
  router.use(PATH, requireAuditLog(deps), identifyOwn(deps, calls, 'step-up'), limitCalls(calls, spenderOf));
  const all = router.route(PATH);
  all.post(limitOrders(deps, 'step-ups at once'), json, beginHandler(deps, stepUps));
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

const onError = (deps: StepUpApiDeps): ErrorRequestHandler =>
  onOwnError(deps, {
    event: 'step-up-refused',
    failure: 'request about a step-up failed',
    // An id is a secret until its step-up is over: whoever has it sees the page with the user's name.
    path: (req) => (pathOf(req).startsWith(`${PATH}/`) ? `${PATH}/ID` : PATH),
    // A poll of what is over: a program asks again and again.
    isQuiet: ({ method }, status) => method === 'GET' && status === 404,
    count(_req, status, caller) {
      if (caller !== undefined && status < 500) deps.countStepUp?.('refused');
    },
  });

const timeText = (epochSeconds: number): string => new Date(epochSeconds * 1000).toISOString();

function beginHandler({ config, guard }: StepUpApiDeps, stepUps: Challenges): RequestHandler {
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
function viewOf({ config }: StepUpApiDeps, { state, description, authTime }: StepUpState): Record<string, string> {
  const ages = config.stepUp.map(({ maxAge }) => maxAge);
  return {
    state,
    ...(description === undefined ? {} : { detail: description }),
    ...(authTime === undefined ? {} : { authenticatedAt: timeText(authTime) }),
    ...(authTime === undefined || ages.length === 0 ? {} : { freshUntil: timeText(authTime + Math.min(...ages)) }),
  };
}

function stateHandler(deps: StepUpApiDeps, stepUps: Challenges): RequestHandler {
  return async (req, res) => {
    const caller = callerOf(req);
    const state = await stepUps.stateOf(caller, idSchema.safeParse(req.params['id']).data ?? '');
    assertCredential(deps.guard, caller.credential);
    res.json(viewOf(deps, state));
  };
}

function redeemHandler(deps: StepUpApiDeps, stepUps: Challenges): RequestHandler {
  return async (req, res) => {
    const { code } = bodyOf(codeSchema, req);
    const caller = callerOf(req);
    const id = idSchema.safeParse(req.params['id']).data ?? '';
    const state = await stepUps.redeem(caller, id, code, contextOf(req));
    assertCredential(deps.guard, caller.credential);
    res.json(viewOf(deps, state));
  };
}

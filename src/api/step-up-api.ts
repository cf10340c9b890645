/** The handlers of the API for step-up, for programs at the api listener: `/-/step-up`. */
import type { RequestHandler } from 'express';
import { STEP_UP } from '../core/api/rejections.ts';
import { STEP_UP_API, stepUpIdSchema } from '../core/api/step-up-operations.ts';
import { passed } from '../http/problem.ts';
import { POLL_SECONDS, type Challenges, type StepUpDeps, type StepUpState } from '../services/step-up/step-up.ts';
import type { Call, Handlers } from './call.ts';
import { callerOf, ownApi, type OwnSessionsDeps } from './own-sessions.ts';
import { defined } from '../core/defined.ts';

const PATH = STEP_UP_API.root;

export interface StepUpApiDeps extends StepUpDeps, Pick<OwnSessionsDeps, 'authenticate' | 'logger'> {
  readonly config: StepUpDeps['config'] & OwnSessionsDeps['config'];
  readonly guard: StepUpDeps['guard'] & OwnSessionsDeps['guard'];
}

/** Returns a handler of all requests below `/-/step-up`; others it passes on. */
export const stepUpApi = (deps: StepUpApiDeps, stepUps: Challenges): RequestHandler =>
  ownApi(deps, {
    description: STEP_UP_API,
    what: 'step-up',
    orders: 'step-ups at once',
    queues: {},
    event: 'step-up-refused',
    failures: {
      log: 'request about a step-up failed',
      notFound: 'There is no such resource of step-up.',
      // An id is a secret until its step-up is over: anyone who has it sees the page with the user's name.
      path: (path) => (path.startsWith(`${PATH}/`) ? `${PATH}/ID` : PATH),
      // A poll of what is over: a program asks again and again.
      isQuiet: ({ method }, status) => method === 'GET' && status === 404,
      count(_req, status, caller) {
        if (caller !== undefined && status < 500) deps.countStepUp?.('refused');
      },
    },
    handlers: handlersOf(deps, stepUps),
    live: {},
  });

const timeText = (epochSeconds: number): string => new Date(epochSeconds * 1000).toISOString();

const idOf = ({ params }: Call): string => stepUpIdSchema.safeParse(params['id']).data ?? '';

/** Returns what a program gets: when a proof counts no more for the strictest of the rules, as a hint. */
function viewOf({ config }: StepUpApiDeps, { state, description, authTime }: StepUpState) {
  const ages = config.stepUp.map(({ maxAge }) => maxAge);
  return {
    state,
    ...defined({ detail: description }),
    ...(authTime === undefined ? {} : { authenticatedAt: timeText(authTime) }),
    ...(authTime === undefined || ages.length === 0 ? {} : { freshUntil: timeText(authTime + Math.min(...ages)) }),
  };
}

const handlersOf = (deps: StepUpApiDeps, stepUps: Challenges): Handlers<typeof STEP_UP_API> => ({
  async beginStepUp(call) {
    const begun = await stepUps.begin(callerOf(call.context), call.body, call.context);
    const { id, userCode, expiresAt } = passed(STEP_UP, begun);
    const page = `${deps.config.publicUrl}/step-up`;
    const body = {
      id,
      // A code is typed there: no link may lead past it.
      url: userCode === undefined ? `${page}/${id}` : page,
      ...(userCode === undefined
        ? {}
        : { userCode: `${userCode.slice(0, 4)}-${userCode.slice(4)}`, verificationUrl: page }),
      expiresAt: timeText(expiresAt),
      interval: POLL_SECONDS,
    };
    return { status: 201, body };
  },
  async getStepUp(call) {
    const state = await stepUps.stateOf(callerOf(call.context), idOf(call));
    return { body: viewOf(deps, passed(STEP_UP, state)) };
  },
  async finishStepUp(call) {
    const state = await stepUps.redeem(callerOf(call.context), idOf(call), call.body.code, call.context);
    return { body: viewOf(deps, passed(STEP_UP, state)) };
  },
});

/** Every code of the API for step-up. Those of `OWN_PROBLEMS` are of any call; the service rejects with the others. */
import { OWN_PROBLEMS } from './own-operations.ts';
import type { ProblemDescription } from './operation.ts';

export const STEP_UP_PROBLEMS = {
  ...OWN_PROBLEMS,
  bad_request: {
    status: 400,
    when: 'the body is malformed, or `redirect` is no loopback address; `detail` names the field',
  },
  sign_in_expired: { status: 400, when: 'the session has ended meanwhile' },
  step_up_delegated: { status: 403, when: 'the caller is a delegated session' },
  step_up_workload: { status: 403, when: 'the caller is a workload' },
  freshness_unprovable: {
    status: 403,
    when: 'the provider of the session does not say when its users signed in',
  },
  device_code_off: { status: 403, when: 'there is no `redirect`, and `sessions.deviceCode` is `off`' },
  step_up_code: { status: 403, when: 'the code is none of this step-up, or is older than a minute' },
  step_up_unknown: { status: 404, when: 'this session has begun no such step-up, or it is over' },
} as const satisfies Readonly<Record<string, ProblemDescription>>;

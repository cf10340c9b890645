/** The API for step-up: every operation, body and problem code of it. */
import { z } from 'zod';
import { SELF_AUDIENCE } from '../core.ts';
import { isLoopbackCallback } from '../http/redirect-uri.ts';
import { timeSchema } from './fields.ts';
import { OWN_CALLS } from './own-operations.ts';
import type { ApiDescription } from './operation.ts';
import { problemSchema } from './responses.ts';
import { STEP_UP_PROBLEMS } from './step-up-problems.ts';

const orderSchema = z.strictObject({
  redirect: z
    .string()
    .refine(isLoopbackCallback, 'http://127.0.0.1:PORT/callback or http://[::1]:PORT/callback')
    .describe(
      '`http://127.0.0.1:PORT/callback` or `http://[::1]:PORT/callback`, where the program waits for the browser. Absent: the user types a code',
    )
    .exactOptional(),
  state: z
    .string()
    .regex(/^[A-Za-z0-9._~-]{1,200}$/, 'at most 200 letters, digits and . _ ~ -')
    .describe('up to 200 letters, digits and `.`, `_`, `~`, `-`, which come back unchanged')
    .exactOptional(),
});

const codeSchema = z.strictObject({
  code: z
    .string()
    .regex(/^[\w-]{43}$/, 'a code as the browser has brought it')
    .describe('as the browser has brought it'),
});

export const stepUpIdSchema = z.string().regex(/^[\w-]{43}$/);

const begunSchema = z.object({
  id: z.string(),
  url: z
    .string()
    .describe('the page for the user’s browser, on the same machine; where the user types a code, the page for that'),
  userCode: z.string().describe('only without `redirect`').exactOptional(),
  verificationUrl: z.string().describe('only without `redirect`').exactOptional(),
  expiresAt: timeSchema,
  interval: z.number().describe('seconds between two polls'),
});

const stateSchema = z.object({
  state: z.enum(['pending', 'done', 'refused']),
  detail: z.string().describe('with `refused`: why, for the user').exactOptional(),
  authenticatedAt: timeSchema.describe('when the user authenticated, as the provider says').exactOptional(),
  freshUntil: timeSchema
    .describe('until when that is enough for the strictest rule of `stepUp`, where there are rules')
    .exactOptional(),
});

const event = 'step-up-refused';

export const STEP_UP_API = {
  title: 'Portcullis API for step-up',
  description:
    'A program has its user prove at the identity provider that it is they who use its session, which goes on. A poll of what is over is not audited.',
  servers: [{ url: '/', by: 'bearer' }],
  audience: SELF_AUDIENCE,
  root: '/-/step-up',
  bodyBytes: '4kb',
  operations: {
    beginStepUp: {
      method: 'POST',
      path: '',
      event,
      summary: 'Begin a step-up.',
      notes:
        'It is over after ten minutes, and with its session. The browser comes back to `redirect` with `code`, `state` and `iss` (`publicUrl`, which a program must compare), or with `error=access_denied` and `error_description`.',
      body: 'StepUpOrder',
      order: true,
      responses: { 201: { description: 'What has begun.', schema: 'BegunStepUp' } },
      problems: ['sign_in_expired', 'step_up_delegated', 'step_up_workload', 'freshness_unprovable', 'device_code_off'],
    },
    getStepUp: {
      method: 'GET',
      path: '/{id}',
      event,
      summary: 'Read the state of a step-up.',
      responses: { 200: { description: 'Its state.', schema: 'StepUp' } },
      problems: ['step_up_unknown'],
    },
    finishStepUp: {
      method: 'POST',
      path: '/{id}',
      event,
      summary: 'Finish a step-up with its code, within a minute.',
      notes:
        'Only the session that began it can, with its key. A program that has lost the response may send it again.',
      body: 'StepUpCode',
      responses: { 200: { description: 'Its `state` is `done`.', schema: 'StepUp' } },
      problems: ['sign_in_expired', 'step_up_code', 'step_up_unknown'],
    },
  },
  schemas: {
    StepUpOrder: orderSchema,
    BegunStepUp: begunSchema,
    StepUpCode: codeSchema,
    StepUp: stateSchema,
    Problem: problemSchema,
  },
  common: { ofCalls: OWN_CALLS, ofChanges: [] },
  problems: STEP_UP_PROBLEMS,
} as const satisfies ApiDescription;

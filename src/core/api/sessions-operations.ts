/** The API for the sessions in which a user is signed in: every operation, body and problem code of it. */
import { z } from 'zod';
import { SELF_AUDIENCE } from '../core.ts';
import { pageQuery } from './fields.ts';
import type { ApiDescription, ProblemDescription } from './operation.ts';
import { OWN_CALLS, OWN_PROBLEMS } from './own-operations.ts';
import { problemSchema, receiptSchema, revocationResultSchema, sessionSchema } from './responses.ts';

/** Sessions of a page. Each is unsealed: about a third of a millisecond of CPU, over several turns. */
const PAGE = { usual: 20, most: 50 } as const;

export const SESSIONS_PROBLEMS = {
  ...OWN_PROBLEMS,
  delegated: { status: 403, when: 'the caller is a delegated session' },
  session_not_found: { status: 404, when: 'there is no such session among those in which the user is signed in' },
} as const satisfies Readonly<Record<string, ProblemDescription>>;

const ownSessionSchema = sessionSchema.omit({ delegation: true, groups: true }).extend({
  self: z.boolean().describe('true of the session that asks'),
});

const event = 'logout-refused';

export const SESSIONS_API = {
  title: 'Portcullis API for own sessions',
  description:
    'A program lists the sessions in which its user is signed in, and ends one: that of a laptop that was lost. Those that are delegated have an API of their own.',
  servers: [{ url: '/', by: 'bearer' }],
  audience: SELF_AUDIENCE,
  root: '/-/sessions',
  bodyBytes: '4kb',
  operations: {
    listOwnSessions: {
      method: 'GET',
      path: '',
      event,
      summary: 'List the sessions in which the user is signed in, newest first, page by page.',
      notes: 'Lists of an account are read one after the other. Four may wait; a further one is 429.',
      query: pageQuery(PAGE, 'the largest number of sessions on a page'),
      inTurn: 'lists at once',
      responses: { 200: { description: 'A page of sessions.', schema: 'OwnSessionPage' } },
      problems: ['delegated'],
    },
    endOwnSession: {
      method: 'DELETE',
      path: '/{id}',
      event,
      summary: 'End one of those sessions, with all that is delegated from it, as a sign-out.',
      reports: true,
      responses: {
        200: { description: 'Proven: no replica accepts it any more.', schema: 'Revocation' },
        202: { description: 'Written and still being proven.', schema: 'Revocation' },
      },
      problems: ['delegated', 'session_not_found'],
    },
  },
  schemas: {
    OwnSessionPage: z.object({
      sessions: z.array(ownSessionSchema).readonly(),
      cursor: z.string().describe('present where there may be more').exactOptional(),
    }),
    OwnSession: ownSessionSchema,
    Revocation: revocationResultSchema,
    Receipt: receiptSchema,
    Problem: problemSchema,
  },
  common: { ofCalls: OWN_CALLS, ofChanges: [] },
  problems: SESSIONS_PROBLEMS,
} as const satisfies ApiDescription;

/** Responses of the admin API for the tests of the commands, complete as the shared schemas define them. */
import type { z } from 'zod';
import type { ADMIN_API } from '../../../src/core/api/admin-operations.ts';
import type {
  drillResultSchema,
  replicaSchema,
  revocationResultSchema,
  sessionSchema,
} from '../../../src/core/api/responses.ts';

type Session = z.output<typeof sessionSchema>;
type Receipt = z.output<typeof revocationResultSchema>;

export const session = (change: Partial<Session> = {}): Session => ({
  id: 's-1',
  account: 'corp/alice',
  provider: 'corp',
  subject: 'alice',
  username: 'corp:alice',
  groups: [],
  client: 'portcullis-cli',
  createdAt: '2026-11-25T12:00:00Z',
  lastUsedAt: '2026-11-25T12:00:00Z',
  expiresAt: '2026-11-25T13:00:00Z',
  address: '203.0.113.7',
  userAgent: 'portcullis/0.1.0 (linux; x64)',
  bound: true,
  device: false,
  ...change,
});

/** The receipt of a complete revocation of one session, without any replica. */
export const receipt = (change: Partial<Receipt> = {}): Receipt => ({
  id: 'r-1',
  at: '2026-11-25T12:00:00.000Z',
  sessions: 1,
  streamsClosed: 0,
  complete: true,
  elapsedMs: 7,
  canSignInAgain: false,
  replicas: [],
  ...change,
});

export const replica = (change: Partial<z.output<typeof replicaSchema>> = {}): z.output<typeof replicaSchema> => ({
  id: 'a',
  incarnation: 'f00dfeedcafe',
  self: true,
  state: 'live',
  seenMsAgo: 3.4,
  number: 7,
  streamsCut: 0,
  ...change,
});

export const lock: z.output<(typeof ADMIN_API)['schemas']['Lock']> = {
  account: 'corp/bob',
  by: 'corp:root',
  at: '2026-11-25T12:00:00Z',
  reason: 'INC-1',
};

export const drill = (
  change: Partial<z.output<typeof drillResultSchema>> = {},
): z.output<typeof drillResultSchema> => ({
  id: 'd',
  verdict: 'passed',
  replicas: [{ id: 'a', opened: true, cut: true, ms: 12 }],
  receipt: receipt({ replicas: [{ id: 'a', state: 'applied', ms: 3 }] }),
  ...change,
});

import { afterEach, describe, expect, test } from 'vitest';
import { randomUUID } from 'node:crypto';
import { AppError } from '../../src/core/errors.ts';
import { ADMIN_PROBLEMS } from '../../src/core/api/admin-problems.ts';
import { askedByAlice, withAccess } from '../support/admin-access.ts';
import { alsoAt, API, post, remove } from '../unit/web/admin-at.ts';
import {
  annotation,
  browserAt,
  closeStages,
  openStage,
  openSession,
  PUBLIC_URL,
  seen,
  signedInAs,
  type AdminAt,
  type Stage,
  type StageOptions,
} from '../unit/web/harness.ts';
import { TestProvider } from '../unit/web/test-provider.ts';

afterEach(closeStages);

const ALICE = 'corp/sub-alice';

const read = ({ browser }: AdminAt, path: string) => browser.get(`${API}/${path}`);

const unavailable = async (): Promise<never> => {
  throw new AppError('store_unavailable', 'The store is unavailable.');
};

const dualControl = {
  config: { admin: { groups: ['corp:platform'], auditors: ['corp:security'], freshness: 'off', dualControl: 'on' } },
} as const satisfies StageOptions;

/** A revocation that waits for a second admin. */
async function asked(change?: StageOptions['change']): Promise<{ readonly at: AdminAt; readonly approval: string }> {
  const at = await signedInAs('root', { ...dualControl, ...(change && { change }) });
  const { body } = await post(at, 'revocations', { all: true, reason: 'x' }).expect(409);
  return { at, approval: (body as { approval: string }).approval };
}

interface Provoked {
  readonly stage: Stage;
  readonly response: {
    readonly status: number;
    readonly body: unknown;
    readonly headers: Readonly<Record<string, string>>;
  };
}

type Problem = keyof typeof ADMIN_PROBLEMS;

/** How each code comes about, with the reason of the audit event where it differs. A code without a row does not compile. */
const CAUSES: Readonly<Record<Problem, { readonly reason?: string; readonly provoke: () => Promise<Provoked> }>> = {
  bad_request: {
    reason: 'query_malformed',
    provoke: async () => {
      const at = await signedInAs('root');
      return { stage: at.stage, response: await read(at, 'sessions?limit=0') };
    },
  },
  unauthenticated: {
    reason: 'no_session',
    provoke: async () => {
      const stage = await openStage();
      return { stage, response: await browserAt(stage).get(`${API}/sessions`) };
    },
  },
  fresh_sign_in_needed: {
    provoke: async () => {
      const at = await signedInAs('root');
      at.stage.clock.advance(1800);
      return { stage: at.stage, response: await post(at, 'revocations', { all: true, reason: 'x' }) };
    },
  },
  freshness_unprovable: {
    provoke: async () => {
      const at = await signedInAs('root', { providers: [new TestProvider('corp', { provesFreshness: false })] });
      return { stage: at.stage, response: await post(at, 'revocations', { all: true, reason: 'x' }) };
    },
  },
  forbidden: {
    reason: 'no_role',
    provoke: async () => {
      const at = await signedInAs('alice');
      return { stage: at.stage, response: await read(at, 'sessions') };
    },
  },
  csrf_failed: {
    reason: 'csrf_token',
    provoke: async () => {
      const at = await signedInAs('root');
      const response = await at.browser.post(`${API}/revocations`).set('Origin', PUBLIC_URL).send({ all: true });
      return { stage: at.stage, response };
    },
  },
  same_admin: {
    provoke: async () => {
      const { at, approval } = await asked();
      return { stage: at.stage, response: await post(at, 'revocations', { all: true, reason: 'x', approval }) };
    },
  },
  not_found: {
    provoke: async () => {
      const at = await signedInAs('root');
      return { stage: at.stage, response: await read(at, 'nothing') };
    },
  },
  session_not_found: {
    provoke: async () => {
      const at = await signedInAs('root');
      return { stage: at.stage, response: await read(at, 'sessions/none/requests') };
    },
  },
  revocation_not_found: {
    provoke: async () => {
      const at = await signedInAs('root');
      return { stage: at.stage, response: await read(at, 'revocations/none') };
    },
  },
  fresh_sign_in_not_needed: {
    reason: 'x',
    provoke: async () => {
      const at = await signedInAs('root');
      return { stage: at.stage, response: await remove(at, `fresh-sign-ins/${encodeURIComponent(ALICE)}?reason=x`) };
    },
  },
  fresh_sign_in_newer: {
    reason: 'x',
    provoke: async () => {
      const at = await signedInAs('root');
      await at.stage.guard.revoke({ target: { kind: 'account', account: ALICE } });
      const query = 'reason=x&since=2001-01-01T00%3A00%3A00Z';
      return { stage: at.stage, response: await remove(at, `fresh-sign-ins/${encodeURIComponent(ALICE)}?${query}`) };
    },
  },
  stream_not_found: {
    reason: 'x',
    provoke: async () => {
      const at = await signedInAs('root');
      const path = `streams/${randomUUID()}?account=${encodeURIComponent(ALICE)}&reason=x`;
      return { stage: at.stage, response: await remove(at, path) };
    },
  },
  lock_not_found: {
    reason: 'x',
    provoke: async () => {
      const at = await signedInAs('root');
      return { stage: at.stage, response: await remove(at, `locks/${encodeURIComponent(ALICE)}?reason=x`) };
    },
  },
  provider_not_found: {
    provoke: async () => {
      const at = await signedInAs('root');
      return { stage: at.stage, response: await post(at, 'revocations', { provider: 'crop', reason: 'x' }) };
    },
  },
  workload_not_found: {
    provoke: async () => {
      const at = await signedInAs('root');
      return {
        stage: at.stage,
        response: await post(at, 'revocations', { workload: 'ci', subject: 's', reason: 'x' }),
      };
    },
  },
  cluster_not_found: {
    provoke: async () => {
      const at = await signedInAs('root');
      return { stage: at.stage, response: await post(at, 'drills', { cluster: 'none', reason: 'x' }) };
    },
  },
  method_not_allowed: {
    provoke: async () => {
      const at = await signedInAs('root');
      return { stage: at.stage, response: await read(at, 'drills') };
    },
  },
  username_not_found: {
    provoke: async () => {
      const at = await signedInAs('root');
      return { stage: at.stage, response: await post(at, 'revocations', { username: 'unknown', reason: 'x' }) };
    },
  },
  account_not_seen: {
    provoke: async () => {
      const at = await signedInAs('root');
      return { stage: at.stage, response: await post(at, 'locks', { account: 'corp/alcie', reason: 'x' }) };
    },
  },
  username_ambiguous: {
    provoke: async () => {
      const at = await signedInAs('root');
      for (const [id, account] of [
        ['alice-1', 'corp/alice'],
        ['alice-2', 'corp/another-alice'],
      ] as const)
        await openSession(at.stage, id, 'alice', account);
      return {
        stage: at.stage,
        response: await post(at, 'revocations', { username: 'corp:alice@example.com', reason: 'x' }),
      };
    },
  },
  request_id_reused: {
    provoke: async () => {
      const at = await signedInAs('root');
      const requestId = randomUUID();
      await post(at, 'locks', { account: ALICE, force: true, reason: 'x', requestId }).expect(200);
      return { stage: at.stage, response: await post(at, 'locks', { account: 'corp/other', reason: 'x', requestId }) };
    },
  },
  second_admin_needed: {
    reason: 'x',
    provoke: async () => {
      const at = await signedInAs('root', dualControl);
      return { stage: at.stage, response: await post(at, 'revocations', { all: true, reason: 'x' }) };
    },
  },
  approval_not_good: {
    provoke: async () => {
      const { at } = await asked();
      const ann = await alsoAt(at.stage, 'ann');
      const response = await post(ann, 'revocations', { all: true, reason: 'x', approval: 'another' });
      return { stage: at.stage, response };
    },
  },
  drill_running: {
    provoke: async () => {
      const at = await signedInAs('root');
      at.stage.guard.reportDrill({ id: 'another', state: 'open' });
      await at.stage.guard.refresh();
      return { stage: at.stage, response: await post(at, 'drills', { reason: 'x' }) };
    },
  },
  access_request_not_found: {
    reason: 'request_not_found',
    provoke: async () => {
      const at = await signedInAs('root', withAccess());
      return { stage: at.stage, response: await remove(at, 'access/nothing') };
    },
  },
  access_conflict: {
    reason: 'request_open',
    provoke: async () => {
      const at = await signedInAs('root', withAccess());
      await openSession(at.stage, 'alice-1', 'alice');
      const id = await askedByAlice(at.stage, 'alice-1');
      return { stage: at.stage, response: await remove(at, `access/${id}`) };
    },
  },
  provider_unavailable: {
    provoke: async () => {
      const recheckUser = () => Promise.reject(new AppError('provider_unavailable', 'canary'));
      const { at, approval } = await asked((deps) => ({ ...deps, recheckUser }));
      const ann = await alsoAt(at.stage, 'ann');
      const response = await post(ann, 'revocations', { all: true, reason: 'x', approval });
      return { stage: at.stage, response };
    },
  },
  drill_refused: {
    provoke: async () => {
      const at = await signedInAs('root');
      at.stage.store.sessions.open = async () => ({ ok: false, reason: 'epoch_changed' });
      return { stage: at.stage, response: await post(at, 'drills', { reason: 'x' }) };
    },
  },
  too_many_requests: {
    provoke: async () => {
      const at = await signedInAs('auditor');
      // The pages of the sign-in count as calls as well.
      at.stage.clock.advance(1);
      for (let call = 0; call < 600; call += 1) await read(at, 'replicas').expect(200);
      return { stage: at.stage, response: await read(at, 'replicas') };
    },
  },
  too_many_tails: {
    provoke: async () => {
      const full = async (): Promise<never> => {
        throw new AppError('conflict', 'There are too many tails.');
      };
      const tails = { open: full, stop: () => undefined };
      const at = await signedInAs('root', { change: (deps) => ({ ...deps, tails }) });
      return { stage: at.stage, response: await read(at, 'audit') };
    },
  },
  internal: {
    provoke: async () => {
      const at = await signedInAs('root');
      at.stage.store.locks.list = () => Promise.reject(new TypeError('canary'));
      return { stage: at.stage, response: await read(at, 'locks') };
    },
  },
  store_unavailable: {
    provoke: async () => {
      const at = await signedInAs('root');
      at.stage.store.locks.list = unavailable;
      return { stage: at.stage, response: await read(at, 'locks') };
    },
  },
  revocation_not_written: {
    reason: 'x',
    provoke: async () => {
      const at = await signedInAs('root');
      at.stage.store.log.append = unavailable;
      return { stage: at.stage, response: await post(at, 'revocations', { account: ALICE, reason: 'x' }) };
    },
  },
  fenced: {
    provoke: async () => {
      const at = await signedInAs('root');
      at.stage.lapse();
      return { stage: at.stage, response: await read(at, 'sessions') };
    },
  },
  audit_unavailable: {
    provoke: async () => {
      const at = await signedInAs('root');
      at.stage.audit.blocked = true;
      return { stage: at.stage, response: await read(at, 'sessions') };
    },
  },
};

describe('every problem code', () => {
  test.each(Object.keys(ADMIN_PROBLEMS) as Problem[])('%s has its status and is audited', async (code) => {
    const cause = CAUSES[code];
    const { stage, response } = await cause.provoke();
    expect(response.body).toMatchObject({ type: 'about:blank', code, status: ADMIN_PROBLEMS[code].status });
    expect(response.status).toBe(ADMIN_PROBLEMS[code].status);
    expect(response.headers['content-type']).toBe('application/problem+json');
    const last = stage.events.at(-1);
    expect([last?.responseStatus?.code, annotation(last, 'reason')]).toEqual([response.status, cause.reason ?? code]);
    expect(JSON.stringify([response.body, stage.events])).not.toContain('canary');
    const waits = response.status === 429 || response.status === 503;
    expect(Number(response.headers['retry-after'] ?? 0) > 0).toBe(waits);
  });

  test('is produced by a test of this file, and no other code is', () => {
    expect([...seen.problems].toSorted()).toEqual(Object.keys(ADMIN_PROBLEMS).toSorted());
  });
});

test('a sign-in that is too old gets 401 with the allowed age, and nothing is changed', async () => {
  const at = await signedInAs('root');
  await openSession(at.stage, 'alice-1', 'alice');
  at.stage.clock.advance(1800);
  const { body, headers } = await remove(at, 'sessions/alice-1?reason=x').expect(401);
  expect(body).toMatchObject({ code: 'fresh_sign_in_needed', maxAge: '900' });
  expect(headers['www-authenticate']).toBeUndefined();
  expect(await at.stage.store.sessions.read('alice-1')).toBeDefined();
  await at.browser.get(`${API}/sessions`).expect(200);
});

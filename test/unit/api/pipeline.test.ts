/** Whatever an operation does: a caller whose credential is revoked while it is done gets nothing of what was found. */
import express from 'express';
import supertest from 'supertest';
import { describe, expect, test } from 'vitest';
import type { Handler, LiveView } from '../../../src/api/call.ts';
import { EventStreams } from '../../../src/api/event-stream.ts';
import { apiRouter, type Api } from '../../../src/api/pipeline.ts';
import { ACCESS_API } from '../../../src/core/api/access-operations.ts';
import { ADMIN_API } from '../../../src/core/api/admin-operations.ts';
import { DELEGATIONS_API } from '../../../src/core/api/delegations-operations.ts';
import { isChange, operationsOf, type ApiDescription, type Operation } from '../../../src/core/api/operation.ts';
import { SESSIONS_API } from '../../../src/core/api/sessions-operations.ts';
import { STEP_UP_API } from '../../../src/core/api/step-up-operations.ts';
import type { AuditEvent } from '../../../src/core/audit/event.ts';
import { AppError } from '../../../src/core/errors.ts';
import { createRateLimiter } from '../../../src/core/rate-limit.ts';
import { SerialQueue } from '../../../src/core/serial-queue.ts';
import { unauthenticated } from '../../../src/http/bearer.ts';
import { createCallLimits } from '../../../src/http/call-limits.ts';
import { beginContext, type Actor } from '../../../src/http/request-context.ts';

const CANARY = 'what was found';
const clock = { nowMs: Date.now };

interface Stage {
  readonly app: express.Express;
  readonly audited: AuditEvent[];
  /** Responses that a revocation would cut. */
  readonly cut: { count: number };
}

/** @param work of every operation; it may revoke the credential of its caller */
function stageOf(api: ApiDescription, work: (revoke: () => void) => { readonly body: object }): Stage {
  const audited: AuditEvent[] = [];
  const cut = { count: 0 };
  const app = express();
  app.use((req, res, next) => {
    let isValid = true;
    const actor: Actor = {
      identity: { username: 'alice', uid: '1', groups: [], extra: {} },
      account: 'corp/alice',
      session: 'alice-1',
      proof: { provider: 'corp' },
      assertValid() {
        if (!isValid) throw unauthenticated('Your session has ended.', 'session_revoked');
      },
      register() {
        cut.count += 1;
        return { close: () => undefined };
      },
    };
    const done = (): { readonly body: object } => work(() => (isValid = false));
    const streams = new EventStreams({
      config: { sessions: { accessToken: 60 } },
      clock,
      guard: { onChange: () => undefined },
    } as never);
    const handler: Handler = async () => done();
    const live: LiveView = {
      stream: (begin) => streams.open(begin.res, begin.actor),
      open(_call, stream) {
        const { body } = done();
        return { read: { reason: 'canary' }, events: async () => void (await stream.send(JSON.stringify(body))) };
      },
    };
    const rows = operationsOf(api);
    const handlers = Object.fromEntries(
      rows.filter(([, { stream }]) => stream?.only !== true).map(([name]) => [name, handler]),
    );
    const lives = Object.fromEntries(
      rows.filter(([, { stream }]) => stream !== undefined).map(([name]) => [name, live]),
    );
    beginContext(req, res);
    const queues = Object.fromEntries(rows.map(([, { inTurn = '' }]) => [inTurn, new SerialQueue(4)]));
    const parts = {
      description: api,
      deps: {
        audit: { record: (event: AuditEvent) => void audited.push(event), blocked: false },
        clock,
        logger: { error: () => undefined },
      },
      handlers,
      live: lives,
      limits: createCallLimits(clock),
      queues,
      orders: { limiter: createRateLimiter(100, clock), what: 'orders' },
      assertMay: () => undefined,
      rejectsUnknownQuery: false,
      failures: { log: 'failed', notFound: 'nothing', event: () => 'admin-read' },
    } as unknown as Api<ApiDescription>;
    apiRouter(parts, { prefix: '', bearer: true, identify: async () => actor })(req, res, next);
  });
  return { app, audited, cut };
}

/** A body and a query that each operation takes. */
const EXAMPLES: Readonly<Record<string, { readonly body?: object; readonly query?: string }>> = {
  createRevocation: { body: { all: true, reason: 'x' } },
  createLock: { body: { account: 'corp/alice', reason: 'x' } },
  createDrill: { body: { reason: 'x' } },
  deleteLock: { query: '?reason=x' },
  liftFreshSignIn: { query: '?reason=x' },
  listStreams: { query: '?account=corp/alice' },
  cutStream: { query: '?account=corp/alice&reason=x' },
  getRevocationScope: { query: '?all=true' },
  requestAccess: { body: { role: 'x', seconds: 60 } },
  createDelegation: { body: { name: 'x', clusters: [], limits: [], seconds: 1 } },
  finishStepUp: { body: { code: 'A'.repeat(43) } },
};

function call({ app }: Stage, api: ApiDescription, [name, operation]: readonly [string, Operation], accept: string) {
  const { body = {}, query = '' } = EXAMPLES[name] ?? {};
  const path = `${api.root}${operation.path.replace(/\{\w+\}/g, 'x')}${query}`;
  const method = operation.method.toLowerCase() as 'get' | 'post' | 'delete';
  const sent = supertest(app)[method](path).set('Accept', accept);
  return operation.body === undefined ? sent : sent.send(body);
}

const apis = [ADMIN_API, ACCESS_API, DELEGATIONS_API, SESSIONS_API, STEP_UP_API] as const;
const every = apis.flatMap((api: ApiDescription) =>
  operationsOf(api).flatMap(([name, operation]) =>
    [
      ...(operation.stream?.only === true ? [] : ['application/json']),
      ...(operation.stream === undefined ? [] : ['text/event-stream']),
    ].map((accept) => ({ name, operation, api, accept, reports: 'reports' in operation })),
  ),
);

describe.each(every.filter(({ reports }) => !reports))('$name as $accept', ({ api, name, operation, accept }) => {
  test('sends nothing to a caller who was revoked while it was done', async () => {
    const stage = stageOf(api, (revoke) => {
      revoke();
      return { body: { canary: CANARY } };
    });
    const { status, text } = await call(stage, api, [name, operation], accept);
    expect([status, text.includes(CANARY)]).toEqual([401, false]);
    expect(stage.audited.map(({ responseStatus }) => responseStatus?.code)).toEqual([401]);
    expect(stage.cut.count).toBe(0);
  });

  test('does not even say that there is nothing', async () => {
    const stage = stageOf(api, (revoke) => {
      revoke();
      throw new AppError('not_found', CANARY);
    });
    const { status, text } = await call(stage, api, [name, operation], accept);
    expect([status, text.includes(CANARY)]).toEqual([401, false]);
  });

  test('is cut when the caller is revoked later', async () => {
    const stage = stageOf(api, () => ({ body: { canary: CANARY } }));
    const { status, text } = await call(stage, api, [name, operation], accept);
    expect([status, text.includes(CANARY)]).toEqual([200, true]);
    // A stream checks the credential before each event.
    expect(stage.cut.count).toBe(accept === 'application/json' ? 1 : 0);
  });
});

test('only what was done is said to a caller whose credential may have ended by it', async () => {
  const reporting = every.filter(({ reports }) => reports);
  expect(reporting.map(({ name }) => name).toSorted()).toEqual([
    'createDrill',
    'createLock',
    'createRevocation',
    'cutStream',
    'deleteLock',
    'endAccess',
    'endAccessRequest',
    'endDelegation',
    'endOwnSession',
    'endSession',
    'liftFreshSignIn',
  ]);
  expect(reporting.filter(({ operation }) => !isChange(operation))).toEqual([]);
  for (const { api, name, operation, accept } of reporting) {
    const stage = stageOf(api, (revoke) => {
      revoke();
      return { body: { canary: CANARY } };
    });
    const { status, text } = await call(stage, api, [name, operation], accept);
    expect([name, status, text.includes(CANARY)]).toEqual([name, 200, true]);
  }
});

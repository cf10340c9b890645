/** Each limit on the APIs for a user's own sessions, used up. */
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import express from 'express';
import { Agent, request } from 'undici';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { accessApi } from '../../../src/api/access-api.ts';
import { SELF_AUDIENCE } from '../../../src/core/core.ts';
import type { AuditEvent } from '../../../src/core/audit/event.ts';
import { ok } from '../../../src/core/result.ts';
import { delegationsApi } from '../../../src/api/delegations-api.ts';
import { CALLS_PER_MINUTE } from '../../../src/http/call-limits.ts';
import { beginContext } from '../../../src/http/request-context.ts';
import { sessionsApi } from '../../../src/api/sessions-api.ts';
import { stepUpApi } from '../../../src/api/step-up-api.ts';

const ORDERS = 5;

let now: number;
let audited: AuditEvent[];
let server: Server;
let agent: Agent;
beforeEach(async () => {
  now = Date.now();
  audited = [];
  const deps = {
    store: {},
    clock: { nowMs: () => now },
    config: { clusters: [], workload: [], sessions: { binding: 'off' }, limits: { signInsPerMinute: ORDERS } },
    audit: { record: (event: AuditEvent) => void audited.push(event), blocked: false },
    guard: { check: () => undefined },
    logger: { error: (line: unknown) => expect.unreachable(JSON.stringify(line)) },
    countDelegation: () => undefined,
    // The token is the name of the account.
    authenticate: async ({ token }: { readonly token: string }) =>
      ok({
        identity: { username: token, uid: token, groups: [], extra: {} },
        credential: { account: `corp/${token}`, session: `of ${token}`, provider: 'corp', audience: SELF_AUDIENCE },
      }),
  } as never;
  // What these requests ask for is invalid, or is not there: nothing behind the limits is reached.
  const app = express();
  app.use((req, res, next) => {
    beginContext(req, res);
    next();
  });
  for (const api of [delegationsApi, accessApi, sessionsApi, stepUpApi]) app.use(api(deps, {} as never));
  server = createServer(app).listen(0, '127.0.0.1');
  await once(server, 'listening');
  agent = new Agent();
});
afterEach(async () => {
  await agent.destroy();
  server.close();
});

type Method = 'GET' | 'DELETE' | 'POST';

async function call(method: Method, path: string, account = 'alice') {
  const { port } = server.address() as AddressInfo;
  const { statusCode, headers, body } = await request(`http://127.0.0.1:${port}/-/${path}`, {
    method,
    dispatcher: agent,
    headers: { authorization: `Bearer ${account}`, 'content-type': 'application/json' },
    body: method === 'POST' ? '{"unknown":1}' : null,
  });
  const problem = (await body.json()) as { readonly code?: string };
  return { status: statusCode, retryAfter: headers['retry-after'], code: problem.code };
}

const LIMITS: readonly (readonly [string, Method, string, number])[] = [
  ['reads', 'GET', '/none/none', CALLS_PER_MINUTE.reads],
  ['changes', 'DELETE', '/none/none', CALLS_PER_MINUTE.changes],
  ['orders', 'POST', '', ORDERS],
];

describe.each(['delegations', 'access', 'sessions', 'step-up'])('/-/%s', (api) => {
  // Nothing is ordered of one's own sessions.
  const limits = LIMITS.filter(([what]) => what !== 'orders' || api !== 'sessions');
  it.each(limits)('has a limit on the %s of an account: 429 with Retry-After', async (_what, method, path, most) => {
    for (let sent = 0; sent < most; sent += 1) {
      const { status } = await call(method, api + path);
      expect(status).toBe(method === 'POST' ? 400 : 404);
    }
    const rejected = await call(method, api + path);
    const seconds = Math.ceil(60 / most);
    expect(rejected).toEqual({ status: 429, retryAfter: String(seconds), code: 'too_many_requests' });
    expect(audited.at(-1)).toMatchObject({
      user: { username: 'alice' },
      responseStatus: { code: 429 },
      annotations: { 'portcullis.dev/reason': 'too_many_requests' },
    });
    expect((await call(method, api + path, 'bob')).status).not.toBe(429);
    now += seconds * 1000;
    expect((await call(method, api + path)).status).not.toBe(429);
  });
});

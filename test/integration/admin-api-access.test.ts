import { afterEach, describe, expect, test } from 'vitest';
import {
  apiDoor,
  newClient,
  RULES,
  webDoor,
  type ApiDoor,
  type Ask,
  type Call,
  type Door,
  type Method,
} from '../support/admin-doors.ts';
import { alsoAt } from '../unit/web/admin-at.ts';
import { cookiesOf } from '../unit/web/cookies.ts';
import { annotation, closeStages, openStage, openSession, PUBLIC_URL, type Stage } from '../unit/web/harness.ts';
import { ADMIN_API } from '../../src/core/api/admin-operations.ts';
import { operationsOf, type Operation } from '../../src/core/api/operation.ts';

const REVOCATION = '0f5c7a52-5a0e-4d3b-9a59-6f1f3a1b2c3d';

interface Example {
  readonly path: string;
  readonly body?: object;
  /** The response that an allowed caller receives, and the audit event of it. */
  readonly status: number;
  readonly event: string;
  readonly reason: string;
}

const NO_ACCESS_REQUEST = { status: 404, event: 'access-refused', reason: 'access_request_not_found' } as const;

/** A call for every route: one that is missing here does not compile. */
const EXAMPLES: Readonly<Record<keyof (typeof ADMIN_API)['operations'], Example>> = {
  listSessions: { path: '/sessions', status: 200, event: 'admin-read', reason: 'sessions' },
  getSession: { path: '/sessions/alice-1', status: 200, event: 'admin-read', reason: 'session' },
  endSession: { path: '/sessions/alice-2?reason=INC-1', status: 200, event: 'revocation', reason: 'INC-1' },
  listSessionRequests: {
    path: '/sessions/alice-1/requests',
    status: 200,
    event: 'admin-read',
    reason: 'session_requests',
  },
  createRevocation: {
    path: '/revocations',
    body: { session: 'alice-3', reason: 'INC-2' },
    status: 200,
    event: 'revocation',
    reason: 'INC-2',
  },
  getRevocation: { path: `/revocations/${REVOCATION}`, status: 200, event: 'admin-read', reason: 'revocation' },
  getRevocationScope: {
    path: '/revocation-scope?all=true',
    status: 200,
    event: 'admin-read',
    reason: 'revocation_scope',
  },
  listLocks: { path: '/locks', status: 200, event: 'admin-read', reason: 'locks' },
  createLock: {
    path: '/locks',
    body: { account: 'corp/sub-brief', force: true, reason: 'INC-3' },
    status: 200,
    event: 'lock',
    reason: 'INC-3',
  },
  deleteLock: {
    path: '/locks/corp%2Fsub-brief?reason=INC-3%20closed',
    status: 200,
    event: 'unlock',
    reason: 'INC-3 closed',
  },
  listStreams: {
    path: '/streams?account=corp%2Fsub-brief',
    status: 200,
    event: 'admin-read',
    reason: 'streams',
  },
  cutStream: {
    path: '/streams/5f9c2a4e-7d1b-4c3a-9e8f-0a1b2c3d4e5f?account=corp%2Fsub-brief&reason=INC-3',
    status: 404,
    event: 'stream-cut',
    reason: 'INC-3',
  },
  getFreshSignIn: {
    path: '/fresh-sign-ins/corp%2Fsub-brief',
    status: 200,
    event: 'admin-read',
    reason: 'fresh_sign_in',
  },
  // The lock above has already revoked the account.
  liftFreshSignIn: {
    path: '/fresh-sign-ins/corp%2Fsub-brief?reason=INC-3%20over',
    status: 200,
    event: 'fresh-sign-in-lifted',
    reason: 'INC-3 over',
  },
  // This stage has no access requests: how they are decided is tested in access-admin-api.test.ts.
  listAccessRequests: { path: '/access', status: 404, event: 'admin-read', reason: 'access_request_not_found' },
  endAccessRequest: { path: '/access/x', ...NO_ACCESS_REQUEST },
  listReplicas: { path: '/replicas', status: 200, event: 'admin-read', reason: 'replicas' },
  listClusters: { path: '/clusters', status: 200, event: 'admin-read', reason: 'clusters' },
  listProviders: { path: '/providers', status: 200, event: 'admin-read', reason: 'providers' },
  // A drill that cannot begin: its effects are tested elsewhere, on a stage for drills.
  createDrill: {
    path: '/drills',
    body: { cluster: 'none', reason: 'monthly' },
    status: 404,
    event: 'drill',
    reason: 'cluster_not_found',
  },
  // This stage has no live audit log; a caller without the role is rejected before that is found.
  tailAudit: { path: '/audit', status: 404, event: 'admin-read', reason: 'not_found' },
  // Nor has it files.
  searchAudit: { path: '/audit/events', status: 404, event: 'admin-read', reason: 'not_found' },
  exportAudit: { path: '/audit/events.jsonl', status: 404, event: 'admin-read', reason: 'not_found' },
  getOpenApi: { path: '/openapi.json', status: 200, event: 'admin-read', reason: 'openapi' },
};

const every = operationsOf(ADMIN_API).map(([name, route]) => ({ name, route, example: EXAMPLES[name] }));
const changes = every.filter(({ route }) => route.method !== 'GET');
const withBody = every.filter(({ route }) => route.body !== undefined);

const callOf = (route: Operation, { path }: Example): Call => ({ method: route.method.toLowerCase() as Method, path });

const open: ApiDoor[] = [];

afterEach(async () => {
  for (const listener of open.splice(0)) listener.close();
  await closeStages();
});

/** Starts a stage with sessions that a call may end, and with a revocation that can be read. */
async function startStage(): Promise<{ readonly stage: Stage; readonly web: Door; readonly api: ApiDoor }> {
  const stage = await openStage({ config: { workload: RULES } });
  for (const id of ['alice-1', 'alice-2', 'alice-3', 'alice-4']) await openSession(stage, id, 'alice');
  await stage.guard.revoke({ target: { kind: 'session', session: 'alice-4' }, requestId: REVOCATION });
  const api = await apiDoor(stage);
  open.push(api);
  return { stage, web: webDoor(stage), api };
}

/** Returns the audit events of a call, each as event, code and reason. */
async function linesOf(stage: Stage, call: PromiseLike<unknown>): Promise<readonly (readonly unknown[])[]> {
  const before = stage.events.length;
  await call;
  return stage.events
    .slice(before)
    .map((event) => [annotation(event, 'event'), event.responseStatus?.code, annotation(event, 'reason')]);
}

const ROLES = [
  ['root', () => undefined],
  ['auditor', onlyFor(['read', 'follow'], 'auditor_may_not_act')],
  ['alice', () => 'no_role'],
] as const;

/** They have an admin's groups as well, which count for nothing. */
const WORKLOADS = [
  ['probe', onlyFor(['drill'], 'drill_only')],
  ['reader', onlyFor(['read', 'follow'], 'auditor_may_not_act')],
  ['siem', onlyFor(['revoke', 'follow'], 'revoker_only')],
] as const;

function onlyFor(needs: readonly Operation['need'][], reason: string): (route: Operation) => string | undefined {
  return ({ need }) => (need === 'any' || needs.includes(need) ? undefined : reason);
}

async function assertRole(stage: Stage, ask: Ask, rejection: (route: Operation) => string | undefined): Promise<void> {
  for (const { name, route, example } of every) {
    const reason = rejection(route);
    const expected =
      reason === undefined ? [example.event, example.status, example.reason] : ['admin-refused', 403, reason];
    const request = ask(callOf(route, example));
    const sent = example.body === undefined ? request : request.send(example.body);
    const lines = await linesOf(stage, sent.expect(Number(expected[1])));
    expect(lines, name).toContainEqual(expected);
    // A revocation is written ahead, and a lock writes two events, one for the revocation and one for the lock; every other
    // call writes one.
    const outcomes = lines.filter(([event]) => event !== 'revocation-begun');
    expect(outcomes, name).toHaveLength(expected[0] === 'lock' ? 2 : 1);
    expect(lines.length - outcomes.length, name).toBe(expected[0] === 'revocation' || expected[0] === 'lock' ? 1 : 0);
  }
}

describe('every route allows and rejects every role', () => {
  test.each(ROLES)('every route allows or rejects %s at the web listener', async (who, rejection) => {
    const { stage, web } = await startStage();
    await assertRole(stage, await web.as(who), rejection);
    expect((await stage.store.sessions.read('alice-3')) === undefined).toBe(who === 'root');
  });

  test.each([...ROLES, ...WORKLOADS])(
    'every route allows or rejects %s at the api listener',
    async (who, rejection) => {
      const { stage, api } = await startStage();
      await assertRole(stage, await api.as(who), rejection);
      expect((await stage.store.sessions.read('alice-3')) === undefined).toBe(who === 'root' || who === 'siem');
    },
  );
});

interface Rejection {
  readonly status: number;
  readonly code: string;
  readonly reason: string;
}

type Send = (call: Call, example: Example) => PromiseLike<{ readonly status: number; readonly body: unknown }>;

/** Returns the response and the audit events of each of these routes, and the effects, of which there should be none. */
async function outcomes(stage: Stage, rows: typeof every, send: Send): Promise<readonly unknown[]> {
  const before = await stage.store.sessions.count();
  const responses: unknown[] = [];
  for (const { name, route, example } of rows) {
    let response: { readonly status: number; readonly body: unknown } | undefined;
    const sent = Promise.resolve(send(callOf(route, example), example)).then((given) => (response = given));
    const lines = await linesOf(stage, sent);
    responses.push([name, response?.status, (response?.body as { readonly code?: string } | undefined)?.code, lines]);
  }
  const locks = await stage.store.locks.list();
  return [...responses, ['sessions ended', before - (await stage.store.sessions.count())], ['locks', locks]];
}

/** Each route rejects the call in the same way, with one audit event, and nothing happens. */
const rejectedAs = (rows: typeof every, { status, code, reason }: Rejection): readonly unknown[] => [
  ...rows.map(({ name }) => [name, status, code, [['admin-refused', status, reason]]]),
  ['sessions ended', 0],
  ['locks', []],
];

const unknown = (reason: string): Rejection => ({ status: 401, code: 'unauthenticated', reason });
const forged = (reason: string): Rejection => ({ status: 403, code: 'csrf_failed', reason });

describe('at the web listener', () => {
  test('a client without a session is rejected on every route', async () => {
    const { stage, web } = await startStage();
    const responses = await outcomes(stage, every, (call, { body }) => web.anonymous(call).send(body));
    expect(responses).toEqual(rejectedAs(every, unknown('no_session')));
  });

  test('an Authorization header is rejected even with a valid cookie', async () => {
    const { stage, web, api } = await startStage();
    const [ask, token] = [await web.as('root'), await api.caller('root')];
    const responses = await outcomes(stage, every, (call, { body }) =>
      ask(call).set('Authorization', `Bearer ${token}`).send(body),
    );
    expect(responses).toEqual(rejectedAs(every, unknown('authorization_header')));
  });

  test.each([
    ['no CSRF token', 'csrf_token', { Origin: PUBLIC_URL }],
    ['a wrong CSRF token', 'csrf_token', { Origin: PUBLIC_URL, 'X-CSRF-Token': 'x' }],
    ['another user’s CSRF token', 'csrf_token', { Origin: PUBLIC_URL, 'X-CSRF-Token': 'of ann' }],
    ['no Origin', 'foreign_origin', { 'X-CSRF-Token': 'own' }],
    ['the Origin null', 'foreign_origin', { Origin: 'null', 'X-CSRF-Token': 'own' }],
    ['a foreign Origin', 'foreign_origin', { Origin: 'https://evil.example', 'X-CSRF-Token': 'own' }],
    ['our host in another scheme', 'foreign_origin', { Origin: 'https://localhost:7444', 'X-CSRF-Token': 'own' }],
  ])('a change with %s is rejected', async (_what, reason, headers) => {
    const { stage } = await startStage();
    const [root, ann] = [await alsoAt(stage, 'root'), await alsoAt(stage, 'ann')];
    const tokens: Readonly<Record<string, string>> = { own: root.csrf, 'of ann': ann.csrf };
    const sent = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, tokens[value] ?? value]));
    const responses = await outcomes(stage, changes, ({ method, path }, { body }) =>
      root.browser[method](`/admin/api/v1${path}`).set(sent).send(body),
    );
    expect(responses).toEqual(rejectedAs(changes, forged(reason)));
  });

  test('the path prefix of the api listener does not exist', async () => {
    const { stage } = await startStage();
    const { browser } = await alsoAt(stage, 'root');
    expect((await browser.get('/-/admin/api/v1/sessions')).status).toBe(404);
  });
});

describe('at the api listener', () => {
  const bearer = (ask: Ask, header: string | undefined) => (call: Call, body: object | undefined) => {
    const sent = ask(call).send(body);
    return header === undefined ? sent : sent.set('Authorization', header);
  };

  test.each([
    ['without a token', 'no_token', undefined],
    ['with Basic', 'no_token', 'Basic cm9vdDpyb290'],
    ['with a malformed token', 'no_token', 'Bearer a b'],
    ['with a foreign token', 'foreign_token', 'Bearer eyJ.eyJ.x'],
  ])('a call %s gets 401', async (_what, reason, header) => {
    const { stage, api } = await startStage();
    await api.caller('root');
    const responses = await outcomes(stage, every, (call, { body }) => bearer(api.anonymous, header)(call, body));
    expect(responses).toEqual(rejectedAs(every, unknown(reason)));
    expect(JSON.stringify(stage.events)).not.toContain('eyJ');
  });

  test('a token gets 401 without its client certificate, and on a connection with another one', async () => {
    const { stage, api } = await startStage();
    const header = `Bearer ${await api.caller('root')}`;
    const another = await newClient('another');
    for (const [client, reason] of [
      [undefined, 'certificate_missing'],
      [another, 'certificate_mismatch'],
    ] as const) {
      const send = bearer(api.with(client), header);
      const responses = await outcomes(stage, every, (call, { body }) => send(call, body));
      expect(responses).toEqual(rejectedAs(every, unknown(reason)));
    }
  });

  test('a token for another audience gets 401, and so does a token that is not bound', async () => {
    const { stage, api } = await startStage();
    const send = bearer(
      api.anonymous,
      `Bearer ${await api.caller('root', { audience: 'urn:portcullis:cluster:prod' })}`,
    );
    const ofAnother = await outcomes(stage, every, (call, { body }) => send(call, body));
    expect(ofAnother).toEqual(rejectedAs(every, unknown('wrong_audience')));
    await api.caller('root');
    const caller = stage.callers.get('token-of-root');
    if (caller === undefined) throw new Error('no caller');
    const { thumbprint: _bound, ...credential } = caller.credential;
    stage.callers.set('token-of-root', { ...caller, credential });
    const unbound = await outcomes(stage, every, (call, { body }) => send(call, body));
    expect(unbound).toEqual(rejectedAs(every, unknown('certificate_mismatch')));
  });

  test('a 401 asks for a Bearer token, and a cookie is ignored', async () => {
    const { stage, api } = await startStage();
    const { browser } = await alsoAt(stage, 'root');
    const call = { method: 'get', path: '/sessions' } as const;
    const response = await api.anonymous(call).set('Cookie', cookiesOf(browser)).expect(401);
    expect(response.headers['www-authenticate']).toBe('Bearer');
  });
});

describe.each(['web', 'api'] as const)('malformed calls at the %s listener', (name) => {
  const asRoot = async () => {
    const { stage, ...listeners } = await startStage();
    return { stage, ask: await listeners[name].as('root') };
  };

  test('a method that the resource does not allow gets 405 with the allowed methods', async () => {
    const { stage, ask } = await asRoot();
    const paths = new Map<string, string[]>();
    for (const { route } of every) paths.set(route.path, [...(paths.get(route.path) ?? []), route.method]);
    for (const [path, methods] of paths) {
      const put = { method: 'put', path: path.replaceAll(/\{\w+\}/g, 'x') } as const;
      const { body, headers } = await ask(put).expect(405);
      expect(body).toMatchObject({ code: 'method_not_allowed' });
      expect(headers['allow']).toBe(methods.join(', '));
    }
    const reasons = stage.events.map((event) => annotation(event, 'reason'));
    expect(reasons.filter((reason) => reason === 'method_not_allowed')).toHaveLength(paths.size);
  });

  test('an unknown query parameter gets 400 and is never ignored', async () => {
    const { stage, ask } = await asRoot();
    const count = await stage.store.sessions.count();
    for (const { name: route, route: row, example } of every) {
      const { method, path } = callOf(row, example);
      const query = `${path}${path.includes('?') ? '&' : '?'}acount=corp%2Fx`;
      const lines = await linesOf(stage, ask({ method, path: query }).send(example.body).expect(400));
      expect(lines, route).toEqual([[expect.any(String), 400, 'query_malformed']]);
    }
    expect(await stage.store.sessions.count()).toBe(count);
  });

  test.each([
    ['nothing', undefined, 'application/json', 400, 'request_malformed'],
    ['a form', 'all=true&reason=x', 'application/x-www-form-urlencoded', 400, 'request_malformed'],
    ['no JSON', '{"reason": canary}', 'application/json', 400, 'unreadable_request'],
    ['a bare string', '"canary"', 'application/json', 400, 'unreadable_request'],
    ['a list', '[]', 'application/json', 400, 'request_malformed'],
    ['too much', JSON.stringify({ reason: 'canary'.repeat(4000) }), 'application/json', 413, 'unreadable_request'],
    ['an unknown charset', '{}', 'application/json; charset=canary', 415, 'unreadable_request'],
    ['an unknown field', '{"reason":"x","all":true,"lokc":true}', 'application/json', 400, 'request_malformed'],
    ['a prototype', '{"reason":"x","__proto__":{"all":true}}', 'application/json', 400, 'request_malformed'],
  ])('a body of %s is rejected, and the response does not repeat it', async (_what, body, type, status, reason) => {
    const { stage, ask } = await asRoot();
    const count = await stage.store.sessions.count();
    // A decision needs no reason, so its body may be empty.
    const rows = withBody.filter(({ name }) => body !== undefined || !/^(?:approve|deny)/.test(name));
    for (const { name: route, route: row, example } of rows) {
      const sent = ask(callOf(row, example)).set('Content-Type', type);
      let text = '';
      const lines = await linesOf(
        stage,
        Promise.resolve((body === undefined ? sent : sent.send(body)).expect(status)).then(
          (given) => ({ text } = given),
        ),
      );
      expect(lines, route).toEqual([[expect.any(String), status, reason]]);
      expect(text, route).not.toContain('canary');
    }
    expect(await stage.store.sessions.count()).toBe(count);
  });
});

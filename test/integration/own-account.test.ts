/** A cluster that rejects the proxy's own account: the user is not the reason, must not read so, and must not learn the account's name. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { ALICE, call, HOST, rawConnection, signIn, startPlane, until } from '../support/data-plane.ts';
import type { CallOptions, Called, TestUser, TestPlane } from '../support/data-plane.ts';
import { answerReviews } from '../support/reviews.ts';
import { answerJson } from '../support/upstream.ts';
import type { Answer } from '../support/upstream.ts';

const PODS = '/api/v1/namespaces/default/pods';
const ACCOUNT = 'system:serviceaccount:portcullis:portcullis';

let plane: TestPlane;
let alice: TestUser;
beforeAll(async () => {
  plane = await startPlane();
  alice = await signIn(plane);
});
beforeEach(() => {
  plane.audited.length = 0;
  plane.counted.upstreamErrors.length = 0;
});
afterEach(() => until(() => plane.guard.inFlight === 0, 'nothing in flight'));
afterAll(() => plane.close());

/** The whole response to an upgrade, as it came. */
async function exec(): Promise<string> {
  const connection = await rawConnection(plane, alice.certificate);
  const upgrade = 'Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n';
  connection.socket.write(
    `GET ${PODS}/web/exec HTTP/1.1\r\nHost: ${HOST}\r\nAuthorization: Bearer ${alice.token}\r\n${upgrade}`,
  );
  await connection.ended;
  return connection.received();
}

const refuseUpgrade = (status: string, body = '', headers = 'Content-Type: application/json\r\n'): void => {
  plane.upstream.answerUpgrade = (_req, socket) =>
    void socket.end(
      `HTTP/1.1 ${status}\r\n${headers}Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
    );
};

const expectRefused = async (code: number, reason: string): Promise<void> => {
  await until(() => plane.audited.length > 0, 'the audit event');
  expect(plane.audited[0]).toMatchObject({
    user: { username: ALICE.username },
    responseStatus: { code },
    annotations: { 'portcullis.dev/reason': reason },
  });
  expect(plane.counted.upstreamErrors).toEqual([reason]);
};

describe('a 401 to the proxy’s own token', () => {
  it('is a 502 that names the cause: kubectl would discard a good credential if it were relayed', async () => {
    plane.upstream.answer = answerJson({ kind: 'Status', code: 401 }, { 'www-authenticate': 'Bearer' }, 401);
    const answered = await call(plane, alice, PODS);
    expect(answered.json()).toMatchObject({ kind: 'Status', code: 502, reason: 'ServiceUnavailable' });
    expect(answered.headers).not.toHaveProperty('www-authenticate');
    expect(answered.headers).not.toHaveProperty('retry-after');
    await expectRefused(502, 'own_token_refused');
  });

  it('has the same result for an exec', async () => {
    refuseUpgrade('401 Unauthorized');
    expect(await exec()).toMatch(/^HTTP\/1\.1 502 /);
  });

  it('does not include the 401 of a backend behind a proxy subresource, which asks for its own credential', async () => {
    plane.upstream.answer = answerJson({ of: 'the pod' }, {}, 401);
    const answered = await call(plane, alice, `${PODS}/web-1/proxy/`);
    expect([answered.status, answered.json()]).toEqual([401, { of: 'the pod' }]);
  });
});

/** The message of the API server. */
const denial = (resource: string, name: string, group = ''): string =>
  `${resource}${group && `.${group}`} ${JSON.stringify(name)} is forbidden: User "${ACCOUNT}" cannot impersonate resource "${resource}" in API group "${group}" at the cluster scope`;
const forbidden = (message: string): object => ({
  kind: 'Status',
  apiVersion: 'v1',
  metadata: {},
  status: 'Failure',
  message,
  reason: 'Forbidden',
  details: {},
  code: 403,
});
const USERS = denial('users', ALICE.username);

/** The same in protobuf about `groups "zz"`, as kube-apiserver 1.34 sends it. */
const PROTOBUF = Buffer.from(
  'azhzAAoMCgJ2MRIGU3RhdHVzEtYBCgYKABIAGgASB0ZhaWx1cmUaoAFncm91cHMgInp6IiBpcyBmb3JiaWRkZW46IFVzZXIgInN5c3RlbTpzZXJ2aWNlYWNj' +
    'b3VudDpwb3J0Y3VsbGlzLWRlbW86cG9ydGN1bGxpcy1kZW1vIiBjYW5ub3QgaW1wZXJzb25hdGUgcmVzb3VyY2UgImdyb3VwcyIgaW4gQVBJIGdyb3VwICIiIGF0' +
    'IHRoZSBjbHVzdGVyIHNjb3BlIglGb3JiaWRkZW4qEgoCenoSABoGZ3JvdXBzKAAyADCTAxoAIgA=',
  'base64',
);

const answerBytes =
  (body: Buffer | string, headers: Record<string, string>): Answer =>
  (_req, res) =>
    void res.writeHead(403, headers).end(body);

describe('a 403 about the proxy’s own account', () => {
  const ask = (path = PODS, options: CallOptions = {}): Promise<Called> => call(plane, alice, path, options);

  it.each<[string, string, CallOptions?]>([
    ['a list', PODS],
    ['a creation', PODS, { method: 'POST', body: '{}' }],
    ['a watch', `${PODS}?watch=1`],
  ])('is a 503 for client-go to repeat, for %s: nothing was executed', async (_what, path, options) => {
    plane.upstream.answer = answerJson(forbidden(USERS), {}, 403);
    const answered = await ask(path, options);
    expect(answered.json()).toMatchObject({ kind: 'Status', code: 503, reason: 'ServiceUnavailable' });
    expect(answered.headers['retry-after']).toBe('3');
    expect(answered.json().message).toMatch(/^the proxy's own account .* may not impersonate users.*\(audit id /);
    expect(answered.text).not.toContain(ACCOUNT);
    await expectRefused(503, 'own_account_refused');
    expect(JSON.stringify(plane.audited)).not.toContain(ACCOUNT);
  });

  it.each([
    ['serviceaccounts', denial('serviceaccounts', 'a').replace('at the cluster scope', 'in the namespace "b"')],
    ['groups', denial('groups', 'corp:developers')],
    [
      'userextras',
      denial('userextras', 'sales', 'authentication.k8s.io').replace('"userextras"', '"userextras/a.b/c"'),
    ],
  ])(
    'is a 502 where users may be impersonated and %s may not: another try would have the same result',
    async (what, message) => {
      plane.upstream.answer = answerJson(forbidden(message), {}, 403);
      const answered = await ask();
      expect(answered.json()).toMatchObject({ code: 502, message: expect.stringContaining(`impersonate ${what},`) });
      expect(answered.headers).not.toHaveProperty('retry-after');
      await expectRefused(502, 'own_account_refused');
    },
  );

  it.each([
    ['groups', denial('groups', 'a', 'authentication.k8s.io').replace('impersonate', 'impersonate:user-info')],
    [
      'serviceaccounts',
      `pods is forbidden: User "${ACCOUNT}" cannot impersonate-on:serviceaccount:list resource "pods" in API …`,
    ],
  ])('is a 502 for %s by a constrained mode as well', async (what, message) => {
    plane.upstream.answer = answerJson(forbidden(message), {}, 403);
    expect((await ask()).json()).toMatchObject({ code: 502, message: expect.stringContaining(`impersonate ${what},`) });
    await expectRefused(502, 'own_account_refused');
  });

  it.each([
    ['RBAC adds a reason', `${USERS}: RBAC: clusterrole.rbac.authorization.k8s.io "a" not found`],
    ['constrained impersonation', USERS.replace('impersonate', 'impersonate:user-info')],
    [
      '… of the verb',
      `pods is forbidden: User "${ACCOUNT}" cannot impersonate-on:user-info:list resource "pods" in API …`,
    ],
    ['… of a path', `forbidden: User "${ACCOUNT}" cannot impersonate-on:user-info:get path "/version"`],
    ['a name with quotes', denial('users', 'a" is forbidden: User "b')],
  ])('is recognized in another wording: %s', async (_what, message) => {
    plane.upstream.answer = answerJson(forbidden(message), {}, 403);
    expect((await ask()).status).toBe(503);
  });

  it.each([
    ['in single quotes, over lines', stringify(forbidden(USERS), { singleQuote: true })],
    ['in double quotes', stringify(forbidden(denial('users', 'a\u0000b')))],
    ['in one line', stringify(forbidden(USERS), { singleQuote: true, lineWidth: 0 })],
    [
      'without quotes',
      stringify(forbidden(USERS.replace(': User', ' User'))).replace('forbidden User', 'forbidden: User'),
    ],
    ['with names that look like another field', stringify(forbidden(denial('users', 'a\nkind: Other\nb')))],
  ])('is recognized in YAML: %s', async (_what, body) => {
    plane.upstream.answer = answerBytes(body, { 'content-type': 'application/yaml' });
    expect((await ask()).status, body).toBe(503);
  });

  it.each([
    ['keys in keys', `kind: Status\nmessage: ${'? '.repeat(500)}`],
    ['keys in keys, whose message is good', `message: 'a'\nkind: Status\nx: ${'? '.repeat(500)}`],
    ['lists in lists', `kind: Status\nmessage: ${'['.repeat(60_000)}`],
    ['spaces', `kind: Status\nmessage: a${' '.repeat(60_000)}b`],
    ['escapes that are none', `kind: Status\nmessage: "${'\\q'.repeat(2_000)}"`],
    ['many of them', `kind: Status\nmessage: "${'\\q'.repeat(30_000)}"`],
    ['lines in quotes', `kind: Status\nmessage: "${'\n'.repeat(60_000)}"`],
  ])('costs little to look for in YAML of an attacker’s: %s', async (_what, body) => {
    plane.upstream.answer = answerBytes(body, { 'content-type': 'application/yaml' });
    const costs: number[] = [];
    // Collections of garbage, and the compiler, make single ones dearer.
    for (let each = 0; each < 3; each += 1) {
      const before = process.threadCpuUsage();
      expect((await ask()).text === body).toBe(true);
      const { user, system } = process.threadCpuUsage(before);
      costs.push((user + system) / 1000);
    }
    expect(Math.min(...costs)).toBeLessThan(100);
  });

  it('is recognized in protobuf, and in several chunks', async () => {
    plane.upstream.answer = (_req, res) => {
      res.writeHead(403, { 'content-type': 'application/vnd.kubernetes.protobuf' }).write(PROTOBUF.subarray(0, 70));
      setImmediate(() => res.end(PROTOBUF.subarray(70)));
    };
    expect((await ask()).json()).toMatchObject({ code: 502, message: expect.stringContaining('impersonate groups,') });
  });

  it('has the same result for an exec', async () => {
    refuseUpgrade('403 Forbidden', JSON.stringify(forbidden(USERS)));
    const answer = await exec();
    expect(answer).toMatch(/^HTTP\/1\.1 503 [^]*\r\nRetry-After: 3\r\n/);
    expect(answer).not.toContain(ACCOUNT);
    await expectRefused(503, 'own_account_refused');
  });

  it('is counted where the proxy’s own review was rejected, before anything is sent', async () => {
    for (const [status, kind] of [
      [401, 'own_token_refused'],
      [403, 'own_account_refused'],
    ] as const) {
      plane.upstream.answer = answerReviews((_review, res) => void res.writeHead(status).end()).answer;
      const answered = await ask(PODS, { headers: { 'Impersonate-User': 'demo:limited' } });
      expect([answered.status, answered.headers['retry-after']]).toEqual([503, '3']);
      expect(plane.counted.upstreamErrors.splice(0)).toEqual([kind]);
    }
  });
});

describe('a 403 about the user is relayed byte for byte', () => {
  const own = JSON.stringify(forbidden(USERS));
  const JSON_TYPE = { 'content-type': 'application/json' };
  const spoof = 'a is forbidden: User "b" cannot impersonate resource "users" in';
  const aboutUser = (message: string): string => JSON.stringify(forbidden(message));

  it.each<[string, string, string | Buffer, Record<string, string>?]>([
    [
      'RBAC’s',
      PODS,
      aboutUser(`pods is forbidden: User "${ALICE.username}" cannot list resource "pods" in API group ""`),
    ],
    [
      'with such a text in a name that was asked for',
      `${PODS}/x`,
      aboutUser(`pods ${JSON.stringify(spoof)} is forbidden: User "a" cannot get resource "pods" in API group ""`),
    ],
    [
      'with such a text in a resource that was asked for',
      `/api/v1/namespaces/default/${encodeURIComponent(spoof)}/x/log`,
      aboutUser(`${spoof} "x" is forbidden: User "a" cannot get resource "…/log" in API group ""`),
    ],
    [
      'an escalation',
      PODS,
      aboutUser('roles "a" is forbidden: user "a" is attempting to grant {Verbs:["impersonate"]}'),
    ],
    ['of an admission webhook that quotes one', PODS, aboutUser(`admission webhook "w" denied the request: ${USERS}`)],
    ['of what is behind priority and fairness', PODS, own, { ...JSON_TYPE, 'X-Kubernetes-Pf-Flowschema-Uid': 'u' }],
    ['of a pod', `${PODS}/web-1/proxy/`, own],
    ['of a pod by the old path', '/api/v1/proxy/namespaces/default/pods/web-1/', own],
    ['of another kind', PODS, own.replace('"Status"', '"Other"')],
    ['longer than such an answer', PODS, own.replace('"details":{}', `"details":"${'x'.repeat(70_000)}"`)],
    ['in YAML that names itself', PODS, 'kind: &a Status\nmessage: *a\n', { 'content-type': 'application/yaml' }],
    ['in no known encoding', PODS, own, { 'content-type': 'text/plain' }],
    ['in broken JSON', PODS, own.slice(0, -1)],
    ['in broken protobuf', PODS, PROTOBUF.subarray(0, 100), { 'content-type': 'application/vnd.kubernetes.protobuf' }],
    ['without a body', PODS, ''],
  ])('%s', async (_what, path, body, headers = JSON_TYPE) => {
    plane.upstream.answer = answerBytes(body, headers);
    const answered = await call(plane, alice, path);
    expect([answered.status, answered.text]).toEqual([403, body.toString()]);
    expect(plane.counted.upstreamErrors).toEqual([]);
    await until(() => plane.audited.length > 0, 'the audit event');
    expect(plane.audited.at(-1)?.responseStatus).toMatchObject({ code: 403 });
    expect(plane.audited.at(-1)?.annotations).not.toHaveProperty('portcullis.dev/reason');
  });

  it.each([
    ['RBAC’s', aboutUser(`pods "web" is forbidden: User "${ALICE.username}" cannot create resource "pods/exec"`)],
    ['longer than such an answer', own.replace('"details":{}', `"details":"${'x'.repeat(200_000)}"`)],
  ])('at an exec: %s', async (_what, body) => {
    refuseUpgrade('403 Forbidden', body);
    const answer = await exec();
    expect(answer).toMatch(/^HTTP\/1\.1 403 /);
    expect(answer.slice(answer.indexOf('\r\n\r\n') + 4) === body).toBe(true);
    await until(() => plane.audited.some(({ stage }) => stage === 'ResponseComplete'), 'the audit event');
    expect(plane.audited.at(-1)?.responseStatus).toMatchObject({ code: 403 });
    expect(plane.audited.at(-1)?.annotations).not.toHaveProperty('portcullis.dev/reason');
  });

  it('at a service account that passes with its own token, which is rejected itself', async () => {
    const passing = await startPlane({ cluster: { serviceAccountPassthrough: true } });
    const token = `${Buffer.from('{"alg":"none"}').toString('base64url')}.${Buffer.from('{"iss":"https://cluster.test"}').toString('base64url')}.x`;
    const user = (name: string) => ({
      authenticated: true,
      user: { username: `system:serviceaccount:default:${name}` },
    });
    const status = ({ spec }: { spec: { token?: string } }): unknown => user(spec.token === token ? 'ci' : 'own');
    passing.upstream.answer = answerReviews(status, answerBytes(own, JSON_TYPE)).answer;
    const answered = await call(passing, await signIn(passing), PODS, { token, certificate: null });
    expect([answered.status, answered.text]).toEqual([403, own]);
    await passing.close();
  });
});

/** A cluster that answers 401 to the gate's own token: that is not about the person, and kubectl must not be told that it is. */
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { ALICE, call, HOST, rawConnection, signIn, startPlane, until } from '../support/data-plane.ts';
import type { Person, TestPlane } from '../support/data-plane.ts';
import { answerJson } from '../support/upstream.ts';

const PODS = '/api/v1/namespaces/default/pods';

let plane: TestPlane;
let alice: Person;
beforeAll(async () => {
  plane = await startPlane();
  alice = await signIn(plane);
});
afterEach(() => until(() => plane.gate.inFlight === 0, 'nothing in flight'));
afterAll(() => plane.close());

it('is a 502 that says so: relayed, kubectl would throw a good credential away', async () => {
  plane.upstream.answer = answerJson({ kind: 'Status', code: 401 }, { 'www-authenticate': 'Bearer' }, 401);
  const answered = await call(plane, alice, PODS);
  expect(answered.json()).toMatchObject({ kind: 'Status', code: 502, reason: 'ServiceUnavailable' });
  expect(answered.headers).not.toHaveProperty('www-authenticate');
  expect(answered.headers).not.toHaveProperty('retry-after');
  await until(() => plane.audited.length > 0, 'the audit line');
  expect(plane.audited[0]).toMatchObject({
    user: { username: ALICE.username },
    responseStatus: { code: 502 },
    annotations: { 'portcullis.dev/reason': 'own_token_refused' },
  });
});

it('is one where an exec was asked for as well', async () => {
  plane.upstream.answerUpgrade = (_req, socket) =>
    void socket.end('HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n');
  const connection = await rawConnection(plane, alice.certificate);
  const upgrade = 'Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n';
  connection.socket.write(
    `GET ${PODS}/web/exec HTTP/1.1\r\nHost: ${HOST}\r\nAuthorization: Bearer ${alice.token}\r\n${upgrade}`,
  );
  await connection.ended;
  expect(connection.received()).toMatch(/^HTTP\/1\.1 502 /);
});

it('is not meant by the 401 of what stands behind a proxy subresource, which asks for a credential of its own', async () => {
  plane.upstream.answer = answerJson({ of: 'the pod' }, {}, 401);
  const answered = await call(plane, alice, `${PODS}/web-1/proxy/`);
  expect([answered.status, answered.json()]).toEqual([401, { of: 'the pod' }]);
});

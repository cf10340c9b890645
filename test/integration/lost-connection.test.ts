import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { call, open, signIn, startPlane, until } from '../support/data-plane.ts';
import type { TestUser, TestPlane } from '../support/data-plane.ts';
import { answerJson } from '../support/upstream.ts';

const PODS = '/api/v1/namespaces/default/pods';
const LIST = { kind: 'PodList', apiVersion: 'v1', items: [] };

let plane: TestPlane;
let alice: TestUser;
beforeAll(async () => {
  plane = await startPlane();
  alice = await signIn(plane);
});
afterEach(async () => {
  await until(() => plane.guard.inFlight === 0, 'nothing in flight');
  plane.upstream.clear();
});
afterAll(() => plane.close());

it('repeats a GET once when the connection was lost before any byte came back', async () => {
  let tries = 0;
  plane.upstream.answer = (req, res) => {
    tries += 1;
    if (tries === 1) req.socket.destroy();
    else answerJson(LIST)(req, res);
  };
  expect((await call(plane, alice, PODS)).status).toBe(200);
  expect(tries).toBe(2);
  tries = 0;
  plane.upstream.answer = (req) => {
    tries += 1;
    req.socket.destroy();
  };
  const read = await call(plane, alice, PODS);
  expect([read.status, read.headers['retry-after']]).toEqual([503, '3']);
  expect(tries).toBe(2);
});

// The API server may have executed it before the connection was lost, so a repetition would execute it twice.
it.each([
  ['POST', undefined],
  ['POST', '{}'],
  ['PUT', '{}'],
  ['PATCH', '{}'],
  ['DELETE', undefined],
  ['GET', '{}'],
  ['GET', undefined, `${PODS}/web/proxy/run`],
  ['GET', undefined, '/api/v1/nodes/one/proxy/run'],
])('never repeats a %s with the body %s %s', async (method, body, path = PODS) => {
  let tries = 0;
  plane.upstream.answer = (req) => {
    tries += 1;
    req.socket.destroy();
  };
  const headers = { 'content-length': String(body?.length ?? 0) };
  const answered = await call(plane, alice, path, { method, headers, ...(body === undefined ? {} : { body }) });
  expect([answered.status, answered.headers['retry-after']]).toEqual([502, undefined]);
  expect(answered.json().message).toMatch(/may have been executed/);
  expect(tries).toBe(1);
});

it('does not let half a response look like a complete one, and does not request the other half', async () => {
  let lose = (): void => undefined;
  plane.upstream.answer = (req, res) => {
    res.writeHead(200, { 'content-type': 'application/json' });
    res.write('{"items":[');
    lose = () => void req.socket.destroy();
  };
  const req = open(plane, alice, PODS);
  req.end();
  const [res] = (await once(req, 'response')) as [IncomingMessage];
  const text = once(res.resume(), 'end');
  lose();
  await expect(text).rejects.toThrow(/aborted|ECONNRESET/);
  expect(plane.upstream.requests).toHaveLength(1);
});

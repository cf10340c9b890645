/** Signing in at a browser while Redis hangs: the page has the reason, and its link leads to the same request. */
import { once } from 'node:events';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { request } from 'undici';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import type { RunningDemo } from '../../demo/launch.ts';
import { visitor } from '../support/device-stage.ts';
import { startTestInstance } from '../support/instance.ts';
import { startRedis, type RedisServer } from '../support/redis.ts';

let redis: RedisServer;
let instance: RunningDemo;
beforeAll(async () => {
  redis = await startRedis();
  instance = await startTestInstance({ redis: redis.url });
});
afterEach(() => redis.resume());
afterAll(async () => {
  await instance.stop();
  await redis.stop();
});

const CALLBACK = 'http://127.0.0.1:1/callback';
const authorize = `/oauth/authorize?${new URLSearchParams({
  client_id: 'portcullis-cli',
  response_type: 'code',
  redirect_uri: CALLBACK,
  scope: 'kubernetes',
  state: 's'.repeat(43),
  code_challenge: 'c'.repeat(43),
  code_challenge_method: 'S256',
}).toString()}`;

it('reports that the store is unavailable and when to try again, with a link to the same request', async () => {
  redis.pause();
  const answer = await request(instance.urls.web + authorize, { headers: { accept: 'text/html' } });
  const page = await answer.body.text();
  expect(answer.statusCode).toBe(503);
  expect(answer.headers).toMatchObject({ 'retry-after': '1', 'cache-control': 'no-store' });
  expect(page).toContain('Portcullis cannot reach its store');
  expect(page).toContain(`href="${authorize.replaceAll('&', '&amp;')}">Try again</a>`);
  redis.resume();
  const second = await request(instance.urls.web + authorize, { headers: { accept: 'text/html' } });
  await second.body.dump();
  expect(second.statusCode).toBe(303);
});

it('links to no other host, whatever the request target contains', async () => {
  redis.pause();
  const { hostname, port, host } = new URL(instance.urls.web);
  const socket = connect(Number(port), hostname);
  await once(socket, 'connect');
  const lines = [
    `GET http://evil.example${authorize} HTTP/1.1`,
    `Host: ${host}`,
    'Accept: text/html',
    'Connection: close',
  ];
  socket.write(`${lines.join('\r\n')}\r\n\r\n`);
  const answer = await text(socket);
  // A target that names a host is no path that is known here.
  expect(answer).toMatch(/^HTTP\/1\.1 404 /);
  expect(answer).not.toContain('evil.example');
});

it('signs a user in who tries again as the page advises', async () => {
  redis.pause();
  const alice = visitor('alice', { stopAt: CALLBACK });
  const visit = alice.visit(instance.urls.web + authorize);
  // Longer than a store may take to respond, shorter than the lease of the server.
  setTimeout(() => redis.resume(), 600);
  expect((await visit).url).toMatch(/^http:\/\/127\.0\.0\.1:1\/callback\?code=/);
});

/** As checked-in-the-tick.test.ts, for consoles: the revocation guard denies, and nothing has cut what is in flight. */
import { once } from 'node:events';
import type { ClientRequest, IncomingMessage, ServerResponse } from 'node:http';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { WebSocket } from 'ws';
import type { TestBrowser, TestConsole } from '../support/console.ts';
import { HEADLAMP, openConsoleStage, OWN_FETCH, signInAt, type ConsoleStage } from '../support/console-stage.ts';
import { until } from '../support/data-plane.ts';

let stage: ConsoleStage;
let headlamp: TestConsole;
let alice: TestBrowser;
/** The number of checks that the guard still decides as usual; after them it denies. */
let left = Number.POSITIVE_INFINITY;

beforeEach(async () => {
  stage = await openConsoleStage();
  ({ headlamp } = stage);
  alice = stage.newBrowser();
  await signInAt(alice, 'alice', `${HEADLAMP}/`);
  const { guard } = stage.web;
  const check = guard.check.bind(guard);
  left = Number.POSITIVE_INFINITY;
  guard.check = (credential) => ((left -= 1) < 0 ? 'session_revoked' : check(credential));
  headlamp.seen.length = 0;
});
afterEach(() => stage.close());

/** How a request ended for the browser: the code of its error, or `whole`. */
function ending(request: ClientRequest): Promise<string> {
  return new Promise((resolve) => {
    const failed = ({ code = 'error' }: NodeJS.ErrnoException): void => resolve(code);
    request.on('error', failed);
    request.on('response', (answer) => answer.on('error', failed).on('end', () => resolve('whole')));
  });
}

const upgrade = {
  ...OWN_FETCH,
  origin: HEADLAMP,
  connection: 'Upgrade',
  upgrade: 'websocket',
  'sec-websocket-version': '13',
  'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAA==',
};

// Two checks admit a request: that of the browser's cookie, and that of the token that its earlier request has left.
it.each([
  ['no connection is made for a request', OWN_FETCH, 2, 0],
  ['a request whose connection was made is not sent', OWN_FETCH, 3, 1],
  ['no connection is made for a WebSocket', upgrade, 2, 0],
])('%s', async (_what, headers, checks, connections) => {
  const before = headlamp.dialled;
  left = checks;
  const request = alice.open(`${HEADLAMP}/x`, headers);
  request.end();
  expect(await ending(request)).toBe('ECONNRESET');
  await until(() => headlamp.connections.size === 0, 'the end of the connection to the console');
  expect(headlamp.seen).toEqual([]);
  expect(headlamp.dialled - before).toBe(connections);
});

it('a chunk of an upload is not sent', async () => {
  const request = alice.open(`${HEADLAMP}/x`, { ...OWN_FETCH, origin: HEADLAMP, 'content-length': '10' }, 'POST');
  const ended = ending(request);
  let seen = '';
  request.flushHeaders();
  await until(() => headlamp.connections.size === 1, 'the connection to the console');
  for (const socket of headlamp.connections) socket.on('data', (chunk: Buffer) => (seen += chunk.toString()));
  request.write('first');
  await until(() => seen.endsWith('first'), 'the first piece');
  left = 0;
  request.write('other');
  expect(await Promise.race([ended, until(() => seen.endsWith('other'), 'the other piece')])).toBe('ECONNRESET');
  await until(() => headlamp.connections.size === 0, 'the end of the connection to the console');
  expect(seen).not.toContain('other');
});

/** A request that the console has received, and its response. */
async function asked(): Promise<{ readonly request: ClientRequest; readonly answer: ServerResponse }> {
  const come = Promise.withResolvers<ServerResponse>();
  headlamp.answer = (_req, res) => come.resolve(res);
  const request = alice.open(`${HEADLAMP}/x`, OWN_FETCH);
  request.end();
  return { request, answer: await come.promise };
}

it('a response is not begun', async () => {
  const { request, answer } = await asked();
  left = 0;
  answer.end('secret');
  expect(await Promise.race([ending(request), once(request, 'response').then(() => 'answered')])).toBe('ECONNRESET');
});

it('a chunk of a response is not forwarded', async () => {
  const { request, answer } = await asked();
  answer.write('first');
  const [handed] = (await once(request, 'response')) as [IncomingMessage];
  let seen = '';
  const ended = once(handed, 'error');
  handed.on('data', (chunk: Buffer) => (seen += chunk.toString()));
  await until(() => seen === 'first', 'the first piece');
  left = 0;
  answer.write('other');
  const more = until(() => seen !== 'first', 'the other piece', 20_000).then(() => 'more');
  expect(await Promise.race([ended, more])).toMatchObject([{ code: 'ECONNRESET' }]);
  expect(seen).toBe('first');
});

it('a WebSocket is not opened', async () => {
  // Before the console has responded, which it does without the test.
  left = 4;
  const request = alice.open(`${HEADLAMP}/x`, upgrade);
  request.end();
  const ended = ending(request);
  const opened = once(request, 'upgrade').then(() => 'opened');
  expect(await Promise.race([ended, opened])).toBe('ECONNRESET');
  expect(headlamp.seen).toHaveLength(1);
});

it.each([
  ['the browser is not forwarded', (mine: WebSocket) => mine.send('rm -rf /')],
  ['the console is not forwarded', () => headlamp.sockets()[0]?.send('secret')],
])('a message from %s', async (_whose, send) => {
  const mine = (await stage.openSocket(alice, HEADLAMP)) as WebSocket;
  const came: string[] = [];
  mine.on('message', (data: Buffer) => void came.push(data.toString()));
  const closed = once(mine, 'close');
  left = 0;
  send(mine);
  const more = until(() => headlamp.messages.length + came.length > 0, 'a message', 20_000).then(() => 'passed');
  expect(await Promise.race([closed, more])).toMatchObject([1006, expect.anything()]);
  await until(() => headlamp.connections.size === 0, 'the end of the connection to the console');
  expect([headlamp.messages, came]).toEqual([[], []]);
});

/** What one user, or all, may hold of the web listener by consoles, and what is left of it after they have gone. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { afterEach, expect, it, onTestFinished, vi } from 'vitest';
import { WebSocket } from 'ws';
import { ConsoleLimit } from '../../src/web/consoles/console-limit.ts';
import type { TestBrowser } from '../support/console.ts';
import { HEADLAMP, openConsoleStage, OWN_FETCH, signInAt, type ConsoleStage } from '../support/console-stage.ts';
import { until } from '../support/data-plane.ts';

const LIMITS = { connections: 1000, inFlightPerUser: 3 };
/** More than the close grace. */
const GRACE_MS = 30_000;

let stage: ConsoleStage;
afterEach(async () => {
  vi.useRealTimers();
  await stage.close();
});

async function signedIn(user: string): Promise<TestBrowser> {
  const browser = stage.newBrowser();
  await signInAt(browser, user, `${HEADLAMP}/`);
  return browser;
}

it('a user with as many requests and WebSockets as there may be gets 429, in any browser, and no other user does', async () => {
  stage = await openConsoleStage(undefined, LIMITS);
  const { headlamp } = stage;
  const [alice, again, root] = [await signedIn('alice'), await signedIn('alice'), await signedIn('root')];
  headlamp.answer = ({ url }, res) => void (url === '/hangs' || res.end('ended'));
  const first = (await stage.openSocket(alice, HEADLAMP)) as WebSocket;
  expect(await stage.openSocket(again, HEADLAMP)).toBeInstanceOf(WebSocket);
  headlamp.seen.length = 0;
  alice.open(`${HEADLAMP}/hangs`, OWN_FETCH).end();
  await until(() => headlamp.seen.length === 1, 'the third');
  for (const each of [alice, again]) {
    const rejected = await each.send(`${HEADLAMP}/x`);
    expect([rejected.status, rejected.headers['retry-after']]).toEqual([429, '1']);
    expect(rejected.text).toContain('You have 3 requests and WebSockets open at the consoles');
    expect(await stage.openSocket(each, HEADLAMP)).toBe(429);
  }
  expect(headlamp.seen).toHaveLength(1);
  expect((await root.send(`${HEADLAMP}/x`)).text).toBe('ended');
  expect(await stage.openSocket(root, HEADLAMP)).toBeInstanceOf(WebSocket);
  first.terminate();
  await until(() => headlamp.sockets().length === 2, 'the end of one');
  expect((await alice.send(`${HEADLAMP}/x`)).text).toBe('ended');
});

it('half of the web connections is for consoles, half of that for one account, and a quarter for the first of each', () => {
  const limit = new ConsoleLimit({ connections: 400, inFlightPerUser: 400 });
  const taken = (account: number): number => {
    let count = 0;
    while (limit.acquire(`corp/${account}`).ok) count += 1;
    return count;
  };
  expect(Array.from({ length: 8 }, (_, account) => taken(account))).toEqual([100, 66, 8, 8, 8, 8, 2, 0]);
});

it('a slot is there again once its request is over', () => {
  const limit = new ConsoleLimit({ connections: 4, inFlightPerUser: 400 });
  const slot = limit.acquire('corp/a');
  expect([slot.ok, limit.acquire('corp/a').ok]).toEqual([true, false]);
  if (slot.ok) slot.value();
  expect(limit.acquire('corp/a').ok).toBe(true);
});

/** An upgraded connection of a browser that can close its own side alone, behind a proxy that terminates TLS. */
async function upgraded(browser: TestBrowser): Promise<Socket> {
  const server = createServer();
  stage.web.web.serve(server);
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const socket = connect({ port: (server.address() as AddressInfo).port, allowHalfOpen: true });
  onTestFinished(() => {
    socket.destroy();
    server.close();
  });
  socket.on('error', () => undefined);
  const head = [
    'GET /ws HTTP/1.1',
    'Host: headlamp.test',
    `Cookie: ${browser.cookieHeader('headlamp.test')}`,
    `Origin: ${HEADLAMP}`,
    'Connection: Upgrade',
    'Upgrade: websocket',
  ];
  socket.write(`${head.join('\r\n')}\r\n\r\n`);
  const [begun] = (await once(socket, 'data')) as [Buffer];
  expect(begun.toString('latin1')).toMatch(/^HTTP\/1\.1 101 /);
  socket.resume();
  return socket;
}

it.each<[ends: string, stays: string]>([
  ['browser', 'console'],
  ['console', 'browser'],
])('a WebSocket whose %s has left is closed on both sides, whatever the %s does', async (ends) => {
  stage = await openConsoleStage();
  const { headlamp, web } = stage;
  let atConsole: Socket | undefined;
  headlamp.upgraded = (socket) => {
    atConsole = socket.resume();
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
  };
  const browser = await upgraded(await signedIn('alice'));
  expect([web.guard.inFlight, headlamp.connections.size]).toEqual([1, 1]);
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  const [from, to] = ends === 'browser' ? [browser, atConsole] : [atConsole, browser];
  const ended = once(to as Socket, 'end');
  from?.end();
  await ended;
  vi.advanceTimersByTime(GRACE_MS - 1);
  expect([web.guard.inFlight, headlamp.connections.size]).toEqual([1, 1]);
  vi.advanceTimersByTime(1);
  vi.useRealTimers();
  await until(() => web.guard.inFlight === 0, 'the end at the browser');
  // A side that has read an end notices a reset only when it writes.
  await until(() => {
    atConsole?.write('x');
    browser.write('x');
    return headlamp.connections.size === 0 && browser.destroyed;
  }, 'the end of both sides');
});

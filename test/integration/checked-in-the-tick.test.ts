/**
 * The revocation guard denies, and nothing has cut what is in flight: a process that was stopped and goes on finds its lease lapsed before any
 * timer has run. So each step that forwards something checks the guard. Each test covers one step: without its check, something is forwarded.
 */
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Server } from 'node:net';
import type { Duplex } from 'node:stream';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { HOST, rawConnection, signIn, startPlane, until } from '../support/data-plane.ts';
import type { TestUser, RawConnection, TestPlane } from '../support/data-plane.ts';
import { answerReviews, forwarded } from '../support/reviews.ts';
import { answerJson } from '../support/upstream.ts';

const PODS = '/api/v1/namespaces/default/pods';
const EXEC = `${PODS}/web-1/exec?command=sh&stdin=true`;
const WEBSOCKET = [
  'Connection: Upgrade',
  'Upgrade: websocket',
  'Sec-WebSocket-Version: 13',
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
];
const SWITCHED = 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n';

let plane: TestPlane;
let alice: TestUser;
/** Stands between the proxy and the API server, to delay connections. */
let relay: Server;
let dialled = 0;
let connecting = Promise.withResolvers<void>();
/** The decision of the guard; `after` runs after its next check. */
let isShut = false;
let after: (() => void) | undefined;

beforeAll(async () => {
  relay = createServer((socket) => {
    dialled += 1;
    socket.on('error', () => undefined);
    const join = async (): Promise<void> => {
      await connecting.promise;
      const onwards = connect(Number(new URL(plane.upstream.server).port), '127.0.0.1');
      // A reset of one side resets the other.
      for (const [one, other] of [[socket, onwards] as const, [onwards, socket] as const]) {
        one.on('error', () => other.resetAndDestroy());
        one.pipe(other);
      }
    };
    void join();
  });
  relay.listen(0, '127.0.0.1');
  await once(relay, 'listening');
  plane = await startPlane({
    cluster: { server: `https://127.0.0.1:${(relay.address() as AddressInfo).port}` },
    check: (check) => (credential) => {
      if (isShut) return 'session_revoked';
      const rejection = check(credential);
      after?.();
      return rejection;
    },
  });
});
beforeEach(async () => {
  alice = await signIn(plane);
  connecting = Promise.withResolvers();
  connecting.resolve();
  [isShut, after, dialled] = [false, undefined, 0];
  plane.upstream.clear();
  plane.audited.length = 0;
  plane.ahead.length = 0;
});
afterEach(async () => {
  // No connection is kept alive for the next test, which counts them.
  for (const { socket } of plane.upstream.connections) socket.destroy();
  await until(() => plane.guard.inFlight === 0, 'nothing in flight');
});
afterAll(async () => {
  await plane.close();
  relay.close();
});

const send = async (line: string, ...headers: string[]): Promise<RawConnection> => {
  const connection = await rawConnection(plane, alice.certificate);
  const head = [line, `Host: ${HOST}`, `Authorization: Bearer ${alice.token}`, ...headers];
  connection.socket.write(`${head.join('\r\n')}\r\n\r\n`);
  return connection;
};
const upgrade = (...more: string[]) => send(`GET ${EXEC} HTTP/1.1`, ...WEBSOCKET, ...more);

/** Sends a request that the API server receives and does not respond to. */
async function unanswered(begin: () => Promise<RawConnection>): Promise<RawConnection> {
  const connection = await begin();
  await until(() => plane.upstream.requests.length === 1, 'the request');
  return connection;
}

/**
 * Makes the guard deny and runs the step, which then has to end the request.
 * @param leak something was forwarded, so that a failing test ends immediately: it is so, or the client has this text
 * @returns `told` or `reset` when nothing was forwarded: with a rejection of ours, or without one
 */
async function shutAnd(
  mine: RawConnection,
  step: () => void,
  leak: string | (() => boolean),
): Promise<'told' | 'reset' | 'passed'> {
  const passed = typeof leak === 'string' ? () => mine.received().includes(leak) : leak;
  isShut = true;
  step();
  await until(() => mine.socket.destroyed || passed(), 'the end', 20_000);
  if (passed()) return 'passed';
  const isTold = mine.received().includes('"code":401');
  expect(await mine.ended).toMatch(isTold ? /end|ECONNRESET|EPIPE/ : /ECONNRESET|EPIPE/);
  const recorded = (): unknown => plane.audited.at(-1)?.annotations['portcullis.dev/reason'];
  await until(() => recorded() === 'session_revoked', 'the audit event', 20_000);
  return passed() ? 'passed' : isTold ? 'told' : 'reset';
}

const resetUpstream = () => expect(plane.upstream.requests[0]?.connection.ended).resolves.toBe('reset');

it('a chunk of an upload is not sent', async () => {
  let seen = '';
  plane.upstream.answer = (req) => {
    req.on('data', (chunk: Buffer) => (seen += chunk.toString()));
    req.on('error', () => undefined);
  };
  const mine = await send(`POST ${PODS} HTTP/1.1`, 'Content-Length: 10');
  mine.socket.write('first');
  await until(() => seen === 'first', 'the first piece');
  const isPassed = (): boolean => seen !== 'first';
  expect(await shutAnd(mine, () => mine.socket.write('other'), isPassed)).toBe('told');
  await resetUpstream();
  expect(seen).toBe('first');
});

it.each([
  ['a request', () => send(`GET ${PODS} HTTP/1.1`)],
  ['a watch', () => send(`GET ${PODS}?watch=1 HTTP/1.1`)],
  ['an upgrade', () => upgrade()],
])('%s that waited for its connection is not sent', async (_what, begin) => {
  connecting = Promise.withResolvers();
  const mine = await begin();
  await until(() => dialled === 1, 'the attempt to connect');
  const isSent = (): boolean => plane.upstream.requests.length > 0;
  expect(await shutAnd(mine, () => connecting.resolve(), isSent)).toBe('told');
  expect(plane.upstream.requests).toEqual([]);
});

it.each([
  ['a request', () => send(`POST ${PODS} HTTP/1.1`, 'Content-Length: 0')],
  ['a watch', () => send(`GET ${PODS}?watch=1 HTTP/1.1`)],
  ['an upgrade', () => upgrade()],
])('%s whose client left while it waited for its connection is not sent', async (_what, begin) => {
  connecting = Promise.withResolvers();
  const mine = await begin();
  await until(() => dialled === 1, 'the attempt to connect');
  mine.socket.destroy();
  let open = 1;
  await until(() => {
    plane.listener.server.getConnections((_error, count) => (open = count));
    return open === 0;
  }, 'the end of its connection');
  connecting.resolve();
  await until(() => plane.guard.inFlight === 0, 'nothing in flight');
  // Another request comes after it.
  plane.upstream.answer = answerJson({ kind: 'PodList' });
  const next = await send(`GET ${PODS}?limit=1 HTTP/1.1`);
  await until(() => next.received().includes('PodList'), 'its answer');
  expect(plane.upstream.requests.map(({ url }) => url)).toEqual([`${PODS}?limit=1`]);
  next.socket.destroy();
});

const reviewed = () => {
  const finished = Promise.withResolvers<void>();
  const reviews = answerReviews(async () => {
    await finished.promise;
    return { allowed: true };
  });
  plane.upstream.answer = reviews.answer;
  return { asked: reviews.asked, finish: finished.resolve };
};
const AS = 'Impersonate-User: limited';

it('a user who may pass no longer once authenticated is not reviewed', async () => {
  const { asked } = reviewed();
  let checks = 0;
  // The authenticator asks before and after it has read the session.
  after = () => {
    checks += 1;
    isShut = checks === 2;
  };
  const mine = await send(`GET ${PODS} HTTP/1.1`, AS);
  await until(() => mine.received().includes('"code":401') || asked.length > 0, 'the answer', 20_000);
  expect([checks, asked]).toEqual([2, []]);
  mine.socket.destroy();
});

it('a request whose reviews took long is rejected, and not written ahead', async () => {
  const { asked, finish } = reviewed();
  const mine = await send(`POST ${PODS} HTTP/1.1`, AS, 'Content-Length: 0');
  await until(() => asked.length === 1, 'the review');
  isShut = true;
  finish();
  await until(() => mine.socket.destroyed || mine.received().includes('\r\n\r\n'), 'the answer', 20_000);
  expect(mine.received()).toContain('"code":401');
  expect([forwarded(plane.upstream.requests), plane.ahead]).toEqual([[], []]);
  expect(plane.audited.at(-1)).toMatchObject({
    responseStatus: { code: 401 },
    annotations: { 'portcullis.dev/reason': 'session_revoked' },
  });
  mine.socket.destroy();
});

it.each([
  ['a request', () => send(`POST ${PODS} HTTP/1.1`, AS, 'Content-Length: 1', 'Expect: 100-continue')],
  ['an upgrade', () => upgrade(AS)],
])('%s is not connected when the guard denies between its admission and the connection', async (_what, begin) => {
  const { asked, finish } = reviewed();
  const mine = await begin();
  await until(() => asked.length === 1, 'the review');
  const before = dialled;
  // The last check before the admission still allows it.
  after = () => (isShut = true);
  finish();
  await until(() => mine.socket.destroyed || mine.received() !== '' || dialled > before, 'the end', 20_000);
  expect([mine.received().slice(0, 12), dialled]).toEqual(['HTTP/1.1 401', before]);
  await until(() => mine.socket.destroyed, 'the end');
  expect(mine.received()).not.toContain('may have been executed');
  expect(forwarded(plane.upstream.requests)).toEqual([]);
});

it.each([
  ['a request', () => send(`GET ${PODS} HTTP/1.1`, AS)],
  ['an upgrade', () => upgrade(AS)],
])('%s whose client left during the review is not sent', async (_what, begin) => {
  const { asked, finish } = reviewed();
  const mine = await begin();
  await until(() => asked.length === 1, 'the review');
  mine.socket.destroy();
  await until(() => plane.guard.inFlight === 0, 'nothing in flight');
  finish();
  // Another request waits for the same review and comes after it.
  const next = await send(`GET ${PODS}?limit=1 HTTP/1.1`, AS);
  await until(() => next.received().includes('PodList'), 'its answer', 20_000);
  expect(forwarded(plane.upstream.requests).map(({ url }) => url)).toEqual([`${PODS}?limit=1`]);
  next.socket.destroy();
});

it('a request whose connection was lost is not sent again', async () => {
  plane.upstream.answer = () => undefined;
  const mine = await unanswered(() => send(`GET ${PODS} HTTP/1.1`));
  const again = () => plane.upstream.requests.length > 1 || dialled > 1;
  expect(await shutAnd(mine, () => plane.upstream.connections[0]?.socket.destroy(), again)).toBe('told');
  expect(again()).toBe(false);
});

it('a response is not begun', async () => {
  let answer = (): void => undefined;
  plane.upstream.answer = (req, res) => (answer = () => answerJson({ secret: 1 })(req, res));
  const mine = await unanswered(() => send(`GET ${PODS} HTTP/1.1`));
  expect(await shutAnd(mine, () => answer(), 'secret')).toBe('told');
  await resetUpstream();
});

it('a chunk of a response is not forwarded', async () => {
  let more = (): void => undefined;
  plane.upstream.answer = (_req, res) => {
    res.write('first');
    more = () => void res.write('other');
  };
  const mine = await send(`GET ${PODS} HTTP/1.1`);
  await until(() => mine.received().includes('first'), 'the first piece');
  expect(await shutAnd(mine, () => more(), 'other')).toBe('reset');
  await resetUpstream();
});

it.each([
  ['a 101', SWITCHED, '101 Switching'],
  ['any other response', 'HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno', '403 Forbidden'],
])('an upgrade does not get %s', async (_what, response, leak) => {
  let answer = (): void => undefined;
  plane.upstream.answerUpgrade = (_req, socket) => (answer = () => void socket.write(response));
  const mine = await unanswered(() => upgrade());
  expect(await shutAnd(mine, () => answer(), leak)).toBe('told');
  await resetUpstream();
});

it('a chunk of the response to a rejected upgrade is not forwarded', async () => {
  let more = (): void => undefined;
  plane.upstream.answerUpgrade = (_req, socket) => {
    socket.write('HTTP/1.1 403 Forbidden\r\nContent-Length: 10\r\n\r\nfirst');
    more = () => void socket.write('other');
  };
  const mine = await upgrade();
  await until(() => mine.received().includes('first'), 'the first piece');
  expect(await shutAnd(mine, () => more(), 'other')).toBe('reset');
  await resetUpstream();
});

describe('in a tunnel', () => {
  let seen = '';
  let theirs: Duplex | undefined;
  beforeEach(() => {
    [seen, theirs] = ['', undefined];
    plane.upstream.answerUpgrade = (_req: IncomingMessage, socket, early) => {
      theirs = socket;
      seen += early.toString();
      socket.on('data', (chunk: Buffer) => (seen += chunk.toString()));
      socket.write(`${SWITCHED}welcome`);
    };
  });
  const joined = async (): Promise<RawConnection> => {
    const mine = await upgrade();
    await until(() => mine.received().includes('welcome'), 'the first bytes');
    return mine;
  };

  it('a chunk from the client is not sent', async () => {
    const mine = await joined();
    const typed = (): void => void mine.socket.write('rm -rf /');
    expect(await shutAnd(mine, typed, () => seen !== '')).toBe('reset');
    await resetUpstream();
    expect(seen).toBe('');
  });

  it('a chunk from the API server is not forwarded', async () => {
    const mine = await joined();
    expect(await shutAnd(mine, () => theirs?.write('secret'), 'secret')).toBe('reset');
    await resetUpstream();
  });
});

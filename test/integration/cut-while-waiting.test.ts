import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { HOST, rawConnection, signIn, startPlane, until } from '../support/data-plane.ts';
import type { TestUser, TestPlane } from '../support/data-plane.ts';
import { http2Connection } from '../support/http2-client.ts';
import type { Http2Connection } from '../support/http2-client.ts';
import { ACCESS_REVIEWS, answerReviews, forwarded } from '../support/reviews.ts';
import { answerJson } from '../support/upstream.ts';
import type { Answer } from '../support/upstream.ts';

const PODS = '/api/v1/namespaces/default/pods';
const MEGABYTE = 1_048_576;
/** The pool for short requests: twice the number that one user may have in flight. */
const CONNECTIONS = 256;
/** Of them for one account. */
const SHARE = Math.ceil(CONNECTIONS / 3);
/** The bytes that kernels hold in both directions, as well as the buffers of Node. */
const UNDER_WAY = 16 * MEGABYTE;

interface Asking {
  received(): string;
  readonly ended: Promise<string>;
  write(chunk: Buffer): void;
  pause(): void;
  resume(): void;
}

/** @param options.upload bytes of the body of a POST; absent: a GET */
type Ask = (
  plane: TestPlane,
  user: TestUser,
  options?: { readonly headers?: Record<string, string>; readonly upload?: number },
) => Promise<Asking>;

const byHttp1: Ask = async (plane, user, { headers = {}, upload } = {}) => {
  const connection = await rawConnection(plane, user.certificate);
  const { socket, ended } = connection;
  const lines = [
    `${upload === undefined ? 'GET' : 'POST'} ${PODS} HTTP/1.1`,
    `Host: ${HOST}`,
    `Authorization: Bearer ${user.token}`,
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
    ...(upload === undefined ? [] : [`Content-Length: ${upload}`]),
  ];
  socket.write(`${lines.join('\r\n')}\r\n\r\n`);
  return {
    received: () => connection.received(),
    ended,
    write: (chunk) => void socket.write(chunk),
    pause: () => void socket.pause(),
    resume: () => void socket.resume(),
  };
};

let opened: Http2Connection[] = [];
const byHttp2: Ask = async (plane, user, { headers = {}, upload } = {}) => {
  const connection = await http2Connection(plane, user.certificate);
  opened.push(connection);
  const options = upload === undefined ? {} : { method: 'POST', body: null };
  const answer = connection.open(user, PODS, { headers, ...options });
  const { stream, ended } = answer;
  return {
    received: () => answer.received(),
    ended,
    write: (chunk) => void stream.write(chunk),
    pause: () => void stream.pause(),
    resume: () => void stream.resume(),
  };
};

describe.each([
  ['HTTP/1.1', byHttp1, 'ECONNRESET'],
  ['HTTP/2', byHttp2, 'INTERNAL_ERROR'],
] as const)('a request that is revoked over %s while it waits', (_version, ask, reset) => {
  let plane: TestPlane;
  let alice: TestUser;
  /** Resolves when reads of sessions may go on. */
  let reads = Promise.withResolvers<void>();
  let waiting = 0;
  /** Resolves when audit events may be written. */
  let disk = Promise.withResolvers<boolean>();
  beforeAll(async () => {
    plane = await startPlane({
      recordAhead: () => disk.promise,
      limits: { inFlightPerUser: CONNECTIONS / 2 },
      read: (read) => async (id) => {
        const record = await read(id);
        waiting += 1;
        await reads.promise;
        return record;
      },
    });
  });
  beforeEach(async () => {
    alice = await signIn(plane);
    reads = Promise.withResolvers();
    reads.resolve();
    waiting = 0;
    disk = Promise.withResolvers();
    disk.resolve(true);
    plane.ahead.length = 0;
    plane.upstream.clear();
  });
  afterEach(async () => {
    for (const connection of opened) connection.close();
    opened = [];
    await plane.guard.revoke({ target: { kind: 'all' } });
    await until(() => plane.guard.inFlight === 0, 'nothing in flight');
  });
  afterAll(() => plane.close());

  /** None of them was sent, and none says that it may have been executed. */
  const toldWhy = async (asking: Asking): Promise<void> => {
    await until(() => asking.received().includes('"code":401'), 'the rejection');
    expect(asking.received()).toMatch(/your session was ended by [^;]* \(audit id/);
  };
  const end = (user: TestUser) => plane.guard.revoke({ target: { kind: 'session', session: user.session.id } });

  it('for its session to be read is rejected, and nothing reaches the API server', async () => {
    reads = Promise.withResolvers();
    const asking = await ask(plane, alice);
    await until(() => waiting === 1, 'the read');
    expect(await end(alice)).toMatchObject({ complete: true });
    reads.resolve();
    await until(() => asking.received().includes('"code":401'), 'the rejection');
    expect(plane.upstream.requests).toEqual([]);
  });

  it('for a review is rejected, and only the review reaches the API server', async () => {
    const finished = Promise.withResolvers<void>();
    const reviews = answerReviews(async () => {
      await finished.promise;
      return { allowed: true };
    });
    plane.upstream.answer = reviews.answer;
    const asking = await ask(plane, alice, { headers: { 'impersonate-user': 'limited' } });
    await until(() => reviews.asked.length === 1, 'the review');
    expect(await end(alice)).toMatchObject({ complete: true, streamsClosed: 1 });
    finished.resolve();
    await toldWhy(asking);
    expect(plane.upstream.requests.map(({ url }) => url)).toEqual([ACCESS_REVIEWS]);
    expect(forwarded(plane.upstream.requests)).toEqual([]);
  });

  it('for its audit event to be written is rejected, and nothing reaches the API server', async () => {
    disk = Promise.withResolvers();
    const asking = await ask(plane, alice, { upload: 0 });
    await until(() => plane.ahead.length === 1, 'the event');
    expect(await end(alice)).toMatchObject({ complete: true, streamsClosed: 1 });
    disk.resolve(true);
    await toldWhy(asking);
    expect(plane.upstream.requests).toEqual([]);
    expect(plane.audited.at(-1)).toMatchObject({
      auditID: plane.ahead[0]?.auditID,
      stage: 'ResponseComplete',
      responseStatus: { code: 401, reason: 'Unauthorized' },
      annotations: { 'portcullis.dev/reason': 'session_revoked' },
    });
  });

  it('for a free connection is rejected, and it is not sent when a connection is free', async () => {
    const held: (() => void)[] = [];
    plane.upstream.answer = (req, res) => void held.push(() => answerJson({ kind: 'PodList' })(req, res));
    // Another session of the same account holds all of its share.
    const other = await signIn(plane);
    const client = await http2Connection(plane, other.certificate);
    opened.push(client);
    const before = Array.from({ length: CONNECTIONS / 2 - 1 }, () => client.open(other, PODS));
    await until(() => held.length === SHARE, 'every connection that it may have');
    // A change: only of one that was sent may the rejection say that it may have been executed.
    const asking = await ask(plane, alice, { upload: 0 });
    const isHers = ({ session }: { readonly session: string }): boolean => session === alice.session.id;
    await until(() => plane.guard.sessionsInFlight().some(isHers), 'one more');
    // From there to the queue there are only promises.
    await new Promise((resolve) => setImmediate(resolve));
    expect(await end(alice)).toMatchObject({ complete: true, streamsClosed: 1 });
    await toldWhy(asking);
    plane.upstream.answer = answerJson({ kind: 'PodList' });
    for (const answer of held) answer();
    await Promise.all(before.map(({ ended }) => ended));
    await until(() => plane.guard.inFlight === 0, 'nothing in flight');
    expect(plane.upstream.requests).toHaveLength(before.length);
  });

  it('in an upload for an API server that does not read ends on both sides, and the rest is never sent', async () => {
    const whole = 64 * MEGABYTE;
    let seen = 0;
    let goOn = (): void => undefined;
    plane.upstream.answer = (req) => {
      req.on('data', (chunk: Buffer) => (seen += chunk.length));
      req.once('data', () => req.pause());
      req.on('error', () => undefined);
      goOn = () => void req.resume();
    };
    const asking = await ask(plane, alice, { upload: whole });
    for (let sent = 0; sent < whole; sent += MEGABYTE) asking.write(Buffer.alloc(MEGABYTE, 'x'));
    await until(() => seen > 0, 'the first piece');
    expect(await end(alice)).toMatchObject({ complete: true, streamsClosed: 1 });
    goOn();
    expect(await plane.upstream.requests[0]?.connection.ended).toBe('reset');
    expect(await asking.ended).toMatch(/ECONNRESET|EPIPE|end|NO_ERROR/);
    expect(seen).toBeLessThan(UNDER_WAY);
  });

  it('for a client that does not read a list is reset on both sides, and the rest is never forwarded', async () => {
    const list: Answer = (_req, res) => {
      res.writeHead(200, { 'content-type': 'application/json' });
      const pump = (): void => {
        while (res.write(Buffer.alloc(65_536, 'z')));
        res.once('drain', pump);
      };
      pump();
    };
    plane.upstream.answer = list;
    const asking = await ask(plane, alice);
    await until(() => asking.received().length > MEGABYTE, 'the first of it');
    asking.pause();
    expect(await end(alice)).toMatchObject({ complete: true, streamsClosed: 1 });
    expect(await plane.upstream.requests[0]?.connection.ended).toBe('reset');
    const before = asking.received().length;
    asking.resume();
    expect(await asking.ended).toBe(reset);
    expect(asking.received().length - before).toBeLessThan(UNDER_WAY);
  });
});

it('an upgrade that is revoked while its audit event is written is not forwarded', async () => {
  const disk = Promise.withResolvers<boolean>();
  const plane = await startPlane({ recordAhead: () => disk.promise });
  onTestFinished(() => plane.close());
  const alice = await signIn(plane);
  const connection = await rawConnection(plane, alice.certificate);
  const { socket, ended } = connection;
  const head = [
    `GET ${PODS}/web/exec?command=id HTTP/1.1`,
    `Host: ${HOST}`,
    `Authorization: Bearer ${alice.token}`,
    'Connection: Upgrade',
    'Upgrade: websocket',
  ];
  socket.write(`${head.join('\r\n')}\r\n\r\n`);
  await until(() => plane.ahead.length === 1, 'the event');
  const revoked = await plane.guard.revoke({ target: { kind: 'session', session: alice.session.id } });
  expect(revoked).toMatchObject({ complete: true, streamsClosed: 1 });
  disk.resolve(true);
  await until(() => connection.received().includes('"code":401'), 'the rejection');
  expect(connection.received()).toMatch(/your session was ended by [^;]* \(audit id/);
  socket.end();
  expect(await ended).toBe('end');
  expect(plane.upstream.connections).toEqual([]);
});

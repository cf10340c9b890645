/** What an auditor has asked for and not read, when their session is revoked: it ends there, at both versions of HTTP. */
import { once } from 'node:events';
import { appendFile } from 'node:fs/promises';
import { connect as connectHttp2, constants } from 'node:http2';
import type { Readable } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import { encodeLine } from '../../src/audit/encode-line.ts';
import { auditTime } from '../../src/core/audit/moment.ts';
import type { AuditEvent } from '../../src/core/audit/event.ts';
import { ADMIN_AUDIENCE } from '../../src/core/core.ts';
import { anEvent, range } from '../unit/audit/fixtures.ts';
import { startTestInstance, type TestInstance } from '../support/instance.ts';
import type { ClientKey } from '../support/oauth-client.ts';

const PATH = '/-/admin/api/v1/audit/events.jsonl';
const READ = '/-/admin/api/v1/sessions';

let instance: TestInstance;
let ca: string;

beforeAll(async () => {
  instance = await startTestInstance();
  ({ ca } = instance);
  // More than the kernels take on the way: the rest waits in the process.
  const event = (n: number): AuditEvent =>
    anEvent({ auditID: `long-${n}`, stageTimestamp: auditTime(Date.now()), userAgent: 'x'.repeat(1000) });
  await appendFile(
    instance.files.auditLog,
    range(9500)
      .map((n) => encodeLine(event(n)).toString())
      .join(''),
  );
});
afterAll(() => instance.stop());

interface Asked {
  readonly key: ClientKey;
  readonly token: string;
}

/** Reads nothing but the beginning of the head, before `resume`. */
async function overHttp1({ key, token }: Asked): Promise<Readable> {
  const socket = connectTls({
    port: instance.server.ports.api,
    host: '127.0.0.1',
    servername: 'localhost',
    ca,
    ...key,
  });
  onTestFinished(() => void socket.destroy());
  socket.write(
    `GET ${PATH} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token}\r\nConnection: close\r\n\r\n`,
  );
  await new Promise((resolve) => socket.once('readable', resolve));
  return socket;
}

/** With a window of 64 kB, which is all that comes before `resume`. */
async function overHttp2({ key, token }: Asked): Promise<Readable> {
  const session = connectHttp2(instance.urls.api, { ca, ...key, settings: { initialWindowSize: 65_535 } });
  onTestFinished(() => session.destroy());
  session.on('error', () => undefined);
  const stream = session.request({ ':path': PATH, authorization: `Bearer ${token}` });
  await new Promise((resolve) => stream.once('response', resolve));
  return stream;
}

/** Sends a read, and goes before there is a response. */
const leaves = {
  'HTTP/1.1': async ({ key, token }: Asked): Promise<void> => {
    const { port } = new URL(instance.urls.api);
    const socket = connectTls({ port: Number(port), host: '127.0.0.1', servername: 'localhost', ca, ...key });
    await once(socket, 'secureConnect');
    socket.write(`GET ${READ} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token}\r\n\r\n`);
    socket.resume().end();
    if (!socket.closed) await once(socket, 'close');
  },
  'HTTP/2': async ({ key, token }: Asked): Promise<void> => {
    const session = connectHttp2(instance.urls.api, { ca, ...key });
    session.on('error', () => undefined);
    const stream = session.request({ ':path': READ, authorization: `Bearer ${token}` });
    stream.on('error', () => undefined).resume();
    await once(session, 'connect');
    stream.close(constants.NGHTTP2_CANCEL);
    if (!stream.destroyed) await once(stream, 'close');
    session.destroy();
  },
} as const;

/** @returns the code of the error, and all bytes */
function readToItsEnd(stream: Readable): Promise<{ readonly end: string | undefined; readonly bytes: number }> {
  return new Promise((resolve) => {
    let bytes = 0;
    let end: string | undefined;
    stream.on('data', (chunk: Buffer) => (bytes += chunk.length));
    stream.on('error', (error: NodeJS.ErrnoException) => (end = error.code));
    stream.on('close', () => resolve({ end, bytes }));
    stream.resume();
  });
}

it.each([
  ['HTTP/1.1', overHttp1, 'ECONNRESET'],
  ['HTTP/2', overHttp2, 'ERR_HTTP2_STREAM_ERROR'],
] as const)(
  'an export of the audit log over %s ends with the revocation, which counts it',
  async (_what, ask, code) => {
    const client = await instance.connect();
    onTestFinished(() => client.close());
    const { accessToken: token, session } = await client.signIn('root', { resource: ADMIN_AUDIENCE });
    if (client.key === undefined) throw new Error('no key');
    const { guard } = instance.server;
    const stream = await ask({ key: client.key, token });
    const receipt = await guard.revoke({ target: { kind: 'session', session } });
    expect(receipt).toMatchObject({ complete: true, streamsClosed: 1 });
    const { end, bytes } = await readToItsEnd(stream);
    expect(end).toBe(code);
    expect(bytes).toBeLessThan(12_000_000);
    // The client may know first.
    await expect.poll(() => guard.inFlight).toBe(0);
  },
);

it.each(['HTTP/1.1', 'HTTP/2'] as const)('of a client that leaves early over %s nothing stays', async (version) => {
  const client = await instance.connect();
  onTestFinished(() => client.close());
  const { accessToken: token, session } = await client.signIn('root', { resource: ADMIN_AUDIENCE });
  if (client.key === undefined) throw new Error('no key');
  const { guard } = instance.server;
  for (const _ of range(40)) await leaves[version]({ key: client.key, token });
  await expect.poll(() => guard.inFlight).toBe(0);
  const receipt = await guard.revoke({ target: { kind: 'session', session } });
  expect(receipt).toMatchObject({ complete: true, streamsClosed: 0 });
});

/** Hostile text in every field that a client can fill: each request is one line of the audit log, and reads back to one event. */
import { isDeepStrictEqual } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encodeLine } from '../../src/audit/encode-line.ts';
import type { AuditEvent } from '../../src/core/audit/event.ts';
import type { Identity } from '../../src/core/identity/identity.ts';
import {
  ALICE,
  call,
  HOST,
  rawConnection,
  signIn,
  startPlane,
  until,
  type TestUser,
  type TestPlane,
} from '../support/data-plane.ts';

const FORGED = '{"kind":"Event","auditID":"forged","verb":"revocation"}';

/** As bytes, one character each. */
const bytes = (text: string): string => Buffer.from(text).toString('latin1');

const HOSTILE: readonly (readonly [name: string, bytes: string])[] = [
  ['CR', `a\r${FORGED}`],
  ['LF', `a\n${FORGED}`],
  ['CRLF', `a\r\n${FORGED}`],
  ['NUL', 'a\0b'],
  ['TAB', 'a\tb'],
  ['ESC', `a\u001b[2J\u001b]0;title\u0007${FORGED}`],
  ['DEL', 'a\u007fb'],
  ['CSI of C1', bytes('a\u009b31mb')],
  ['NEL', bytes(`a\u0085${FORGED}`)],
  ['line separator', bytes(`a\u2028${FORGED}`)],
  ['paragraph separator', bytes(`a\u2029${FORGED}`)],
  ['right-to-left override', bytes('a\u202egnp.exe')],
  ['isolates', bytes('a\u2066b\u2069c')],
  ['byte order mark', bytes('\ufeffa')],
  ['UTF-8 that breaks off', 'a\u00e3\u0083'],
  ['UTF-8 that is too long for its character', 'a\u00c0\u008a\u00c0\u00af'],
  ['a surrogate in UTF-8', 'a\u00ed\u00a0\u0080'],
  ['a byte that is no UTF-8', 'a\u00ff\u00feb'],
  ['the end of a JSON value', `a"},"annotations":{"x":"y"}}\\`],
  ['a long run', 'é'.repeat(3000)],
];

/** Everything that some reader takes for the end of a line, or obeys. */
const UNSAFE = /[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/u;

/** An event as its readers know it: JSON has no member that is undefined. */
const withoutEmpty = (value: unknown): unknown =>
  typeof value !== 'object' || value === null || Array.isArray(value)
    ? value
    : Object.fromEntries(
        Object.entries(value).flatMap(([key, each]) => (each === undefined ? [] : [[key, withoutEmpty(each)]])),
      );

/** What is wrong with the lines of these events: each must be one, and read back to the same. */
const errorsIn = (events: readonly AuditEvent[]): readonly string[] =>
  events.flatMap((event) => {
    const line = encodeLine(event).toString();
    const read = JSON.parse(line) as AuditEvent;
    return [
      ...(line.endsWith('\n') && !UNSAFE.test(line.slice(0, -1))
        ? []
        : [`not one plain line: ${JSON.stringify(line)}`]),
      ...(isDeepStrictEqual(read, withoutEmpty(event)) && read.auditID !== 'forged'
        ? []
        : [`reads back as another: ${line}`]),
      ...(/^[!-~]*$/.test(read.requestURI) ? [] : [`requestURI: ${JSON.stringify(read.requestURI)}`]),
    ];
  });

let plane: TestPlane;
let alice: TestUser;
beforeAll(async () => {
  plane = await startPlane();
  alice = await signIn(plane);
});
afterAll(() => plane.close());

/** Puts bytes on the wire that no client library would. */
async function send(request: {
  readonly target?: string;
  readonly host?: string;
  readonly headers?: string;
}): Promise<readonly AuditEvent[]> {
  plane.audited.length = 0;
  const { target = '/api/v1/namespaces/default/pods', host = HOST, headers = '' } = request;
  const { socket, ended } = await rawConnection(plane, alice.certificate);
  const head = `GET ${target} HTTP/1.1\r\nHost: ${host}\r\nAuthorization: Bearer ${alice.token}\r\n`;
  socket.end(Buffer.from(`${head}${headers}Connection: close\r\n\r\n`, 'latin1'));
  await ended;
  await until(() => plane.audited.length > 0, 'an audit event');
  return [...plane.audited];
}

const percent = (text: string): string =>
  text.replaceAll(/[^]/g, (byte) => `%${byte.charCodeAt(0).toString(16).padStart(2, '0')}`);

describe.each(HOSTILE)('%s', (_name, text) => {
  it('in a user agent', async () => {
    expect(errorsIn(await send({ headers: `User-Agent: ${text}\r\n` }))).toEqual([]);
  });
  it('in a query value, as it is and percent-encoded', async () => {
    expect(errorsIn(await send({ target: `/api/v1/pods?labelSelector=${text}` }))).toEqual([]);
    expect(errorsIn(await send({ target: `/api/v1/pods?labelSelector=${percent(text)}` }))).toEqual([]);
  });
  it('in the name of an object, as it is and percent-encoded', async () => {
    expect(errorsIn(await send({ target: `/api/v1/namespaces/default/pods/${text}` }))).toEqual([]);
    expect(errorsIn(await send({ target: `/api/v1/namespaces/${percent(text)}/pods/${percent(text)}` }))).toEqual([]);
  });
  it('in Host', async () => {
    expect(errorsIn(await send({ host: text }))).toEqual([]);
  });
  it('in the user that the client wants to impersonate', async () => {
    expect(errorsIn(await send({ headers: `Impersonate-User: ${text}\r\nImpersonate-Group: ${text}\r\n` }))).toEqual(
      [],
    );
    expect(
      errorsIn(await send({ headers: `Impersonate-User: a\r\nImpersonate-Extra-${percent(text)}: ${text}\r\n` })),
    ).toEqual([]);
  });
  it('in traceparent, which then names no trace', async () => {
    expect(
      errorsIn(
        await send({ headers: `traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01${text}\r\n` }),
      ),
    ).toEqual([]);
    for (const { annotations } of plane.audited) expect(annotations['portcullis.dev/trace']).toBeUndefined();
  });
  it('in the name and the groups of a user, from any provider', async () => {
    const decoded = Buffer.from(text, 'latin1').toString();
    const identity: Identity = { username: decoded, uid: decoded, groups: [decoded], extra: { x: [decoded] } };
    const user = await signIn(plane, { subject: 'hostile', identity });
    plane.audited.length = 0;
    await call(plane, user, '/api/v1/pods');
    await until(() => plane.audited.length > 0, 'an audit event');
    expect(plane.audited[0]?.user.username).toBe(decoded);
    expect(errorsIn(plane.audited)).toEqual([]);
  });
});

describe('the trace of a request', () => {
  const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
  const PARENT = `00-${TRACE}-00f067aa0ba902b7-01`;

  it('is sent to the cluster, and is in the audit event', async () => {
    plane.audited.length = 0;
    plane.upstream.clear();
    await call(plane, alice, '/api/v1/pods', { headers: { traceparent: PARENT } });
    await until(() => plane.audited.length > 0, 'an audit event');
    expect(plane.audited[0]).toMatchObject({
      user: { username: ALICE.username },
      annotations: { 'portcullis.dev/trace': TRACE },
    });
    const raw = plane.upstream.requests[0]?.rawHeaders ?? [];
    expect(raw[raw.findIndex((name) => name.toLowerCase() === 'traceparent') + 1]).toBe(PARENT);
  });

  it('is in the audit event of a request that was rejected', async () => {
    plane.audited.length = 0;
    await call(plane, alice, '/api/v1/pods', { token: 'none', headers: { traceparent: PARENT } });
    await until(() => plane.audited.length > 0, 'an audit event');
    expect(plane.audited[0]).toMatchObject({
      responseStatus: { code: 401, status: 'Failure', reason: 'Unauthorized' },
      annotations: { 'portcullis.dev/trace': TRACE },
    });
  });
});

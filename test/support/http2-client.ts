/** A client over HTTP/2, on a connection that the test holds in its hands. */
import { once } from 'node:events';
import { connect as connectHttp2 } from 'node:http2';
import type { ClientHttp2Session, ClientHttp2Stream } from 'node:http2';
import { connect as connectTls } from 'node:tls';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { HOST } from './data-plane.ts';
import type { TestUser, TestPlane } from './data-plane.ts';

export interface Http2Options {
  readonly method?: string;
  readonly headers?: Record<string, string | string[]>;
  readonly token?: string | null;
  readonly requestedHost?: string | null;
  /** undefined: no body, and the head says so. null: one is announced and left to the test. */
  readonly body?: string | null;
}

export interface Http2Answer {
  readonly stream: ClientHttp2Stream;
  /** Resolves with the head. */
  readonly head: Promise<{ readonly status: number; readonly headers: Record<string, string | string[] | undefined> }>;
  received(): string;
  /** `end` where the response looks whole, otherwise the name of the code of the reset (or `lost` with the connection). */
  readonly ended: Promise<string>;
}

export interface Http2Connection {
  readonly session: ClientHttp2Session;
  readonly socket: TLSSocket;
  /** Codes of the GOAWAY frames so far. */
  readonly goaways: readonly number[];
  readonly closed: Promise<void>;
  open(user: Pick<TestUser, 'token'>, path: string, options?: Http2Options): Http2Answer;
  call(
    user: Pick<TestUser, 'token'>,
    path: string,
    options?: Http2Options,
  ): Promise<{
    readonly status: number;
    readonly headers: Record<string, string | string[] | undefined>;
    readonly text: string;
    readonly ended: string;
  }>;
  close(): void;
}

/** @param certificate null: none is presented */
export async function http2Connection(
  plane: Pick<TestPlane, 'port' | 'ca'>,
  certificate: TestUser['certificate'] | null,
): Promise<Http2Connection> {
  const socket = await http2Socket(plane, certificate);
  const session = connectHttp2(`https://${HOST}`, { createConnection: () => socket });
  const goaways: number[] = [];
  session.on('error', () => undefined);
  session.on('goaway', (code: number) => void goaways.push(code));
  const closed = new Promise<void>((resolve) => {
    session.once('close', resolve);
  });
  await once(session, 'remoteSettings');
  const open: Http2Connection['open'] = (user, path, options = {}) => openStream(session, user, path, options);
  return {
    session,
    socket,
    goaways,
    closed,
    open,
    call: async (user, path, options) => {
      const answer = open(user, path, options);
      const head = await answer.head;
      return { ...head, ended: await answer.ended, text: answer.received() };
    },
    close: () => session.destroy(),
  };
}

/** A TLS connection on which HTTP/2 was agreed, for frames that no client library would send. */
export async function http2Socket(
  plane: Pick<TestPlane, 'port' | 'ca'>,
  certificate: TestUser['certificate'] | null,
  tcp?: Socket,
): Promise<TLSSocket> {
  const socket = connectTls({
    ...(tcp === undefined ? { host: '127.0.0.1', port: plane.port } : { socket: tcp }),
    servername: HOST,
    ca: plane.ca,
    ALPNProtocols: ['h2'],
    ...certificate,
  });
  socket.on('error', () => undefined);
  await once(socket, 'secureConnect');
  if (socket.alpnProtocol !== 'h2') throw new Error('HTTP/2 was not agreed');
  return socket;
}

function openStream(
  session: ClientHttp2Session,
  user: Pick<TestUser, 'token'>,
  path: string,
  { method = 'GET', headers = {}, token = user.token, requestedHost = HOST, body }: Http2Options,
): Http2Answer {
  const stream = session.request(
    {
      ':method': method,
      ':path': path,
      ...(requestedHost === null ? {} : { ':authority': requestedHost }),
      ...(token === null ? {} : { authorization: `Bearer ${token}` }),
      ...headers,
    },
    { endStream: body === undefined },
  );
  const chunks: Buffer[] = [];
  let error: string | undefined;
  let ended = false;
  stream.on('data', (chunk: Buffer) => void chunks.push(chunk));
  stream.on('end', () => (ended = true));
  stream.on('error', () => (error ??= nameOf(stream.rstCode)));
  stream.on('aborted', () => (error ??= nameOf(stream.rstCode)));
  if (typeof body === 'string') stream.end(body);
  const head = new Promise<Awaited<Http2Answer['head']>>((resolve, reject) => {
    stream.once('response', (answer) => resolve({ status: answer[':status'] ?? 0, headers: answer }));
    stream.once('close', () => reject(new Error(`no answer: ${error ?? 'lost'}`)));
  });
  // Not every test waits for it.
  head.catch(() => undefined);
  return {
    stream,
    head,
    received: () => Buffer.concat(chunks).toString('latin1'),
    ended: new Promise((resolve) => {
      stream.once('close', () => {
        if (error !== undefined || stream.rstCode !== 0) resolve(nameOf(stream.rstCode));
        else resolve(ended ? 'end' : 'lost');
      });
    }),
  };
}

/** RFC 9113 §7, by number. */
const NAMES = [
  'NO_ERROR',
  'PROTOCOL_ERROR',
  'INTERNAL_ERROR',
  'FLOW_CONTROL_ERROR',
  'SETTINGS_TIMEOUT',
  'STREAM_CLOSED',
  'FRAME_SIZE_ERROR',
  'REFUSED_STREAM',
  'CANCEL',
  'COMPRESSION_ERROR',
  'CONNECT_ERROR',
  'ENHANCE_YOUR_CALM',
  'INADEQUATE_SECURITY',
  'HTTP_1_1_REQUIRED',
] as const;

const nameOf = (code: number | undefined): string => NAMES[code ?? -1] ?? String(code);

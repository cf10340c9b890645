/**
 * One TLS server that sends the bytes that it is given, and two clients of it: the proxy's own, and undici. What each makes of the same
 * response is compared by upstream-responses.test.ts.
 */
import { once } from 'node:events';
import { createServer } from 'node:tls';
import type { Server, TLSSocket } from 'node:tls';
import type { AddressInfo } from 'node:net';
import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises';
import { Client } from 'undici';
import { Http1Pool } from '../../../src/proxy/upstream/http1-pool.ts';
import { makeCertificate } from '../../support/upstream.ts';

/** A response as its pieces, and what the server does then. */
export interface Script {
  /** `GET` or `HEAD`. */
  readonly method: string;
  /** One character a byte. */
  readonly pieces: readonly string[];
  /** The server ends the connection; otherwise it waits for the client to. */
  readonly ends: boolean;
}

export interface Outcome {
  /** Undefined: no response, or none that is whole. */
  readonly response: { readonly status: number; readonly raw: readonly string[]; readonly body: string } | undefined;
  /** The next request came on the same connection. */
  readonly kept: boolean;
}

export interface ClientPair {
  ours(script: Script): Promise<Outcome>;
  theirs(script: Script): Promise<Outcome>;
  close(): Promise<void>;
}

/** Turns of the event loop, which both sides share, in which all that was sent has arrived, however busy the machine is. */
const TURNS = 30;
const ATTEMPTS = 30;
const RETRY_MS = 1_000;
const PLAIN = 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n';

type Sent = { readonly status: number; readonly raw: readonly string[]; readonly body: string };
/** @returns undefined for an error */
type Send = (method: string, target: string) => Promise<Sent | undefined>;

type Open = () => { readonly send: Send; readonly close: () => void };

export async function startClientPair(): Promise<ClientPair> {
  const certificate = await makeCertificate('api.cluster.test');
  const scripts = new Map<string, Script>();
  const settled = new Set<string>();
  const played = new Set<string>();
  /** By target: the connections it has come on. */
  const seen = new Map<string, number>();
  const server = createServer({ ...certificate, ALPNProtocols: ['http/1.1'] });
  let connections = 0;
  server.on('secureConnection', (socket) => serve(socket, (connections += 1), { scripts, seen, settled, played }));
  server.on('tlsClientError', () => undefined);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  let next = 0;
  const attempt = async (script: Script, open: Open): Promise<Outcome | undefined> => {
    const target = `/${(next += 1)}`;
    scripts.set(target, script);
    const client = open();
    try {
      const response = await client.send(script.method, target);
      settled.add(target);
      // What follows a response, bytes or the end, has been sent, and arrives by now.
      while (seen.has(target) && !played.has(target)) await turn();
      await turns();
      await client.send('GET', `${target}/after`);
      const first = seen.get(target);
      return first === undefined ? undefined : { response, kept: first === seen.get(`${target}/after`) };
    } finally {
      for (const each of [target, `${target}/after`]) seen.delete(each);
      played.delete(target);
      settled.delete(target);
      scripts.delete(target);
      client.close();
    }
  };
  /** A machine that is busy for an hour may have no port left for a connection, or none in time. */
  const run = async (script: Script, open: Open): Promise<Outcome> => {
    for (let left = ATTEMPTS; left > 0; left -= 1) {
      const outcome = await attempt(script, open);
      if (outcome !== undefined) return outcome;
      await delay(RETRY_MS);
    }
    throw new Error('the request does not arrive');
  };
  return {
    ours: (script) => run(script, () => ourClient(port, certificate.cert)),
    theirs: (script) => run(script, () => undiciClient(port, certificate.cert)),
    close: () => closed(server),
  };
}

async function closed(server: Server): Promise<void> {
  server.close();
  await once(server, 'close');
}

interface Stage {
  readonly scripts: ReadonlyMap<string, Script>;
  readonly seen: Map<string, number>;
  /** Targets whose response is whole, or has failed. */
  readonly settled: ReadonlySet<string>;
  /** Targets whose script is over. */
  readonly played: Set<string>;
}

async function turns(): Promise<void> {
  for (let left = TURNS; left > 0; left -= 1) await turn();
}

function serve(socket: TLSSocket, connection: number, { scripts, seen, settled, played }: Stage): void {
  let request = '';
  socket.setNoDelay(true);
  socket.on('error', () => undefined);
  socket.on('data', (chunk: Buffer) => {
    request += chunk.toString('latin1');
    if (!request.endsWith('\r\n\r\n')) return;
    const target = request.split(' ', 2)[1] ?? '';
    request = '';
    seen.set(target, connection);
    const script = scripts.get(target);
    if (script === undefined) socket.end(PLAIN);
    else void play(socket, script, () => settled.has(target)).finally(() => played.add(target));
  });
}

async function play(socket: TLSSocket, { pieces, ends }: Script, isSettled: () => boolean): Promise<void> {
  for (const piece of pieces) {
    if (socket.destroyed) return;
    socket.write(piece, 'latin1');
    await turn();
  }
  await turns();
  // A client that waits for more is not left waiting.
  if (ends || !isSettled()) socket.end();
}

function ourClient(port: number, ca: string): { readonly send: Send; readonly close: () => void } {
  const address = { host: '127.0.0.1', port, ca, connectMs: 5_000 };
  const pool = new Http1Pool({ address, hostHeader: `127.0.0.1:${port}`, most: 1 });
  const send: Send = (method, target) =>
    new Promise((resolve) => {
      let head: { status: number; raw: readonly string[] } | undefined;
      const chunks: Buffer[] = [];
      pool.send(
        {
          method,
          target,
          headers: { repeated: [], own: [] },
          body: undefined,
          bodyLength: undefined,
          headMs: 0,
          pieceMs: 0,
        },
        {
          maySend: () => true,
          onHead: (status, raw) => void (head = { status, raw }),
          // A copy: the memory is used again.
          onPiece: (piece) => void chunks.push(Buffer.from(piece)),
          onEnd: () => resolve(head && { ...head, body: Buffer.concat(chunks).toString('latin1') }),
          onError: () => resolve(undefined),
        },
      );
    });
  return { send, close: () => pool.close() };
}

function undiciClient(port: number, ca: string): { readonly send: Send; readonly close: () => void } {
  const client = new Client(`https://127.0.0.1:${port}`, { connect: { ca }, pipelining: 1, allowH2: false });
  const send: Send = (method, target) =>
    new Promise((resolve) => {
      let head: { status: number; raw: readonly string[] } | undefined;
      const chunks: Buffer[] = [];
      client.dispatch(
        { method, path: target },
        {
          onRequestStart: () => undefined,
          onResponseStart: (controller, status) => {
            if (status >= 200) head = { status, raw: flat(controller.rawHeaders) };
          },
          onResponseData: (_controller, chunk) => void chunks.push(chunk),
          onResponseEnd: () => resolve(head && { ...head, body: Buffer.concat(chunks).toString('latin1') }),
          onResponseError: () => resolve(undefined),
        },
      );
    });
  return { send, close: () => void client.destroy() };
}

const flat = (raw: unknown): readonly string[] =>
  (raw as readonly (Buffer | string)[]).map((part) => (typeof part === 'string' ? part : part.toString('latin1')));

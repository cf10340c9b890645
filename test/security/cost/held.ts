/** Opens what stays open or waits, over the protocol itself: no client library adds a limit of its own. */
import { once } from 'node:events';
import { connect as connectHttp2, type ClientHttp2Session, type ClientHttp2Stream } from 'node:http2';
import { connect, createSecureContext, type SecureContext, type TLSSocket } from 'node:tls';
import { LONG } from './row.ts';
import type { CostStage } from './stage.ts';

export const PODS = '/api/v1/namespaces/default/pods';
/** A target as long as it may be, in which secrets are looked for again and again. */
export const HOSTILE = `${PODS}?watch=1&x=${'%3a%2f%2fa%40'.repeat(600)}`;
/** Of a shell that waits for its input. */
export const EXEC = `${PODS}/web-1/exec?command=sh&stdin=1&stdout=1&w=${LONG}`;
export const WEBSOCKET = {
  'sec-websocket-version': '13',
  'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
  'sec-websocket-protocol': 'v5.channel.k8s.io',
};

export interface HeldRequest {
  readonly method?: 'GET' | 'POST';
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent after the head, as a part of a body that never ends. */
  readonly body?: string;
  /** The first line of the response, once it is open; absent: there is none yet. */
  readonly status?: number;
}

/** A 503: the replica has no lease for a moment. */
export class Unavailable extends Error {}

function assertStatus(expected: number, actual: unknown, what: string): void {
  if (Number(actual) === expected) return;
  const message = `${what}: ${String(actual)}`;
  throw Number(actual) === 503 ? new Unavailable(message) : new Error(message);
}

/** Connections that stay open, all with alice's key, until they are closed together. */
export class Holding {
  readonly #stage: CostStage;
  readonly #context: SecureContext;
  readonly #sockets: TLSSocket[] = [];
  readonly #streams: ClientHttp2Stream[] = [];
  readonly #sessions = new Map<string, Promise<ClientHttp2Session>>();

  constructor(stage: CostStage) {
    this.#stage = stage;
    this.#context = createSecureContext({ ca: stage.ca, ...stage.alice.key });
  }

  /** Connections and streams that have ended, which none may. */
  get lost(): number {
    return [...this.#sockets, ...this.#streams].filter(({ destroyed }) => destroyed).length;
  }

  async connect(protocol: 'http/1.1' | 'h2'): Promise<TLSSocket> {
    const port = Number(new URL(this.#stage.urls.api).port);
    const socket = connect({
      host: '127.0.0.1',
      port,
      servername: 'localhost',
      secureContext: this.#context,
      ALPNProtocols: [protocol],
    });
    socket.on('error', () => undefined);
    await once(socket, 'secureConnect');
    this.#sockets.push(socket);
    return socket;
  }

  /** On a connection of its own. */
  async http1({ method = 'GET', path, headers = {}, body, status }: HeldRequest): Promise<void> {
    const socket = await this.connect('http/1.1');
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
    const { host } = new URL(this.#stage.urls.api);
    socket.write([`${method} ${path} HTTP/1.1`, `host: ${host}`, ...lines, '', body ?? ''].join('\r\n'));
    if (status !== undefined) {
      const [first] = (await once(socket, 'data')) as [Buffer];
      assertStatus(status, first.toString('latin1').split(' ', 2)[1], path);
    }
    socket.resume();
  }

  /** @param name of the connection that it shares with others */
  async http2(name: string, { method = 'GET', path, headers = {}, body, status }: HeldRequest): Promise<void> {
    const opening = this.#sessions.get(name) ?? this.#session();
    this.#sessions.set(name, opening);
    const session = await opening;
    const stream = session.request({ ':method': method, ':path': path, ...headers }, { endStream: body === undefined });
    stream.on('error', () => undefined);
    this.#streams.push(stream);
    if (body !== undefined) stream.write(body);
    if (status === undefined) return;
    const [head] = (await once(stream, 'response')) as [Readonly<Record<string, unknown>>];
    assertStatus(status, head[':status'], path);
    stream.resume();
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async #session(): Promise<ClientHttp2Session> {
    const socket = await this.connect('h2');
    const session = connectHttp2(this.#stage.urls.api, { createConnection: () => socket });
    session.on('error', () => undefined);
    await once(session, 'remoteSettings');
    return session;
  }
}

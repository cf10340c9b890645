/**
 * A web console that speaks as Headlamp does: a page, its API below `/clusters/NAME/` that is handed on to an API server under the bearer
 * token that came with the request, and WebSockets handed on the same way.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer, request } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { WebSocket, WebSocketServer } from 'ws';
import type { TestCertificate } from './upstream.ts';

export interface ConsoleOptions {
  /** Where `/clusters/NAME/…` goes. */
  readonly apiServer?: { readonly url: string; readonly ca: string };
  readonly tls?: TestCertificate;
}

export interface SeenRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

export interface TestConsole {
  readonly server: string;
  readonly seen: SeenRequest[];
  /** What came by WebSockets that are not handed on. */
  readonly messages: string[];
  /** What is answered outside `/clusters/`. */
  answer: RequestListener;
  /** Extra lines of the response to an upgrade that is not handed on. */
  upgradeHeaders: string[];
  /** What is answered to an upgrade instead. */
  upgradeRejection: string | undefined;
  /** What is done with an upgrade instead. */
  upgraded: ((socket: Socket) => void) | undefined;
  /** Connections from Portcullis that are open now. */
  readonly connections: ReadonlySet<Socket>;
  /** How many there have been. */
  dialled: number;
  /** The console's ends of the WebSockets that are open now. */
  sockets(): readonly WebSocket[];
  close(): Promise<void>;
}

export const page =
  (body: string): RequestListener =>
  (_req, res) => {
    res.setHeader('content-type', 'text/html; charset=utf-8');
    res.end(body);
  };

/** As Headlamp with `-proxy-auth`: its own header for the token, else the request's `Authorization` as received. */
function credentialOf({ headers }: IncomingMessage): string {
  const token = headers['x-forwarded-id-token'];
  return typeof token === 'string' ? `Bearer ${token}` : (headers.authorization ?? '');
}

const apiPath = (target: string): string | undefined => /^\/clusters\/[^/]+(\/.*)$/.exec(target)?.[1];

export async function startConsole(options: ConsoleOptions = {}): Promise<TestConsole> {
  const server: Server = options.tls === undefined ? createServer() : createTlsServer(options.tls);
  const connections = new Set<Socket>();
  const sockets = new WebSocketServer({ noServer: true, handleProtocols: ([first]) => first ?? false });
  const standIn: TestConsole = {
    server: '',
    seen: [],
    messages: [],
    answer: page('<!doctype html><title>Console</title><h1>Console</h1>'),
    upgradeHeaders: [],
    upgradeRejection: undefined,
    upgraded: undefined,
    connections,
    dialled: 0,
    sockets: () => [...sockets.clients],
    close: async () => {
      if (!server.listening) return;
      for (const socket of connections) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
  server.on('connection', (socket: Socket) => {
    connections.add(socket);
    standIn.dialled += 1;
    socket.on('error', () => undefined);
    socket.once('close', () => connections.delete(socket));
  });
  // A body that is broken off is never seen.
  server.on('request', (req, res) => void serve(standIn, options, req, res).catch(() => res.destroy()));
  server.on('upgrade', (req: IncomingMessage, socket: Socket, head: Buffer) => {
    note(standIn, req, '');
    if (standIn.upgradeRejection !== undefined) return void socket.end(standIn.upgradeRejection);
    if (standIn.upgraded !== undefined) return standIn.upgraded(socket);
    sockets.handleUpgrade(req, socket, head, (browser) => join(standIn, browser, req, options));
  });
  sockets.on('headers', (headers) => void headers.push(...standIn.upgradeHeaders));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const scheme = options.tls === undefined ? 'http' : 'https';
  return Object.assign(standIn, { server: `${scheme}://127.0.0.1:${(server.address() as AddressInfo).port}` });
}

function note(standIn: TestConsole, req: IncomingMessage, body: string): void {
  standIn.seen.push({ method: req.method ?? '', url: req.url ?? '', headers: req.headers, body });
}

async function serve(
  standIn: TestConsole,
  { apiServer }: ConsoleOptions,
  req: IncomingMessage,
  res: ServerResponse,
): Promise<void> {
  req.setEncoding('utf8');
  let body = '';
  for await (const chunk of req as AsyncIterable<string>) body += chunk;
  note(standIn, req, body);
  const path = apiPath(req.url ?? '');
  if (path === undefined || apiServer === undefined) {
    standIn.answer(req, res);
    return;
  }
  const outgoing = request(
    `${apiServer.url}${path}`,
    { ca: apiServer.ca, method: req.method ?? 'GET', headers: { authorization: credentialOf(req) } },
    (answer) => {
      res.writeHead(answer.statusCode ?? 502, { 'content-type': answer.headers['content-type'] ?? 'text/plain' });
      answer.pipe(res);
    },
  );
  outgoing.on('error', () => res.destroy());
  outgoing.end(body);
}

/** Joins the browser's WebSocket with one to the API server; without one it sends back what it gets. */
function join(standIn: TestConsole, browser: WebSocket, req: IncomingMessage, { apiServer }: ConsoleOptions): void {
  browser.on('error', () => undefined);
  const path = apiPath(req.url ?? '');
  if (path === undefined || apiServer === undefined) {
    browser.on('message', (data: Buffer, binary) => {
      standIn.messages.push(data.toString());
      browser.send(data, { binary });
    });
    return;
  }
  const upstream = new WebSocket(`${apiServer.url.replace(/^http/, 'ws')}${path}`, browser.protocol, {
    ca: apiServer.ca,
    headers: { authorization: credentialOf(req) },
  });
  const early: [Buffer, boolean][] = [];
  upstream.on('open', () => {
    for (const [data, binary] of early) upstream.send(data, { binary });
  });
  browser.on('message', (data: Buffer, binary) => {
    if (upstream.readyState === WebSocket.OPEN) upstream.send(data, { binary });
    else early.push([data, binary]);
  });
  upstream.on('message', (data: Buffer, binary) => browser.send(data, { binary }));
  upstream.on('close', () => browser.terminate());
  upstream.on('error', () => browser.terminate());
  browser.on('close', () => upstream.terminate());
}

export interface BrowserAnswer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly text: string;
}

/** What a browser adds when a user follows a link. */
export const NAVIGATION = {
  accept: 'text/html',
  'sec-fetch-mode': 'navigate',
  'sec-fetch-dest': 'document',
  'sec-fetch-site': 'none',
} as const;

/** As much of a browser as cookies by host name need; every name leads to one web listener. */
export class TestBrowser {
  readonly cookies = new Map<string, Map<string, string>>();
  readonly #listener: { readonly port: number; readonly ca: string };

  constructor(listener: { readonly port: number; readonly ca: string }) {
    this.#listener = listener;
  }

  cookieHeader(hostname: string): string {
    return [...(this.cookies.get(hostname) ?? [])].map(([name, value]) => `${name}=${value}`).join('; ');
  }

  /** One request, no redirect followed. @param extra headers in addition to those of a navigation; `undefined` takes one away */
  async send(
    url: string,
    extra: Record<string, string | undefined> = {},
    { method = 'GET', body = '' } = {},
  ): Promise<BrowserAnswer> {
    const outgoing = this.open(url, extra, method);
    outgoing.end(body);
    const [answer] = (await once(outgoing, 'response')) as [IncomingMessage];
    answer.setEncoding('utf8');
    let text = '';
    for await (const chunk of answer as AsyncIterable<string>) text += chunk;
    return { status: answer.statusCode ?? 0, headers: answer.headers, text };
  }

  /** The same, not ended, and its response not read. */
  open(url: string, extra: Record<string, string | undefined> = {}, method = 'GET'): ReturnType<typeof request> {
    const { hostname, host, pathname, search } = new URL(url);
    const cookie = this.cookieHeader(hostname);
    const headers = { ...NAVIGATION, host, ...(cookie === '' ? {} : { cookie }), ...extra };
    const defined = Object.entries(headers).filter((entry): entry is [string, string] => entry[1] !== undefined);
    const outgoing = request({
      host: '127.0.0.1',
      port: this.#listener.port,
      servername: 'portcullis.test',
      ca: this.#listener.ca,
      agent: false,
      method,
      path: `${pathname}${search}`,
      headers: Object.fromEntries(defined),
    });
    outgoing.on('error', () => undefined);
    outgoing.on('response', (answer) => this.#keep(hostname, answer.headers['set-cookie'] ?? []));
    return outgoing;
  }

  /** Follows redirects on our own hosts. @returns the last response and where it was found */
  async visit(url: string): Promise<BrowserAnswer & { readonly url: string; readonly hops: readonly string[] }> {
    const hops = [url];
    for (;;) {
      const at = hops.at(-1) ?? url;
      const answer = await this.send(at);
      const { location } = answer.headers;
      if (answer.status !== 303 || location === undefined || hops.length > 12) return { ...answer, url: at, hops };
      const next = new URL(location, at);
      hops.push(next.href);
      if (!next.hostname.endsWith('.test')) return { ...answer, url: next.href, hops };
    }
  }

  #keep(hostname: string, lines: readonly string[]): void {
    const jar = this.cookies.get(hostname) ?? new Map<string, string>();
    this.cookies.set(hostname, jar);
    for (const line of lines) {
      const [, name = '', value = ''] = /^([^=]*)=([^;]*)/.exec(line) ?? [];
      if (/max-age=0/i.test(line)) jar.delete(name);
      else jar.set(name, value);
    }
  }
}

/** A proxy as companies have them: it opens tunnels (CONNECT) and notes what it was asked. Names are known to it alone. */
import { createServer as createHttpServer, type IncomingMessage, type Server } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { connect, type AddressInfo, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';

export interface AskedTunnel {
  readonly target: string;
  readonly authorization: string | undefined;
}

export class ConnectProxy {
  readonly asked: AskedTunnel[] = [];
  /** Where each `HOST:PORT` leads to: a port on loopback. */
  readonly ways = new Map<string, number>();
  /** Refuses every tunnel with this status line. */
  rejection: string | undefined;
  /** `NAME:PASSWORD` without which it says 407. */
  credentials: string | undefined;
  /** Sent right behind the 200, before anything of the server. */
  interjection = '';
  readonly #sockets = new Set<Duplex>();
  readonly #server: Server;

  /** @param tls certificate and key of a proxy that is itself reached by https */
  constructor(tls?: { readonly cert: string; readonly key: string }) {
    this.#server = tls === undefined ? createHttpServer() : createHttpsServer(tls);
    this.#server.on('connection', (socket: Socket) => this.#keep(socket));
    this.#server.on('connect', (request: IncomingMessage, socket: Duplex) => this.#connect(request, socket));
    this.#server.on('request', (_, response) => response.writeHead(400).end());
  }

  async start(): Promise<number> {
    await new Promise<void>((resolve) => {
      this.#server.listen(0, '127.0.0.1', resolve);
    });
    return (this.#server.address() as AddressInfo).port;
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => {
      this.#server.close(resolve);
    });
  }

  #keep(socket: Duplex): void {
    this.#sockets.add(socket);
    socket.on('error', () => socket.destroy()).on('close', () => this.#sockets.delete(socket));
  }

  #connect(request: IncomingMessage, socket: Duplex): void {
    const target = request.url ?? '';
    const authorization = request.headers['proxy-authorization'];
    this.asked.push({ target, authorization });
    const wanted = this.credentials && `Basic ${Buffer.from(this.credentials).toString('base64')}`;
    if (wanted !== undefined && authorization !== wanted) {
      socket.end('HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="x"\r\n\r\n');
      return;
    }
    const port = this.ways.get(target);
    if (this.rejection !== undefined || port === undefined) {
      socket.end(`HTTP/1.1 ${this.rejection ?? '502 Bad Gateway'}\r\n\r\n<html>no</html>`);
      return;
    }
    const onward = connect(port, '127.0.0.1', () => {
      socket.write(`HTTP/1.1 200 Connection established\r\n\r\n${this.interjection}`);
      onward.pipe(socket).pipe(onward);
    });
    this.#keep(onward);
    onward.on('close', () => socket.destroy());
    socket.on('close', () => onward.destroy());
  }
}

/**
 * Forwards an admitted request to the console and back, with http-proxy-middleware. The library connects, and
 * carries bodies and WebSockets; this file decides what may pass, which headers are sent either way, and how a
 * failure is reported.
 *
 * Its dangers (decision 0001), and why they do not apply here: with `ws: true` it would serve upgrades without our
 * checks, so that is off and `upgrade` is called after admission; its header hook does not run for `Expect:
 * 100-continue`, so headers are replaced on the request itself; its own plugins log addresses and send them in
 * responses, so they are left out.
 */
import type { ClientRequest, IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { createProxyMiddleware, type Plugin, type RequestHandler } from 'http-proxy-middleware';
import { AppError } from '../../core/errors.ts';
import { openRequest } from '../../contracts/open-request.ts';
import { consoleConnections, type ConsoleConnections } from './console-agent.ts';
import { originOf, type Console, type ConsoleDeps } from './dependencies.ts';
import type { ConsoleExchange } from './exchange.ts';
import { refuseUpgrade, sendPlainError } from './page.ts';
import { headersFromConsole, upgradeHeadersFromConsole } from './response-headers.ts';

/** The longest pause between two bytes until the console's response begins. */
const RESPONSE_MS = 75_000;

/**
 * How long a side of a WebSocket that does not close after the other has is waited for, as in a tunnel to a cluster. A
 * console that stays leaves the connection of a browser that has left half-closed, and one of each WebSocket.
 */
const CLOSE_GRACE_MS = 30_000;
/** A browser whose machine is gone sends nothing, and a quiet WebSocket has no time limit. */
const KEEP_ALIVE_MS = 30_000;

/** Node's parser accepts any three digits, but its `writeHead` throws for some of them. */
function finalStatus({ statusCode = 0 }: IncomingMessage): number | undefined {
  return statusCode < 200 || statusCode > 999 ? undefined : statusCode;
}

/**
 * Hooks run in the listener of a socket, where an error ends the process, with every stream of every cluster: a
 * malicious console would need only one bad response. So errors are caught, and a response that a hook has not
 * checked completely does not pass.
 *
 * @returns the error, which the request to the console also emits as `error`
 */
function destroyOnError(side: ClientRequest | IncomingMessage, hook: () => void): Error | undefined {
  try {
    hook();
    return undefined;
  } catch (thrown) {
    const error = thrown instanceof Error ? thrown : new Error('a hook failed', { cause: thrown });
    side.destroy(error);
    return error;
  }
}

/** Resets both sides if only one of them has ended, however it did, and the other does not follow. */
function closeTogether(sides: readonly [Duplex, Duplex], reset: () => void): void {
  let timer: NodeJS.Timeout | undefined;
  const onEnd = (): void => {
    if (sides.every(({ destroyed }) => destroyed)) clearTimeout(timer);
    else timer ??= setTimeout(reset, CLOSE_GRACE_MS).unref();
  };
  for (const side of sides) side.once('end', onEnd).once('close', onEnd);
}

type Handler = RequestHandler;
type ConsolePlugin = Plugin;

/** The context of one admitted request. */
export interface ForwardContext {
  readonly exchange: ConsoleExchange;
  readonly requestId: string;
}

export class ConsoleForwarding {
  readonly #console: Console;
  readonly #deps: ConsoleDeps;
  readonly #connections: ConsoleConnections;
  readonly #proxy: Handler;
  readonly #contexts = new WeakMap<IncomingMessage, ForwardContext>();

  constructor(console: Console, deps: ConsoleDeps) {
    this.#console = console;
    this.#deps = deps;
    this.#connections = consoleConnections(console);
    this.#proxy = createProxyMiddleware({
      target: console.server,
      agent: this.#connections.agent,
      secure: true,
      ws: false,
      xfwd: false,
      changeOrigin: false,
      selfHandleResponse: true,
      upgradeTimeout: RESPONSE_MS,
      ejectPlugins: true,
      plugins: [this.#hooks()],
    });
  }

  /** Forwards a request whose `req.headers` have been replaced by those for the console. */
  async request(req: IncomingMessage, res: ServerResponse, context: ForwardContext): Promise<void> {
    this.#contexts.set(req, context);
    await this.#proxy(req, res, (error) => {
      if (error !== undefined) this.#onError(error, req, res);
    });
  }

  upgrade(req: IncomingMessage, socket: Duplex, head: Buffer, context: ForwardContext): void {
    this.#contexts.set(req, context);
    this.#proxy.upgrade(req, socket as Socket, head);
  }

  #hooks(): ConsolePlugin {
    return (server) => {
      server.on('error', (error: Error, req?: IncomingMessage, res?: ServerResponse | Duplex) => {
        if (req !== undefined && res !== undefined) this.#onError(error, req, res);
      });
      server.on('proxyReq', (outgoing, req) => {
        destroyOnError(outgoing, () => this.#onRequest(outgoing, req));
      });
      server.on('proxyReqWs', (outgoing, req, socket) => {
        destroyOnError(outgoing, () => this.#onUpgrade(outgoing, req, socket));
      });
      server.on('proxyRes', (response, req, res) => {
        const failure = destroyOnError(response, () => this.#onResponse(response, req, res));
        if (failure !== undefined) this.#onError(failure, req, res);
      });
    };
  }

  /** Runs in the tick in which the body begins to be forwarded; a check precedes each chunk of it. */
  #onRequest(outgoing: ClientRequest, req: IncomingMessage): void {
    const exchange = this.#attach(outgoing, req);
    req.on('data', () => exchange.mayPass());
    outgoing.setTimeout(RESPONSE_MS, () => outgoing.destroy(new Error('the console did not respond in time')));
    outgoing.once('response', () => outgoing.setTimeout(0));
  }

  #onResponse(response: IncomingMessage, req: IncomingMessage, res: ServerResponse): void {
    const { exchange, requestId } = this.#contextOf(req);
    if (!exchange.mayPass()) return;
    const { publicUrl } = this.#deps;
    const status = finalStatus(response);
    if (status === undefined) throw new Error('the response of the console has no HTTP status');
    const head = headersFromConsole({
      status,
      raw: response.rawHeaders,
      server: this.#console.server,
      origin: originOf(publicUrl, this.#console),
    });
    if (!head.ok) {
      const message = 'The console redirected your browser to another host, which is not allowed.';
      const error = new AppError('upstream_unavailable', message, { reason: head.reason });
      sendPlainError(res, error, { publicUrl, requestId });
      response.destroy();
      return;
    }
    res.writeHead(status, head.value);
    res.flushHeaders();
    response.on('data', (chunk: Buffer) => {
      if (!exchange.mayPass()) return;
      exchange.took(chunk.length);
      if (res.write(chunk)) return;
      response.pause();
      res.once('drain', () => response.resume());
    });
    response.on('end', () => {
      exchange.attach(undefined);
      res.end();
    });
    response.on('close', () => {
      if (!response.complete) exchange.reset();
    });
  }

  #onUpgrade(outgoing: ClientRequest, req: IncomingMessage, socket: Duplex): void {
    const exchange = this.#attach(outgoing, req);
    // These listeners run before those of http-proxy-middleware, which write the contents of `headers` to the
    // browser.
    outgoing.on('upgrade', (response: IncomingMessage, upstream: Duplex) => {
      response.headers = upgradeHeadersFromConsole(response.headers);
      if (!exchange.mayPass()) return;
      upstream.on('data', ({ length }: Buffer) => exchange.mayPass() && exchange.took(length));
      socket.on('data', () => exchange.mayPass());
      req.socket.setKeepAlive(true, KEEP_ALIVE_MS);
      closeTogether([socket, upstream], () => exchange.reset());
      socket.once('close', () => upstream.destroy());
      upstream.once('close', () => {
        if (!upstream.readableEnded) exchange.reset();
      });
    });
    outgoing.on('response', (response: IncomingMessage) => {
      refuseUpgrade(socket, finalStatus(response) ?? 502, 'the console rejected the WebSocket');
      response.destroy();
    });
  }

  /** From here on a cut, or the end of the browser's side, resets the console's side, too. */
  #attach(outgoing: ClientRequest, req: IncomingMessage): ConsoleExchange {
    const { exchange } = this.#contextOf(req);
    exchange.attach(() => this.#connections.reset(outgoing));
    const join = (socket: Socket): void => {
      const took = openRequest(req)?.join(socket, () => exchange.reset());
      if (took !== undefined) exchange.took = took;
    };
    if (outgoing.socket === null) outgoing.once('socket', join);
    else join(outgoing.socket);
    // The session may have ended while the connection was made.
    exchange.mayPass();
    return exchange;
  }

  #onError(error: unknown, req: IncomingMessage, res: ServerResponse | Duplex): void {
    const context = this.#contexts.get(req);
    if (context === undefined || context.exchange.isCut || req.socket.destroyed) return;
    const { publicUrl, logger } = this.#deps;
    const { requestId, exchange } = context;
    logger.warn({ err: error, console: this.#console.name, requestId }, 'console failed; the browser got an error');
    if (!('writeHead' in res)) {
      refuseUpgrade(res, 502, 'the console cannot be reached');
      return;
    }
    if (res.headersSent) {
      exchange.reset();
      return;
    }
    const message = `The console ${this.#console.name} cannot be reached.`;
    const unreachable = new AppError('upstream_unavailable', message, { reason: 'console_unreachable', cause: error });
    sendPlainError(res, unreachable, { publicUrl, requestId });
  }

  #contextOf(req: IncomingMessage): ForwardContext {
    const context = this.#contexts.get(req);
    if (context === undefined) throw new Error('only an admitted request is forwarded');
    return context;
  }
}

/**
 * Connections to a console, one for each request: a console is a page and its streams, not a data plane, and a
 * connection that is never reused can be reset without affecting another request.
 */
import { Agent as HttpAgent, type AgentOptions, type ClientRequest } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import type { Console } from './dependencies.ts';

export interface ConsoleConnections {
  readonly agent: HttpAgent;
  /** Sends RST on the connection of the request, if it has one. */
  reset(request: ClientRequest): void;
}

export function consoleConnections({ server, ca }: Pick<Console, 'server' | 'ca'>): ConsoleConnections {
  const url = new URL(server);
  const hostname = url.hostname.startsWith('[') ? url.hostname.slice(1, -1) : url.hostname;
  const raw = new WeakMap<Duplex, Socket>();
  const agent =
    url.protocol === 'https:'
      ? new TlsAgent({ host: hostname, port: Number(url.port || 443), ca }, raw)
      : new HttpAgent({ keepAlive: false });
  return {
    agent,
    reset(request) {
      const { socket } = request;
      if (socket !== null) (raw.get(socket) ?? socket).resetAndDestroy();
      request.destroy();
    },
  };
}

interface Target {
  readonly host: string;
  readonly port: number;
  readonly ca: (() => string) | undefined;
}

/**
 * TLS over a TCP socket of our own, because only that one can send an RST. The certificate is verified against the
 * console's name, not the Host header.
 */
class TlsAgent extends HttpsAgent {
  readonly #target: Target;
  readonly #raw: WeakMap<Duplex, Socket>;

  constructor(target: Target, raw: WeakMap<Duplex, Socket>) {
    super({ keepAlive: false });
    this.#target = target;
    this.#raw = raw;
  }

  override createConnection(
    _options: AgentOptions,
    done?: (error: Error | null, socket: Duplex) => void,
  ): Duplex | null | undefined {
    const { host, port, ca } = this.#target;
    const socket = connectTcp({ host, port, noDelay: true });
    const failed = (error: Error): void => done?.(error, socket);
    socket.once('error', failed);
    socket.once('connect', () => {
      socket.off('error', failed);
      // Errors from here on reach the TLS socket.
      socket.on('error', () => undefined);
      const tls = connectTls({
        socket,
        host,
        // An IP address is no server name (RFC 6066 §3); the certificate is then verified against `host`.
        servername: isIP(host) === 0 ? host : '',
        minVersion: 'TLSv1.2',
        // Set explicitly, because an environment variable of Node could turn the default off for the whole
        // process.
        rejectUnauthorized: true,
        ...(ca === undefined ? {} : { ca: ca() }),
      });
      this.#raw.set(tls, socket);
      done?.(null, tls);
    });
    return undefined;
  }
}

/**
 * Connections to a console. One a request: a console is a page and its streams, not a data plane, and a connection that is never used
 * again can be reset without asking who has it now.
 */
import { Agent as HttpAgent, type AgentOptions, type ClientRequest } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import type { Console } from './dependencies.ts';

export interface ConsoleConnections {
  readonly agent: HttpAgent;
  /** RST on the connection that the request has, if it has one. */
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

/** TLS over a TCP socket of our own, which alone can send an RST; the certificate is judged by the console's name, not by the Host header. */
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
      // What happens to it from here on reaches the TLS socket.
      socket.on('error', () => undefined);
      const tls = connectTls({
        socket,
        host,
        // An address is no server name (RFC 6066 §3); the certificate is then judged against `host`.
        servername: isIP(host) === 0 ? host : '',
        minVersion: 'TLSv1.2',
        // Written out: an environment variable of Node's would turn the default off for the whole process.
        rejectUnauthorized: true,
        ...(ca === undefined ? {} : { ca: ca() }),
      });
      this.#raw.set(tls, socket);
      done?.(null, tls);
    });
    return undefined;
  }
}

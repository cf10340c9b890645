/**
 * Connections to a console, one for each request: a console is a page and its streams, not a data plane, and a
 * connection that is never reused can be reset without affecting another request.
 */
import { Agent as HttpAgent, type ClientRequest } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { isIP } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import { resetConnection } from '../../core/http/connection-reset.ts';
import { TLS_12 } from '../../core/http/tls-options.ts';
import type { Console } from './dependencies.ts';

export interface ConsoleConnections {
  readonly agent: HttpAgent;
  /** Sends RST on the connection of the request, if it has one. */
  reset(request: ClientRequest): void;
}

export function consoleConnections({ server, ca }: Pick<Console, 'server' | 'ca'>): ConsoleConnections {
  const url = new URL(server);
  const hostname = url.hostname.startsWith('[') ? url.hostname.slice(1, -1) : url.hostname;
  const agent =
    url.protocol === 'https:'
      ? new TlsAgent({ host: hostname, port: Number(url.port || 443), ca })
      : new HttpAgent({ keepAlive: false });
  return {
    agent,
    reset(request) {
      const { socket } = request;
      if (socket !== null) resetConnection(socket);
      request.destroy();
    },
  };
}

interface Target {
  readonly host: string;
  readonly port: number;
  readonly ca: (() => string) | undefined;
}

/** The certificate is verified against the console's name, not the Host header. */
class TlsAgent extends HttpsAgent {
  readonly #target: Target;

  constructor(target: Target) {
    super({ keepAlive: false });
    this.#target = target;
  }

  override createConnection(): Duplex {
    const { host, port, ca } = this.#target;
    return connectTls({
      host,
      port,
      // An IP address is no server name (RFC 6066 §3); the certificate is then verified against `host`.
      servername: isIP(host) === 0 ? host : '',
      ...TLS_12,
      // Set explicitly, because an environment variable of Node could turn the default off for the whole process.
      rejectUnauthorized: true,
      ...(ca === undefined ? {} : { ca: ca() }),
    }).setNoDelay(true);
  }
}

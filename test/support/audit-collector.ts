/** A server that collects audit events, whose every response can be scripted. */
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';
import type { AuditEvent } from '../../src/core/audit/event.ts';

export interface Received {
  readonly headers: IncomingMessage['headers'];
  readonly url: string;
  readonly body: string;
  readonly auditIds: readonly string[];
}

/** What one request is answered: a status, perhaps with headers, or nothing at all. */
export type Answer =
  | number
  | { readonly code: number; readonly headers: Readonly<Record<string, string>> }
  | 'hang'
  | 'reset';

export class Collector {
  /** Every request, whatever it was answered. */
  readonly asked: Received[] = [];
  /** Ids that were taken, in the order in which they were. */
  readonly taken: string[] = [];
  /** Answers to come, the first first. */
  readonly script: Answer[] = [];
  /** When the script is at its end. */
  otherwise: Answer | ((received: Received) => Answer) = 200;
  readonly server: Server;
  readonly #scheme: string;

  private constructor(server: Server, scheme: string) {
    this.server = server;
    this.#scheme = scheme;
  }

  static async start(make: (listener: RequestListener) => Server = createServer, scheme = 'http'): Promise<Collector> {
    const server = make((req, res) => void collector.#take(req, res));
    const collector = new Collector(server, scheme);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    onTestFinished(() => {
      server.closeAllConnections();
      server.close();
    });
    return collector;
  }

  get url(): string {
    return `${this.#scheme}://127.0.0.1:${(this.server.address() as AddressInfo).port}/audit/secret-path`;
  }

  async #take(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of req) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks).toString();
    const { items } = JSON.parse(body) as { readonly items: readonly AuditEvent[] };
    const received = { headers: req.headers, url: req.url ?? '', body, auditIds: items.map(({ auditID }) => auditID) };
    this.asked.push(received);
    const answer =
      this.script.shift() ?? (typeof this.otherwise === 'function' ? this.otherwise(received) : this.otherwise);
    if (answer === 'hang') return;
    if (answer === 'reset') return void req.socket.destroy();
    const { code, headers } = typeof answer === 'number' ? { code: answer, headers: {} } : answer;
    if (code < 300) this.taken.push(...received.auditIds);
    res.writeHead(code, headers).end('a response that no client reads');
  }
}

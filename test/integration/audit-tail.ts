/** A client of the live audit log that keeps all it is told, and can stop reading. */
import { request } from 'node:https';
import type { IncomingMessage } from 'node:http';
import { serverEvents, type ServerEvent } from '../../src/cli/http/server-sent-events.ts';
import type { AuditEvent } from '../../src/core/audit/event.ts';
import type { ClientKey } from '../support/oauth-client.ts';

export interface TailRequest {
  readonly port: number;
  readonly ca: string;
  readonly key: ClientKey;
  readonly token: string;
  /** Such as `user=corp%3Aalice`. */
  readonly query?: string;
  readonly after?: string;
  /** Reads nothing before `resume`. */
  readonly paused?: boolean;
}

export interface OpenTail {
  readonly status: number;
  readonly response: IncomingMessage;
  /** In order, with gaps and ends; what only moves the id is left out. */
  readonly told: readonly ServerEvent[];
  /** The audit events among them. */
  readonly events: readonly AuditEvent[];
  readonly lastId: string | undefined;
  resume(): void;
  /** `ECONNRESET` where it was cut, undefined where it ended in good order. */
  readonly ended: Promise<string | undefined>;
  close(): void;
}

export async function openTail(asked: TailRequest): Promise<OpenTail> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const outgoing = request({
    host: '127.0.0.1',
    port: asked.port,
    servername: 'localhost',
    path: `/-/admin/api/v1/audit${asked.query === undefined ? '' : `?${asked.query}`}`,
    ca: asked.ca,
    ...asked.key,
    agent: false,
    headers: {
      authorization: `Bearer ${asked.token}`,
      ...(asked.after === undefined ? {} : { 'last-event-id': asked.after }),
    },
  });
  outgoing.on('response', resolve).on('error', reject).end();
  const response = await promise;
  const told: ServerEvent[] = [];
  let lastId: string | undefined;
  const read = async (): Promise<string | undefined> => {
    try {
      for await (const event of serverEvents(response)) {
        lastId = event.id ?? lastId;
        if (event.data !== '') told.push(event);
      }
      return undefined;
    } catch (error) {
      return (error as NodeJS.ErrnoException).code;
    }
  };
  const begin = Promise.withResolvers<void>();
  if (asked.paused !== true) begin.resolve();
  return {
    status: response.statusCode ?? 0,
    response,
    told,
    get events() {
      return told.filter(({ event }) => event === 'message').map(({ data }) => JSON.parse(data) as AuditEvent);
    },
    get lastId() {
      return lastId;
    },
    resume: () => begin.resolve(),
    ended: begin.promise.then(read),
    close: () => void response.destroy(),
  };
}

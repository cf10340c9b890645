/**
 * A steady load of short requests on two replicas behind a load balancer, by clients that keep the usual rules: a connection is kept until
 * its response says `Connection: close` or it gets GOAWAY; a request that GOAWAY excludes is sent again. The load balancer places a new
 * connection at a replica that was ready when it last looked, and at the next one where it is refused.
 */
import { once } from 'node:events';
import { Agent, request } from 'node:https';
import type { IncomingMessage } from 'node:http';
import { connect as connectHttp2 } from 'node:http2';
import type { ClientHttp2Session } from 'node:http2';
import { text } from 'node:stream/consumers';
import { setTimeout as pause } from 'node:timers/promises';

export interface Backends {
  /** Ports, in the order in which they are tried. */
  readonly ports: () => readonly number[];
  readonly ca: string;
  readonly certificate: { readonly cert: string; readonly key: string };
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Milliseconds between a response and the next request. Absent: none, for a connection that is as busy as it can be. */
  readonly pauseMs?: number;
}

export interface Load {
  readonly done: () => number;
  /** Answered by this port. */
  readonly byPort: ReadonlyMap<number, number>;
  readonly failures: readonly string[];
  /** Ends after the request that is under way. */
  stop(): Promise<void>;
}

interface Answered {
  readonly status: number;
  readonly body: string;
}

type Send = () => Promise<Answered & { readonly port: number }>;

export function startLoad(backends: Backends, protocol: 'http/1.1' | 'h2'): Load {
  const client = protocol === 'h2' ? http2Sender(backends) : http1Sender(backends);
  const byPort = new Map<number, number>();
  const failures: string[] = [];
  let done = 0;
  const stopping = new AbortController();
  const loop = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      try {
        const { port, status, body } = await client.send();
        byPort.set(port, (byPort.get(port) ?? 0) + 1);
        if (status !== 200) failures.push(`status ${status} of ${port}: ${body}`);
      } catch (error) {
        failures.push(error instanceof Error ? `${error.message} ${JSON.stringify(error)}` : 'no error');
      }
      done += 1;
      if (backends.pauseMs !== undefined) await pause(backends.pauseMs);
    }
  };
  const finished = loop();
  return {
    done: () => done,
    byPort,
    failures,
    stop: async () => {
      stopping.abort();
      await finished;
      client.close();
    },
  };
}

const isRefused = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && error.code === 'ECONNREFUSED';

/** Node's own agent keeps a connection and honours `Connection: close`. */
function http1Sender({ ports, ca, certificate, path, headers }: Backends): { send: Send; close: () => void } {
  const agent = new Agent({ keepAlive: true, maxSockets: 1, ca, ...certificate, servername: 'localhost' });
  let preferred: number | undefined;
  const ask = async (port: number): Promise<Answered> => {
    const asked = request({ agent, host: '127.0.0.1', port, path, headers: { ...headers, host: 'localhost' } });
    asked.end();
    const [answer] = (await once(asked, 'response')) as [IncomingMessage];
    // The next connection is the load balancer's to place.
    preferred = answer.headers.connection === 'close' ? undefined : port;
    const body = await text(answer);
    if (!answer.complete) throw new Error('half an answer');
    return { status: answer.statusCode ?? 0, body };
  };
  const send: Send = async () => {
    let refused: unknown;
    for (const port of preferred === undefined ? ports() : [preferred]) {
      try {
        return { port, ...(await ask(port)) };
      } catch (error) {
        if (!isRefused(error)) throw error;
        refused = error;
      }
    }
    throw refused;
  };
  return { send, close: () => agent.destroy() };
}

function http2Sender({ ports, ca, certificate, path, headers }: Backends): { send: Send; close: () => void } {
  let current: { readonly session: ClientHttp2Session; readonly port: number } | undefined;
  const open = async (): Promise<{ readonly session: ClientHttp2Session; readonly port: number }> => {
    let refused: unknown;
    for (const port of ports()) {
      const session = connectHttp2(`https://localhost:${port}`, { ca, ...certificate });
      try {
        await once(session, 'connect');
        session.on('error', () => undefined);
        return { session, port };
      } catch (error) {
        if (!isRefused(error)) throw error;
        refused = error;
      }
    }
    throw refused;
  };
  const ask = async (session: ClientHttp2Session): Promise<Answered | 'excluded'> => {
    // The number of the last request that is served, where a GOAWAY has named it.
    let last = Number.POSITIVE_INFINITY;
    const onGoaway = (_code: number, number: number): void => void (last = number);
    session.on('goaway', onGoaway);
    const stream = session.request({ ':path': path, ...headers });
    try {
      const [head] = (await once(stream, 'response')) as [{ ':status': number }];
      const body = await text(stream);
      if (stream.rstCode !== 0) throw new Error(`reset with ${stream.rstCode}`);
      return { status: head[':status'], body };
    } catch (error) {
      if (stream.rstCode === 7 || (stream.id ?? Number.POSITIVE_INFINITY) > last) return 'excluded';
      throw error;
    } finally {
      session.off('goaway', onGoaway);
    }
  };
  const send: Send = async () => {
    for (;;) {
      if (current === undefined || current.session.closed || current.session.destroyed) current = await open();
      const { session, port } = current;
      const answered = await ask(session);
      if (answered !== 'excluded') return { port, ...answered };
      current = undefined;
    }
  };
  return { send, close: () => current?.session.destroy() };
}

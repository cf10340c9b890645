/**
 * HTTP/1.1 over TLS with as little work as can be, so that the generator does not decide what is measured. The same code loads every
 * target. It reads what the bench's own upstreams send: a length, or a stream that never ends.
 */
import { once } from 'node:events';
import { connect, createSecureContext } from 'node:tls';
import type { SecureContext, TLSSocket } from 'node:tls';

export interface LoadTarget {
  readonly port: number;
  /** Server name and `Host`. */
  readonly host: string;
  readonly token: string;
  /** PEM: the CA of the server's certificate, and the client's own certificate with its key. */
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
  /** Absent: GET. A POST has no body. */
  readonly method?: 'POST';
}

export interface Getter {
  /** @returns bytes of the body; rejects for anything but a whole response with status 200 */
  get(path: string): Promise<number>;
  close(): void;
}

/** One suite for every leg, so that no target has the cheaper one. */
export const CIPHERS = 'TLS_AES_128_GCM_SHA256';

/** One for each certificate: reading PEM again costs more than the handshake. */
const contexts = new Map<string, SecureContext>();

function contextOf({ ca, cert, key }: LoadTarget): SecureContext {
  const known = contexts.get(cert);
  if (known !== undefined) return known;
  const made = createSecureContext({ ca, cert, key, ciphers: CIPHERS, minVersion: 'TLSv1.3' });
  contexts.set(cert, made);
  return made;
}

export async function openTls(target: LoadTarget, protocol: 'h2' | 'http/1.1'): Promise<TLSSocket> {
  const { port, host } = target;
  const secureContext = contextOf(target);
  const socket = connect({ host: '127.0.0.1', port, servername: host, secureContext, ALPNProtocols: [protocol] });
  socket.setNoDelay(true);
  await once(socket, 'secureConnect');
  return socket;
}

/** What client-go sends. @param more further lines, each with its end */
export const requestHead = (target: LoadTarget, path: string, more = ''): string =>
  `${target.method ?? 'GET'} ${path} HTTP/1.1\r\nHost: ${target.host}\r\nUser-Agent: kubectl/v1.35.0 (linux/amd64) kubernetes/0000000\r\n` +
  `Accept: application/json\r\nAccept-Encoding: gzip\r\nAuthorization: Bearer ${target.token}\r\n${target.method === undefined ? '' : 'Content-Length: 0\r\n'}${more}\r\n`;

const HEAD_END = Buffer.from('\r\n\r\n');

/** One keep-alive connection, one request at a time. */
export class Http1Connection implements Getter {
  readonly #socket: TLSSocket;
  readonly #target: LoadTarget;
  #head: Buffer = Buffer.alloc(0);
  #length = 0;
  #left = -1;
  #waiting: PromiseWithResolvers<number> | undefined;

  private constructor(socket: TLSSocket, target: LoadTarget) {
    this.#socket = socket;
    this.#target = target;
    socket.on('data', (chunk: Buffer) => this.#take(chunk));
    socket.on('error', (error) => this.#fail(error));
    socket.on('close', () => this.#fail(new Error('the connection closed within an answer')));
  }

  static async open(target: LoadTarget): Promise<Http1Connection> {
    return new Http1Connection(await openTls(target, 'http/1.1'), target);
  }

  get(path: string): Promise<number> {
    const waiting = Promise.withResolvers<number>();
    this.#waiting = waiting;
    this.#left = -1;
    this.#socket.write(requestHead(this.#target, path), 'latin1');
    return waiting.promise;
  }

  close(): void {
    this.#waiting = undefined;
    this.#socket.destroy();
  }

  #take(chunk: Buffer): void {
    let body = chunk;
    if (this.#left < 0) {
      this.#head = this.#head.length === 0 ? chunk : Buffer.concat([this.#head, chunk]);
      const end = this.#head.indexOf(HEAD_END);
      if (end === -1) return;
      const head = this.#head.toString('latin1', 0, end);
      body = this.#head.subarray(end + HEAD_END.length);
      this.#head = Buffer.alloc(0);
      const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1];
      if (!head.startsWith('HTTP/1.1 200') || length === undefined) {
        return this.#fail(new Error(`an answer of another kind: ${head}\n${body.toString('latin1', 0, 300)}`));
      }
      this.#length = this.#left = Number(length);
    }
    this.#left -= body.length;
    if (this.#left > 0) return;
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.resolve(this.#length);
  }

  #fail(error: Error): void {
    this.#waiting?.reject(error);
    this.#waiting = undefined;
  }
}

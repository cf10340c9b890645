/** The same requests over HTTP/2, by Node's own client: several in parallel on one connection, as client-go does it. */
import { connect } from 'node:http2';
import type { ClientHttp2Session, ClientHttp2Stream } from 'node:http2';
import { openTls } from './http1.ts';
import type { Getter, LoadTarget } from './http1.ts';

export class Http2Connection implements Getter {
  readonly #session: ClientHttp2Session;
  readonly #target: LoadTarget;

  private constructor(session: ClientHttp2Session, target: LoadTarget) {
    this.#session = session;
    this.#target = target;
    // A stream that fails rejects for its own caller.
    session.on('error', () => undefined);
  }

  static async open(target: LoadTarget): Promise<Http2Connection> {
    const socket = await openTls(target, 'h2');
    if (socket.alpnProtocol !== 'h2') throw new Error('HTTP/2 is not served');
    const session = connect(`https://${target.host}`, { createConnection: () => socket });
    return new Http2Connection(session, target);
  }

  get isOpen(): boolean {
    return !this.#session.closed && !this.#session.destroyed;
  }

  request(path: string): ClientHttp2Stream {
    return this.#session.request({
      ':path': path,
      'user-agent': 'kubectl/v1.35.0 (linux/amd64) kubernetes/0000000',
      accept: 'application/json',
      'accept-encoding': 'gzip',
      authorization: `Bearer ${this.#target.token}`,
    });
  }

  get(path: string): Promise<number> {
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    const stream = this.request(path);
    let bytes = 0;
    let status: number | undefined;
    stream.on('response', (headers) => {
      status = headers[':status'];
    });
    stream.on('data', (chunk: Buffer) => void (bytes += chunk.length));
    stream.on('error', reject);
    stream.on('end', () => {
      if (status === 200) resolve(bytes);
      else reject(new Error(`an answer of another kind: ${status}`));
    });
    return promise;
  }

  close(): void {
    this.#session.destroy();
  }
}

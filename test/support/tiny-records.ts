/** A client whose TLS records have one byte each: of what it sends, a server makes as many pieces as there are bytes. */
import { once } from 'node:events';
import { connect } from 'node:net';
import { duplexPair } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import type { ConnectionOptions, TLSSocket } from 'node:tls';

export interface TinyRecords {
  readonly socket: TLSSocket;
  /** Makes so many records of the same character. @returns a function that sends them all at once */
  prepare(count: number, character?: string): Promise<() => void>;
  destroy(): void;
}

/** @param options of the handshake, without an address */
export async function tinyRecords(port: number, options: ConnectionOptions): Promise<TinyRecords> {
  const tcp = connect(port, '127.0.0.1').on('error', () => undefined);
  const [near, far] = duplexPair();
  let held: Buffer[] | undefined;
  tcp.pipe(far);
  far.on('data', (piece: Buffer) => void (held === undefined ? tcp.write(piece) : held.push(piece)));
  const socket = connectTls({ ...options, socket: near });
  socket.on('error', () => undefined);
  await once(socket, 'secureConnect');
  return {
    socket,
    async prepare(count, character = 'a') {
      const records: Buffer[] = [];
      held = records;
      for (let each = 0; each < count; each += 1) await new Promise((done) => void socket.write(character, done));
      return () => void tcp.write(Buffer.concat(records));
    },
    destroy: () => void tcp.destroy(),
  };
}

/** A side that updates the keys of TLS 1.3 as often as it likes, and writes the records itself (RFC 8446 §4.6.3, §7). */
import { createCipheriv, createHmac } from 'node:crypto';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from 'node:tls';

const HANDSHAKE = 22;
const APPLICATION_DATA = 23;
const KEY_UPDATE = Buffer.from([24, 0, 0, 1, 0]);

/** What is written to TCP by a side that nothing else writes for. */
export interface Records {
  /** @returns so many key updates */
  updates(count: number): Buffer;
  /** @returns a record with data */
  data(text: string | Buffer): Buffer;
}

export interface KeyUpdates extends Records {
  /** Reads responses. Nothing may be written to it. */
  readonly tls: TLSSocket;
  readonly tcp: Socket;
}

/** Those of a server at the end of its handshake, each in a record. */
export const TICKETS = 2;
export const CIPHER = { ciphers: 'TLS_AES_128_GCM_SHA256', minVersion: 'TLSv1.3' } as const;

/** @param options of the handshake, without an address */
export async function keyUpdates(port: number, options: ConnectionOptions): Promise<KeyUpdates> {
  const tcp = connect(port, '127.0.0.1').on('error', () => undefined);
  const tls = connectTls({ ...options, socket: tcp, ...CIPHER });
  let before = 0;
  let secret: Buffer = Buffer.alloc(0);
  tls.on('keylog', (line: Buffer) => {
    const [label, , value = ''] = String(line).trim().split(' ');
    if (label !== 'CLIENT_TRAFFIC_SECRET_0') return;
    secret = Buffer.from(value, 'hex');
    before = tcp.bytesWritten;
  });
  tls.on('error', () => undefined);
  await once(tls, 'secureConnect');
  // Node writes the end of the handshake behind this event.
  while (tcp.bytesWritten === before) await turn();
  return { tls, tcp, ...recordsOf(secret) };
}

/** @param sent records that were sent with this secret already */
export function recordsOf(first: Buffer, sent = 0): Records {
  let [secret, sequence] = [first, sent];
  const record = (type: number, content: Buffer): Buffer => {
    const inner = Buffer.concat([content, Buffer.from([type])]);
    const head = Buffer.from([APPLICATION_DATA, 3, 3, 0, 0]);
    head.writeUInt16BE(inner.length + 16, 3);
    const nonce = expanded(secret, 'iv', 12);
    nonce.writeInt32BE(nonce.readInt32BE(8) ^ sequence, 8);
    sequence += 1;
    const cipher = createCipheriv('aes-128-gcm', expanded(secret, 'key', 16), nonce).setAAD(head);
    return Buffer.concat([head, cipher.update(inner), cipher.final(), cipher.getAuthTag()]);
  };
  return {
    updates: (count) =>
      Buffer.concat(
        Array.from({ length: count }, () => {
          const update = record(HANDSHAKE, KEY_UPDATE);
          secret = expanded(secret, 'traffic upd', 32);
          sequence = 0;
          return update;
        }),
      ),
    data: (text) => record(APPLICATION_DATA, Buffer.from(text)),
  };
}

/** HKDF-Expand-Label (RFC 8446 §7.1) for what fits in one block. */
function expanded(secret: Buffer, label: string, length: number): Buffer {
  const name = `tls13 ${label}`;
  const info = Buffer.from([0, length, name.length, ...Buffer.from(name), 0, 1]);
  return createHmac('sha256', secret).update(info).digest().subarray(0, length);
}

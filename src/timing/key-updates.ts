/**
 * Key updates of a TLS connection (RFC 8446 §4.6.3): they are counted as what is begun in a turn, and few in a row are
 * allowed.
 *
 * An attacker without a credential sends nothing else, 27 bytes each, all prepared beforehand. OpenSSL derives new keys
 * for each, and nothing of it is data, so that Node calls no code of ours: 60 kB on each of 64 connections took a
 * second in one turn, on 120 connections two, and the fence that follows cut the streams of every user. Of all that TLS
 * has, only these come without end and without data: OpenSSL itself ends a connection after 32 empty records.
 *
 * Node tells of a key update by `keylog` alone. The line has the new secret, so it is not looked at.
 */
import type { TLSSocket } from 'node:tls';
import { readerOf } from './reader.ts';

/**
 * Without a byte of data between them. TLS libraries change keys once in millions of records; Go's ends a connection
 * after 16 records in a row that have no data.
 */
const MOST_IN_A_ROW = 32;

/**
 * To be called after the handshake.
 * @param counted called for each
 * @param flood called when there are too many in a row, at a time when the connection may be ended
 */
export function limitKeyUpdates(socket: TLSSocket, counted: () => void, flood: () => void): void {
  let inARow = 0;
  let bytesRead = 0;
  socket.on('keylog', () => {
    counted();
    if (socket.bytesRead !== bytesRead) {
      ({ bytesRead } = socket);
      inARow = 0;
    }
    inARow += 1;
    if (inARow !== MOST_IN_A_ROW + 1) return;
    // OpenSSL is in the middle of what was read, and would go on with a session that is freed. The rest that the kernel
    // has is not read.
    readerOf(socket).stopReading();
    setImmediate(flood);
  });
}

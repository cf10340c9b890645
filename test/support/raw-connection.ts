/** Connections to the data plane for bytes that no client library would send. */
import { once } from 'node:events';
import { connect, type TLSSocket } from 'node:tls';
import type { TestCertificate } from './upstream.ts';

/** The one host of the data plane in tests. */
export const HOST = 'prod.k8s.test';

export interface RawConnection {
  readonly socket: TLSSocket;
  /** What came back so far, one character a byte. */
  received(): string;
  /** The code of the error with which it ended, or `end`. */
  readonly ended: Promise<string>;
}

/** A TLS connection for bytes that no client library would send. */
export async function rawConnection(
  plane: { readonly port: number; readonly ca: string },
  certificate: TestCertificate | null,
): Promise<RawConnection> {
  const socket = connect({ host: '127.0.0.1', port: plane.port, servername: HOST, ca: plane.ca, ...certificate });
  const chunks: Buffer[] = [];
  const { promise, resolve } = Promise.withResolvers<string>();
  let ending = 'end';
  socket.on('data', (chunk: Buffer) => void chunks.push(chunk));
  socket.on('error', (error: NodeJS.ErrnoException) => {
    ending = error.code ?? 'error';
  });
  socket.once('close', () => resolve(ending));
  await once(socket, 'secureConnect');
  return { socket, ended: promise, received: () => Buffer.concat(chunks).toString('latin1') };
}

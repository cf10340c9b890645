/** A recording HTTPS upstream: plays the API server, keeps every byte that it was sent, and sees how each connection ended. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:https';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import 'reflect-metadata';
import { SubjectAlternativeNameExtension, X509CertificateGenerator } from '@peculiar/x509';

export interface TestCertificate {
  readonly cert: string;
  readonly key: string;
}

/** A self-signed P-256 certificate for `name` and 127.0.0.1, good for an hour. */
export async function makeCertificate(name: string): Promise<TestCertificate> {
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  const keys = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const certificate = await X509CertificateGenerator.createSelfSigned({
    serialNumber: randomBytes(8).toString('hex').replace(/^./, '1'),
    name: `CN=${name}`,
    notBefore: new Date(Date.now() - 60_000),
    notAfter: new Date(Date.now() + 3_600_000),
    signingAlgorithm: algorithm,
    keys,
    extensions: [
      new SubjectAlternativeNameExtension([
        { type: 'dns', value: name },
        { type: 'ip', value: '127.0.0.1' },
      ]),
    ],
  });
  const pkcs8 = Buffer.from(await crypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64');
  const key = `-----BEGIN PRIVATE KEY-----\n${pkcs8.replace(/(.{64})/g, '$1\n')}\n-----END PRIVATE KEY-----\n`;
  return { cert: certificate.toString('pem'), key };
}

/** How the peer ended a connection: an RST, or an orderly end. */
export type Ending = 'reset' | 'end';

export interface RecordedConnection {
  /** Every decrypted byte so far, one character each. */
  received(): string;
  readonly ended: Promise<Ending>;
  readonly socket: Duplex;
}

export interface RecordedRequest {
  readonly method: string;
  readonly url: string;
  /** Name, value, … in order, as they stood on the wire. */
  readonly rawHeaders: readonly string[];
  readonly connection: RecordedConnection;
}

export type Answer = (req: IncomingMessage, res: ServerResponse) => void;
export type UpgradeAnswer = (req: IncomingMessage, socket: Duplex, head: Buffer) => void;

export interface RecordingUpstream {
  readonly server: string;
  readonly ca: string;
  readonly requests: readonly RecordedRequest[];
  readonly connections: readonly RecordedConnection[];
  /** What is answered from now on. */
  answer: Answer;
  answerUpgrade: UpgradeAnswer;
  /** Forgets what was recorded. */
  clear(): void;
  close(): Promise<void>;
}

export const answerJson =
  (body: unknown, headers: Record<string, string | string[]> = {}, status = 200): Answer =>
  (_req, res) => {
    res.writeHead(status, { 'content-type': 'application/json', ...headers });
    res.end(JSON.stringify(body));
  };

/**
 * So many bytes, as fast as they are taken.
 * @param sent is told of each piece
 */
export const longAnswer =
  (bytes: number, sent: (more: number) => unknown): Answer =>
  (_req, res) => {
    const piece = Buffer.alloc(65_536, 'z');
    let left = bytes;
    res.writeHead(200, { 'content-type': 'application/octet-stream' });
    const pump = (): void => {
      while (left > 0) {
        left -= piece.length;
        sent(piece.length);
        if (!res.write(piece)) return void res.once('drain', pump);
      }
      res.end();
    };
    pump();
  };

/** @param tls what else the listener is to ask of a client, such as a certificate */
export async function startUpstream(tls: { readonly requestCert?: boolean } = {}): Promise<RecordingUpstream> {
  const certificate = await makeCertificate('api.cluster.test');
  // As much as an API server takes: hundreds of groups are a line each, and none must be dropped unseen.
  const server = createServer({
    ...certificate,
    ...tls,
    rejectUnauthorized: false,
    ALPNProtocols: ['http/1.1'],
    maxHeaderSize: 1_048_576,
  });
  server.maxHeadersCount = 0;
  const requests: RecordedRequest[] = [];
  const connections: RecordedConnection[] = [];
  const bySocket = new Map<unknown, RecordedConnection>();
  const raw = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    raw.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => raw.delete(socket));
  });
  server.on('secureConnection', (socket) => {
    const connection = record(socket);
    bySocket.set(socket, connection);
    connections.push(connection);
  });
  const upstream: RecordingUpstream = {
    server: '',
    ca: certificate.cert,
    requests,
    connections,
    answer: answerJson({ kind: 'PodList', apiVersion: 'v1', items: [] }),
    answerUpgrade: (_req, socket) => socket.destroy(),
    clear: () => {
      requests.length = 0;
      connections.length = 0;
    },
    close: async () => {
      for (const socket of raw) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
  const note = (req: IncomingMessage): void => {
    const connection = bySocket.get(req.socket);
    if (connection === undefined) throw new Error('a request on an unknown connection');
    requests.push({ method: req.method ?? '', url: req.url ?? '', rawHeaders: req.rawHeaders, connection });
  };
  server.on('request', (req, res) => {
    note(req);
    upstream.answer(req, res);
  });
  server.on('checkContinue', (req: IncomingMessage, res: ServerResponse) => {
    note(req);
    upstream.answer(req, res);
  });
  server.on('upgrade', (req: IncomingMessage, socket: Duplex, head: Buffer) => {
    note(req);
    socket.on('error', () => undefined);
    upstream.answerUpgrade(req, socket, head);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return Object.assign(upstream, { server: `https://127.0.0.1:${(server.address() as AddressInfo).port}` });
}

function record(socket: Duplex): RecordedConnection {
  const chunks: Buffer[] = [];
  const { promise, resolve } = Promise.withResolvers<Ending>();
  let code: string | undefined;
  socket.on('data', (chunk: Buffer) => void chunks.push(chunk));
  socket.on('error', (error: NodeJS.ErrnoException) => {
    code = error.code;
  });
  socket.once('close', () => resolve(code === 'ECONNRESET' ? 'reset' : 'end'));
  return { socket, ended: promise, received: () => Buffer.concat(chunks).toString('latin1') };
}

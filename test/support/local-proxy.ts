/** `portcullis proxy` as a client of it sees it: by the kubeconfig that it has written. */
import { readFile } from 'node:fs/promises';
import { request as requestHttps } from 'node:https';
import type { ClientRequest, IncomingMessage } from 'node:http';
import { connect, type TLSSocket } from 'node:tls';
import { parse } from 'yaml';

export interface LocalKubeconfig {
  readonly path: string;
  readonly port: number;
  /** PEM. */
  readonly ca: string;
  readonly secret: string;
}

interface Parsed {
  readonly clusters: readonly [{ readonly cluster: Readonly<Record<string, string>> }];
  readonly users: readonly [{ readonly user: { readonly token: string } }];
}

export async function readLocalKubeconfig(path: string): Promise<LocalKubeconfig> {
  const { clusters, users } = parse(await readFile(path, 'utf8')) as Parsed;
  const { server = '', 'certificate-authority-data': caData = '' } = clusters[0].cluster;
  const ca = Buffer.from(caData, 'base64').toString();
  return { path, port: Number(new URL(server).port), ca, secret: users[0].user.token };
}

export const localConnection = ({ port, ca }: LocalKubeconfig): TLSSocket => connect({ host: '127.0.0.1', port, ca });

/** Sends these bytes on a connection of their own. @returns all that comes back until it is ended, or until a whole head has come */
export function sendRaw(at: LocalKubeconfig, bytes: string): Promise<string> {
  const socket = localConnection(at);
  let heard = '';
  return new Promise((resolve) => {
    socket.on('error', () => undefined);
    socket.on('data', (chunk: Buffer) => {
      heard += chunk.toString('latin1');
      if (/^HTTP\/1\.1 [2-5][^]*\r\n\r\n[^]/.test(heard)) socket.destroy();
    });
    socket.once('close', () => resolve(heard));
    socket.write(bytes, 'latin1');
  });
}

export interface LocalCall {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** A request with the secret, not yet ended. */
export function openLocal(
  at: LocalKubeconfig,
  path: string,
  { method = 'GET', headers = {} }: LocalCall = {},
): ClientRequest {
  const authorization = `Bearer ${at.secret}`;
  const { port, ca } = at;
  const request = requestHttps({
    host: '127.0.0.1',
    port,
    ca,
    path,
    method,
    agent: false,
    headers: { authorization, ...headers },
  });
  request.on('error', () => undefined);
  return request;
}

export function answerOf(request: ClientRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    request.on('response', resolve);
    request.on('error', reject);
  });
}

export async function callLocal(
  at: LocalKubeconfig,
  path: string,
  { body, ...call }: LocalCall & { readonly body?: string } = {},
): Promise<{ readonly status: number; readonly text: string; readonly headers: IncomingMessage['headers'] }> {
  const request = openLocal(at, path, call);
  const answered = answerOf(request);
  request.end(body);
  const answer = await answered;
  let text = '';
  for await (const chunk of answer.setEncoding('utf8')) text += String(chunk);
  return { status: answer.statusCode ?? 0, text, headers: answer.headers };
}

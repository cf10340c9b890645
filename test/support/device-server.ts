/**
 * A server that speaks the contract between Portcullis and its command line as far as a sign-in by a code needs it, over TLS under
 * any name and address, and that answers any path as a test wants: for tests of the network in between, and of hostile answers.
 */
import { createHash, randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { TLSSocket } from 'node:tls';
import { makeCertificates, type DemoCertificates } from '../../demo/certificates.ts';

type Json = Record<string, unknown>;
type Handler = (request: IncomingMessage, response: ServerResponse, form: URLSearchParams) => void;

export const TOKEN_PATH = '/-/oauth/token';
export const DEVICE_PATH = '/-/oauth/device';
const DISCOVERY_PATH = '/.well-known/openid-configuration';

export interface DeviceServerOptions {
  /** Names and addresses of its certificate. */
  readonly names?: readonly string[];
  /** Address that it listens on. */
  readonly address?: string;
  /** Epoch milliseconds at which its certificate was made; it is good for a week. */
  readonly certifiedAt?: number;
}

export class DeviceServer {
  /** Every secret that was given out. */
  readonly secrets: string[] = [];
  /** Thumbprints of the certificates that were presented to the token endpoint. */
  readonly thumbprints: (string | undefined)[] = [];
  readonly requestIds: string[] = [];
  /** What is answered at a path instead. */
  readonly answers = new Map<string, Handler>();
  /** Changes of the discovery document. */
  discovery: Json = {};
  /** Changes of the response to a sign-in or a refresh. */
  grant: Json = {};
  /** As the client must name it, without a trailing slash. */
  origin = '';
  port = 0;
  certificates: DemoCertificates = { ca: '', cert: '', key: '' };
  #server: Server | undefined;

  async start({ names = ['127.0.0.1'], address = '127.0.0.1', certifiedAt = Date.now() }: DeviceServerOptions = {}) {
    this.certificates = await makeCertificates(names, certifiedAt);
    const { cert, key } = this.certificates;
    const options = { cert, key, requestCert: true, rejectUnauthorized: false };
    const server = createServer(options, (request, response) => void this.#handle(request, response));
    this.#server = server;
    await new Promise<void>((resolve) => {
      server.listen(0, address, resolve);
    });
    this.port = (server.address() as AddressInfo).port;
    this.origin = `https://${address.includes(':') ? `[${address}]` : address}:${this.port}`;
  }

  async stop(): Promise<void> {
    this.#server?.closeAllConnections();
    await new Promise<void>((resolve) => {
      if (this.#server === undefined) resolve();
      else this.#server.close(() => resolve());
    });
    this.#server = undefined;
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let body = '';
    for await (const chunk of request.setEncoding('utf8')) body += String(chunk);
    const form = new URLSearchParams(body);
    const id = `req-${randomBytes(6).toString('hex')}`;
    this.requestIds.push(id);
    response.setHeader('x-request-id', id);
    const path = (request.url ?? '').split('?')[0] ?? '';
    if (path === TOKEN_PATH) this.thumbprints.push(thumbprintOf(request));
    const answer = this.answers.get(path);
    if (answer !== undefined) return answer(request, response, form);
    if (path === DISCOVERY_PATH) return sendJson(response, 200, this.#discovery());
    if (path === DEVICE_PATH) return sendJson(response, 200, this.#code());
    if (path === TOKEN_PATH) return sendJson(response, 200, this.#granted(form));
    // RFC 7009 §2.2: only the status counts.
    if (path === '/-/oauth/revoke') return void response.end();
    sendJson(response, 404, { error: 'not_found' });
  }

  #discovery(): Json {
    const oauth = `${this.origin}/-/oauth`;
    return {
      issuer: this.origin,
      authorization_endpoint: `${this.origin}/oauth/authorize`,
      mtls_endpoint_aliases: {
        token_endpoint: `${oauth}/token`,
        revocation_endpoint: `${oauth}/revoke`,
        device_authorization_endpoint: `${oauth}/device`,
      },
      portcullis: { api: this.origin, adminApi: `${this.origin}/-/admin/api/v1`, apiCa: this.certificates.ca },
      ...this.discovery,
    };
  }

  #code(): Json {
    const page = `${this.origin}/device`;
    return {
      device_code: this.#secret(),
      user_code: 'BCDF-GHJK',
      verification_uri: page,
      expires_in: 600,
      interval: 1,
    };
  }

  #granted(form: URLSearchParams): Json {
    return {
      access_token: this.#secret(),
      token_type: 'Bearer',
      expires_in: 300,
      ...(form.get('grant_type') === 'refresh_token' ? {} : { refresh_token: this.#secret() }),
      portcullis: this.user,
      ...this.grant,
    };
  }

  readonly user: Json = {
    session: { id: 's-1', expiresAt: '2030-01-01T00:00:00Z' },
    account: 'corp/alice',
    username: 'corp:alice',
    groups: [],
    cluster: 'prod',
    clusters: [{ name: 'prod', server: 'https://cluster.example.com:6443' }],
  };

  #secret(): string {
    const secret = `canary-${randomBytes(18).toString('base64url')}`;
    this.secrets.push(secret);
    return secret;
  }
}

export function sendJson(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json', connection: 'close' }).end(JSON.stringify(body));
}

/** RFC 8705 §3.1. */
function thumbprintOf({ socket }: IncomingMessage): string | undefined {
  const raw = socket instanceof TLSSocket ? socket.getPeerCertificate().raw : undefined;
  return raw === undefined ? undefined : createHash('sha256').update(raw).digest('base64url');
}

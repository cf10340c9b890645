/**
 * An OpenID provider that lies on demand: every answer can be replaced by the one that a test is about. What it says without being told
 * otherwise is right.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { exportJWK, generateKeyPair, SignJWT, type JWTPayload } from 'jose';

export interface Lies {
  readonly discovery?: (honest: Record<string, unknown>) => unknown;
  /** `auth_time` is in what it says by itself. */
  readonly idToken?: (honest: JWTPayload) => JWTPayload;
  /** Its clock is so many seconds ahead of the server's; behind: negative. */
  readonly clock?: number;
  /** Signs with a key that `jwks_uri` does not have. */
  readonly unknownKey?: boolean;
  /** Its keys have changed: `jwks_uri` has the other one alone. */
  readonly rotated?: boolean;
  /** Called for each token request. */
  readonly token?: (honest: Record<string, unknown>) => Reply;
  /** By path, in place of what it says there. */
  readonly replies?: Readonly<Record<string, Reply>>;
  /** Each path is answered by this page, as a captive portal or a reverse proxy does. */
  readonly portal?: Reply;
  /** Paths whose requests are taken and never answered. */
  readonly hangs?: (path: string) => boolean;
  /** Each response comes after so many milliseconds. */
  readonly slow?: number;
  /** Paths whose connection is reset in place of a response. */
  readonly resets?: (path: string) => boolean;
  /** Whether a client with this proof of its identity (`client_id:client_secret`) gets a token. Absent: every client does. */
  readonly client?: (proof: string) => boolean;
  readonly userinfo?: (honest: Record<string, unknown>) => unknown;
  /** Token requests are answered when this has come. */
  readonly hold?: Promise<void>;
  /** Where an authorization request leads. Absent, or none: back to us, signed in. */
  readonly authorize?: (asks: URLSearchParams) => string | undefined;
  /** By how many milliseconds the time in its `Date` headers is off. */
  readonly clockOff?: number;
  /** Answers everything by going elsewhere. */
  readonly redirectTo?: string;
}

/** A response as it stands; JSON where it names no type. */
export interface Reply {
  readonly status: number;
  readonly body: string;
  readonly type?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface HostileProvider {
  readonly issuer: string;
  /** Paths that were asked for, in order. */
  readonly asked: string[];
  /** Refresh tokens that were presented, in order. */
  readonly presented: string[];
  lie(lies: Lies): void;
  /** Shows this one from the next handshake on; each request has one of its own. */
  useCertificate(pair: Certificate): void;
  close(): Promise<void>;
}

interface Certificate {
  readonly cert: string;
  readonly key: string;
}

export const CLIENT_ID = 'portcullis';

const now = (): number => Math.floor(Date.now() / 1000);

/**
 * @param tls of `host`; absent: plain http
 * @param host its name; it listens on loopback whatever that is
 */
export async function startHostileProvider(tls?: Certificate, host = '127.0.0.1'): Promise<HostileProvider> {
  const [known, unknown] = await Promise.all([generateKeyPair('ES256'), generateKeyPair('ES256')]);
  const jwks = async (): Promise<object> => {
    const [pair, kid] = lies.rotated === true ? [unknown, 'k2'] : [known, 'k1'];
    return { keys: [{ ...(await exportJWK(pair.publicKey)), kid, alg: 'ES256', use: 'sig' }] };
  };
  let lies: Lies = {};
  const asked: string[] = [];
  const presented: string[] = [];
  const secure = tls === undefined ? undefined : createHttpsServer(tls);
  const server = secure ?? createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const issuer = tls === undefined ? `http://localhost:${port}` : `https://${host}:${port}`;
  const honest = {
    issuer,
    authorization_endpoint: `${issuer}/authorize`,
    token_endpoint: `${issuer}/token`,
    jwks_uri: `${issuer}/jwks`,
    userinfo_endpoint: `${issuer}/userinfo`,
    response_types_supported: ['code'],
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: ['ES256'],
    authorization_response_iss_parameter_supported: true,
  };
  const token = async (nonce: string | null): Promise<Record<string, unknown>> => {
    const there = now() + (lies.clock ?? 0);
    const claims = {
      sub: '42',
      aud: CLIENT_ID,
      iss: issuer,
      // A refreshed ID token has none (OpenID Connect Core §12.2).
      ...(nonce === null ? {} : { nonce }),
      preferred_username: 'mallory',
      auth_time: there,
      iat: there,
      exp: there + 300,
    };
    const idToken = await new SignJWT(lies.idToken?.(claims) ?? claims)
      .setProtectedHeader({ alg: 'ES256', kid: lies.unknownKey === true ? 'k2' : 'k1' })
      .sign(lies.unknownKey === true ? unknown.privateKey : known.privateKey);
    return { access_token: 'at', token_type: 'Bearer', expires_in: 300, refresh_token: 'rt-2', id_token: idToken };
  };
  const answer = async (req: IncomingMessage, res: ServerResponse): Promise<void> => {
    const path = (req.url ?? '').split('?', 1)[0] ?? '';
    asked.push(path);
    if (secure !== undefined) res.setHeader('connection', 'close');
    const json = (value: unknown, status = 200): void => {
      res.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));
    };
    const send = ({ status, body, type = 'application/json', headers }: Reply): void => {
      res.writeHead(status, { 'content-type': type, ...headers }).end(body);
    };
    if (lies.clockOff !== undefined) res.setHeader('date', new Date(Date.now() + lies.clockOff).toUTCString());
    if (lies.hangs?.(path) === true) return;
    if (lies.resets?.(path) === true) return void req.socket.destroy();
    if (lies.slow !== undefined) await pause(lies.slow);
    if (lies.portal !== undefined) return send(lies.portal);
    const reply = lies.replies?.[path];
    if (reply !== undefined) return send(reply);
    if (lies.redirectTo !== undefined) return void res.writeHead(302, { location: lies.redirectTo }).end();
    if (path === '/.well-known/openid-configuration') return json(lies.discovery?.(honest) ?? honest);
    if (path === '/jwks') return json(await jwks());
    if (path === '/userinfo') return json(lies.userinfo?.({ sub: '42' }) ?? { sub: '42' });
    // There is no question: every browser that comes is signed in, and the code is the nonce.
    const { searchParams: asks } = new URL(req.url ?? '', issuer);
    if (path === '/authorize') {
      const location = lies.authorize?.(asks) ?? callbackOf(asks, issuer);
      return void res.writeHead(302, { location }).end();
    }
    if (lies.client?.(proofOf(req)) === false) return json({ error: 'invalid_client' }, 401);
    await lies.hold;
    let form = '';
    for await (const chunk of req) form += String(chunk);
    const parameters = new URLSearchParams(form);
    presented.push(...parameters.getAll('refresh_token'));
    const good = await token(parameters.get('code'));
    const lie = lies.token?.(good);
    if (lie === undefined) return json(good);
    send(lie);
  };
  server.on('request', (req, res) => void answer(req, res));
  return {
    issuer,
    asked,
    presented,
    lie: (next) => (lies = next),
    useCertificate: (pair) => secure?.setSecureContext(pair),
    async close() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

/** RFC 6749 §2.3.1. */
const proofOf = ({ headers }: IncomingMessage): string =>
  decodeURIComponent(Buffer.from(headers.authorization?.replace(/^Basic /, '') ?? '', 'base64').toString());

function callbackOf(asks: URLSearchParams, iss: string): string {
  const callback = new URL(asks.get('redirect_uri') ?? '');
  callback.search = new URLSearchParams({
    code: asks.get('nonce') ?? '',
    state: asks.get('state') ?? '',
    iss,
  }).toString();
  return callback.href;
}

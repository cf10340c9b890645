/**
 * An OpenID provider that lies on demand: every answer can be replaced by the one that a test is about. What it says without being told
 * otherwise is right.
 */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { exportJWK, generateKeyPair, SignJWT, UnsecuredJWT, type CryptoKey, type JWTPayload } from 'jose';

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
  /** It has changed its algorithm from ES256: its discovery lists this one alone, and `jwks_uri` has a key for it. */
  readonly signs?: 'RS256' | 'HS256' | 'none';
  /** UserInfo is signed as ID tokens are, and discovery lists the algorithm. */
  readonly signedUserinfo?: boolean;
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
  /** A logout token as it makes them now. */
  logoutToken(claims?: JWTPayload): Promise<string>;
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
  const [known, unknown, rsa] = await Promise.all([
    generateKeyPair('ES256'),
    generateKeyPair('ES256'),
    generateKeyPair('RS256'),
  ]);
  const jwks = async (): Promise<object> => {
    const [pair, kid] = lies.rotated === true ? [unknown, 'k2'] : [known, 'k1'];
    const own = { ...(await exportJWK(pair.publicKey)), kid, alg: 'ES256', use: 'sig' };
    return { keys: [lies.signs === undefined ? own : { ...(await exportJWK(rsa.publicKey)), kid: 'k3', use: 'sig' }] };
  };
  const signed = (claims: JWTPayload, typ?: string): Promise<string> | string => {
    const header = typ === undefined ? {} : { typ };
    const { signs } = lies;
    if (signs === 'none') return new UnsecuredJWT(claims).encode();
    const by = (alg: string, kid: string, key: CryptoKey | Uint8Array): Promise<string> =>
      new SignJWT(claims).setProtectedHeader({ alg, kid, ...header }).sign(key);
    if (signs === 'HS256') return by(signs, 'k3', new Uint8Array(32));
    if (signs === 'RS256') return by(signs, 'k3', rsa.privateKey);
    return lies.unknownKey === true ? by('ES256', 'k2', unknown.privateKey) : by('ES256', 'k1', known.privateKey);
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
  const document = () => ({
    issuer,
    authorization_endpoint: `${issuer}/authorize`,
    token_endpoint: `${issuer}/token`,
    jwks_uri: `${issuer}/jwks`,
    userinfo_endpoint: `${issuer}/userinfo`,
    response_types_supported: ['code'],
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: [lies.signs ?? 'ES256'],
    ...(lies.signedUserinfo === true ? { userinfo_signing_alg_values_supported: [lies.signs ?? 'ES256'] } : {}),
    authorization_response_iss_parameter_supported: true,
  });
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
    const idToken = await signed(lies.idToken?.(claims) ?? claims);
    return { access_token: 'at', token_type: 'Bearer', expires_in: 300, refresh_token: 'rt-2', id_token: idToken };
  };
  const answer = async (req: IncomingMessage, res: ServerResponse): Promise<void> => {
    const address = (req.url ?? '').split('?', 1)[0] ?? '';
    // All of it is there as well, as at a provider that has moved.
    const path = address.replace(/^\/v2\//, '/');
    asked.push(address);
    if (secure !== undefined) res.setHeader('connection', 'close');
    const json = (value: unknown, status = 200): void => {
      res.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));
    };
    const send = ({ status, body, type = 'application/json', headers }: Reply): void => {
      res.writeHead(status, { 'content-type': type, ...headers }).end(body);
    };
    if (lies.clockOff !== undefined) res.setHeader('date', new Date(Date.now() + lies.clockOff).toUTCString());
    if (lies.hangs?.(address) === true) return;
    if (lies.resets?.(address) === true) return void req.socket.destroy();
    if (lies.slow !== undefined) await pause(lies.slow);
    if (lies.portal !== undefined) return send(lies.portal);
    const reply = lies.replies?.[address];
    if (reply !== undefined) return send(reply);
    if (lies.redirectTo !== undefined) return void res.writeHead(302, { location: lies.redirectTo }).end();
    if (path === '/.well-known/openid-configuration') return json(lies.discovery?.(document()) ?? document());
    if (path === '/jwks') return json(await jwks());
    if (path === '/userinfo') {
      const claims = lies.userinfo?.({ sub: '42' }) ?? { sub: '42' };
      if (lies.signedUserinfo !== true) return json(claims);
      return send({ status: 200, body: await signed(claims as JWTPayload), type: 'application/jwt' });
    }
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
    async logoutToken(claims = {}) {
      const events = { 'http://schemas.openid.net/event/backchannel-logout': {} };
      const honest = {
        iss: issuer,
        aud: CLIENT_ID,
        sub: '42',
        iat: now(),
        exp: now() + 120,
        jti: randomUUID(),
        events,
      };
      return signed({ ...honest, ...claims }, 'logout+jwt');
    },
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

/**
 * The admin API's two entrances to one server, for tests that must hold at both: the web listener by cookie and
 * CSRF token, the api listener by a real TLS client certificate and a Bearer token.
 */
import { createHash, X509Certificate } from 'node:crypto';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import supertest from 'supertest';
import { ADMIN_AUDIENCE } from '../../src/core/core.ts';
import type { Caller } from '../../src/core/credential/credential.ts';
import type { Account } from '../../src/core/identity/identity.ts';
import { coveringKeys } from '../../src/core/credential/revocation.ts';
import { alsoAt } from '../unit/web/admin-at.ts';
import { openSession, PUBLIC_URL, type Stage } from '../unit/web/harness.ts';
import { users } from '../unit/web/test-provider.ts';
import { makeCertificate } from './upstream.ts';

export type Method = 'get' | 'post' | 'delete' | 'put' | 'patch';

export interface Call {
  readonly method: Method;
  /** Below the prefix, with the query. */
  readonly path: string;
}

/** Makes a call; the test adds what else it says. */
export type Ask = (call: Call) => supertest.Test;

export interface Door {
  readonly name: 'web' | 'api';
  readonly prefix: string;
  /** Without any credential. */
  readonly anonymous: Ask;
  /** With all that a change needs. */
  as(who: string): Promise<Ask>;
}

export interface Client {
  readonly key: string;
  readonly cert: string;
  readonly thumbprint: string;
}

export async function newClient(name: string): Promise<Client> {
  const { key, cert } = await makeCertificate(name);
  const thumbprint = createHash('sha256').update(new X509Certificate(cert).raw).digest('base64url');
  return { key, cert, thumbprint };
}

export function webDoor(stage: Stage): Door {
  const prefix = '/admin/api/v1';
  return {
    name: 'web',
    prefix,
    anonymous: ({ method, path }) => supertest(stage.web.app)[method](prefix + path),
    async as(who) {
      const { browser, csrf } = await alsoAt(stage, who);
      return ({ method, path }) =>
        browser[method](prefix + path)
          .set('Origin', PUBLIC_URL)
          .set('X-CSRF-Token', csrf);
    },
  };
}

/** The workload rule whose tokens start drills; the server's configuration must have it. */
export const PROBE = { name: 'probe', role: 'drill', clusters: ['staging'] } as const;

/** A rule for each role that a workload may have. */
export const RULES = [
  PROBE,
  { name: 'reader', role: 'auditor', clusters: ['staging'] },
  { name: 'siem', role: 'revoker', clusters: [] },
] as const;

const isRule = (who: string): boolean => RULES.some(({ name }) => name === who);

export interface ApiDoor extends Door {
  /** A caller as the data plane's authenticator answers, for a session that stands in the store. @returns the token */
  caller(who: string, change?: Partial<Caller['credential']>): Promise<string>;
  /** With this certificate, or none. */
  with(client: Client | undefined): Ask;
  readonly mine: Client;
  close(): void;
}

export async function apiDoor(stage: Stage): Promise<ApiDoor> {
  const prefix = '/-/admin/api/v1';
  const [own, mine] = [await newClient('localhost'), await newClient('mine')];
  const server = await listening(stage, own);
  const base = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const withClient =
    (client: Client | undefined): Ask =>
    ({ method, path }) => {
      const agent = supertest(base);
      const sent = agent[method](prefix + path).disableTLSCerts();
      return client === undefined ? sent : sent.key(client.key).cert(client.cert);
    };
  const caller: ApiDoor['caller'] = async (who, change = {}) => {
    const token = `token-of-${who}`;
    stage.callers.set(token, await callerOf(stage, who, { thumbprint: mine.thumbprint, ...change }));
    return token;
  };
  return {
    name: 'api',
    prefix,
    mine,
    caller,
    with: withClient,
    anonymous: withClient(mine),
    async as(who) {
      const token = await caller(who, isRule(who) ? { account: `${who}/sa:monitoring` } : {});
      return (call) => withClient(mine)(call).set('Authorization', `Bearer ${token}`);
    },
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

async function listening(stage: Stage, { key, cert }: Client): Promise<Server> {
  const server = createServer({ key, cert, requestCert: true, rejectUnauthorized: false }, (req, res) =>
    stage.web.adminApi(req, res),
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
}

async function callerOf(stage: Stage, who: string, change: Partial<Caller['credential']>): Promise<Caller> {
  const user = users[isRule(who) ? 'root' : who];
  const { position } = stage.guard;
  if (user === undefined || position === undefined) throw new Error('no such user, or no lease');
  const account: Account = change.account ?? `corp/${user.subject}`;
  const session = `${who}-cli`;
  if ((await stage.store.sessions.read(session)) === undefined) {
    await openSession(stage, session, isRule(who) ? 'root' : who, account);
  }
  const owner = { session, account, provider: account.slice(0, account.indexOf('/')) };
  return {
    identity: user.identity,
    sessionExpiresAt: 0,
    sessionIdleAt: 0,
    authTime: Math.floor(stage.clock.nowMs() / 1000),
    credential: {
      ...owner,
      keys: coveringKeys(owner),
      tokenId: 'jti',
      audience: ADMIN_AUDIENCE,
      client: 'portcullis-cli',
      issuedAt: 0,
      expiresAt: Math.floor(stage.clock.nowMs() / 1000) + 300,
      position,
      ...change,
    },
  };
}

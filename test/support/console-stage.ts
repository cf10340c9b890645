/** Two working consoles and two that cannot prove their identity, behind a real web listener of a real server. */
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, type JWK } from 'jose';
import { WebSocket } from 'ws';
import type { Config } from '../../src/config/config.ts';
import type { Identity } from '../../src/core/identity/identity.ts';
import { keepSpace, type ConnectionSpaceOptions } from '../../src/server/connection-space.ts';
import { createConsoleTokens } from '../../src/oauth/console-token.ts';
import type { RevocationGuard } from '../../src/revocation/revocation.ts';
import type { RecheckBrowser } from '../../src/web/browser/recheck.ts';
import { closeStages, openStage, type Stage } from '../unit/web/harness.ts';
import { startConsole, TestBrowser, type TestConsole } from './console.ts';
import { makeCertificate } from './upstream.ts';

export const MAIN = 'https://portcullis.test';
export const HEADLAMP = 'https://headlamp.test';
export const OTHER = 'https://other.test';

/** What a browser adds to a request of the page's own script. */
export const OWN_FETCH = {
  accept: '*/*',
  'sec-fetch-mode': 'cors',
  'sec-fetch-dest': 'empty',
  'sec-fetch-site': 'same-origin',
} as const;

/** `prod` is for the platform group, `staging` for every user. */
const mayUse = (cluster: string, { groups }: Identity): boolean =>
  cluster === 'staging' || groups.includes('corp:platform');

export interface ConsoleStage {
  readonly web: Stage;
  /** http, for `staging`. */
  readonly headlamp: TestConsole;
  /** https, for `prod`. */
  readonly other: TestConsole;
  readonly port: number;
  readonly ca: string;
  /** Public half of the key that signs. */
  readonly jwk: JWK;
  /** How often the store was asked to mint for a console. */
  mints(): number;
  newBrowser(): TestBrowser;
  /** The one session there is. */
  soleSession(): Promise<string>;
  /** A WebSocket at Headlamp's host, or the status with which it was rejected. */
  openSocket(browser: TestBrowser, origin: string): Promise<WebSocket | number>;
  close(): Promise<void>;
}

/**
 * @param recheck absent: no provider is asked again
 * @param space absent: connections of the web listener have no limit
 */
export async function openConsoleStage(
  recheck?: RecheckBrowser,
  limits?: Partial<Config['limits']>,
  space?: ConnectionSpaceOptions,
): Promise<ConsoleStage> {
  const [certificate, ofOther] = await Promise.all([makeCertificate('portcullis.test'), makeCertificate('other.test')]);
  const [headlamp, other] = await Promise.all([startConsole(), startConsole({ tls: ofOther })]);
  const { privateKey } = await generateKeyPair('ES256', { extractable: true });
  const privateJwk = { ...(await exportJWK(privateKey)), kid: 'k1' };
  const { d: _private, ...jwk } = privateJwk;
  let mints = 0;
  const server = createServer(certificate);
  const stage = await openStage({
    config: { publicUrl: MAIN },
    change: (deps) => {
      const guard = deps.guard as RevocationGuard;
      const mintToken = createConsoleTokens({
        config: { publicUrl: MAIN, sessions: { accessToken: 300 } },
        sessions: {
          mint: (id, options) => {
            mints += 1;
            return deps.store.sessions.mint(id, options);
          },
        },
        guard,
        audiences: {
          allows: (audience, { identity }) => mayUse(audience.split(':').at(-1) ?? '', identity),
          delegationOver: () => undefined,
        },
        signingKey: () => ({ kid: 'k1', alg: 'ES256', privateJwk }),
        clock: deps.clock,
      });
      const ca = () => ofOther.cert;
      // Its certificate is for its address and for another name.
      const misnamed = other.server.replace('127.0.0.1', 'localhost');
      const consoles = [
        { name: 'headlamp', host: 'headlamp.test', cluster: 'staging', server: headlamp.server },
        { name: 'other', host: 'other.test', cluster: 'prod', server: other.server, ca },
        { name: 'unsigned', host: 'unsigned.test', cluster: 'prod', server: other.server },
        { name: 'misnamed', host: 'misnamed.test', cluster: 'prod', server: misnamed, ca },
      ];
      const asked = recheck === undefined ? {} : { recheck };
      const config = { ...deps.config, limits: { ...deps.config.limits, ...limits } };
      return { ...deps, ...asked, config, consoles: { consoles, guard, mintToken, mayUse } };
    },
  });
  stage.web.serve(server);
  if (space !== undefined) {
    server.maxConnections = limits?.connections ?? 1000;
    keepSpace(server, space);
  }
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const ca = certificate.cert;
  return {
    web: stage,
    headlamp,
    other,
    port,
    ca,
    jwk,
    mints: () => mints,
    newBrowser: () => new TestBrowser({ port, ca }),
    soleSession: async () => (await stage.store.sessions.list({ limit: 1 })).sessions[0]?.id ?? '',
    openSocket: (browser, origin) => {
      const headers = { host: 'headlamp.test', cookie: browser.cookieHeader('headlamp.test') };
      const socket = new WebSocket(`wss://127.0.0.1:${port}/wsMultiplexer`, 'v5.channel.k8s.io', {
        ca,
        headers: { ...headers, ...(origin !== '' && { origin }) },
      });
      socket.on('error', () => undefined);
      return new Promise((resolve) => {
        socket.on('open', () => resolve(socket));
        socket.on('unexpected-response', (_req, answer: IncomingMessage) => resolve(answer.statusCode ?? 0));
      });
    },
    close: async () => {
      server.closeAllConnections();
      server.close();
      await closeStages();
      await Promise.all([headlamp.close(), other.close()]);
    },
  };
}

/** From a console's address over the provider into the console. */
export async function signInAt(browser: TestBrowser, user: string, address: string): ReturnType<TestBrowser['visit']> {
  const chosen = await browser.visit(address);
  const start = /href="(\/login\/start\?[^"]*provider=corp)"/.exec(chosen.text)?.[1]?.replaceAll('&amp;', '&') ?? '';
  const atProvider = await browser.visit(`${MAIN}${start}`);
  const state = new URL(atProvider.url).searchParams.get('state') ?? '';
  return browser.visit(`${MAIN}/callback/corp?code=${user}&state=${state}`);
}

/**
 * A server on https, an administrator at a browser, and places from which a page may attack them: another site, a sibling below the same domain,
 * a console's own host, and a pod behind the api listener.
 */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Browser, BrowserContext } from 'playwright-core';
import { loadConfig } from '../../src/config/load.ts';
import { OPEN_SECONDS, type AccessRequest } from '../../src/core/access/request.ts';
import { termsOf, type AccessRole } from '../../src/core/access/role.ts';
import type { AuditEvent } from '../../src/core/audit/event.ts';
import { auditEvents } from '../../demo/audit-events.ts';
import { makeCertificates } from '../../demo/certificates.ts';
import { demoPorts, USERS } from '../../demo/demo.ts';
import { DEMO_CLIENT_ID, DEMO_PROVIDER, demoUrls, writeDemoFiles } from '../../demo/files.ts';
import { startIdentityProvider } from '../../demo/idp/provider.ts';
import { startServer, type RunningServer } from '../../src/server/serve.ts';
import { page, startConsole } from '../support/console.ts';
import { freePortBase, temporaryFolder } from '../support/instance.ts';
import { newClientKey, OAuthClient } from '../support/oauth-client.ts';
import { openChromium, signedInContext } from '../support/pages-browser.ts';
import { startUpstream, type RecordingUpstream } from '../support/upstream.ts';

const DOMAIN = 'portcullis.test';

/** A role that alice asks for, and root approves or asks for too. */
const ACCESS_ROLE: AccessRole = {
  name: 'shop-admins',
  description: 'Repairs in the shop',
  groups: ['granted:shop-admins'],
  requesters: ['demo:developers', 'demo:admins'],
  approval: { groups: ['demo:admins'], count: 1 },
  longest: 3600,
};

/** From where a page attacks. */
export const ATTACKERS = ['another site', 'a sibling host', 'the host of a console'] as const;
export type Attacker = (typeof ATTACKERS)[number];

export interface HostileStage {
  readonly server: RunningServer;
  readonly browser: Browser;
  /** The server's pages. */
  readonly main: string;
  /** Of the identity provider. */
  readonly issuer: string;
  /** The api listener, under a sibling's name. */
  readonly api: string;
  /** What is behind the api listener: pods that answer what they like. */
  readonly pods: RecordingUpstream;
  readonly origins: Readonly<Record<Attacker, string>>;
  /** Signed in as root, at the console too. */
  context(): Promise<BrowserContext>;
  /** At a terminal. */
  readonly alice: OAuthClient;
  /** Sessions, locks, access requests, and how many entries the revocation log has: what only the administrator may change. */
  state(): Promise<string>;
  recorded(): Promise<readonly AuditEvent[]>;
  close(): Promise<void>;
}

const EMPTY = '<!doctype html><title>Hostile</title><h1>You have won</h1>';

async function startHostileSite(tls: { readonly cert: string; readonly key: string }) {
  const server = createServer(tls, page(EMPTY)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

async function stateOf({ store }: RunningServer): Promise<string> {
  const { sessions } = await store.sessions.list({ limit: 100 });
  const locks = await store.locks.list();
  const { number } = await store.log.position();
  const { requests } = await store.access.list({ limit: 100 });
  const access = requests.map(({ request: { id, state } }) => `${id} ${state}`);
  const ids = sessions.map(({ id, account }) => `${account} ${id}`).toSorted();
  return JSON.stringify({ sessions: ids, locks, number, access }, null, 1);
}

/** A session asks for a role, or has it already. */
export async function openAccessRequest({ store }: RunningServer, session: string, granted: boolean): Promise<void> {
  const found = await store.sessions.read(session);
  if (found === undefined) throw new Error('there is no such session');
  const { account, provider, identity, knownAs = [], address } = found;
  const now = Math.floor(Date.now() / 1000);
  const request: AccessRequest = {
    id: randomBytes(16).toString('base64url'),
    session,
    account,
    provider,
    username: identity.username,
    knownAs,
    address,
    terms: termsOf(ACCESS_ROLE),
    reason: 'INC-4711',
    seconds: 3600,
    requestedAt: now,
    openUntil: now + OPEN_SECONDS,
    state: granted ? 'granted' : 'open',
    decisions: [],
  };
  const written = await store.access.create(request, granted ? { grantSeconds: 3600 } : {});
  if (!written.ok) throw new Error(`the request was refused: ${written.reason}`);
}

/** Signed in as root at the server's pages and at the console. */
async function signInAsRoot(browser: Browser, main: string, console: string): Promise<BrowserContext> {
  const context = await signedInContext(browser, main, 'root');
  const entered = await context.newPage();
  await entered.goto(console);
  await entered.waitForURL(`${console}/`);
  await entered.close();
  return context;
}

/** The demo's server on https, with its own names, a console, and pods that answer what they like in the place of a cluster. */
async function startInstance(ports: ReturnType<typeof demoPorts>, hostile: string, pods: RecordingUpstream) {
  const directory = await temporaryFolder();
  const main = `https://main.${DOMAIN}:${ports.web}`;
  const certificates = await makeCertificates(['localhost', '127.0.0.1', `*.${DOMAIN}`, 'evil.test'], Date.now());
  const upstream = { server: pods.server, ca: pods.ca, token: 'of-the-gate' };
  const files = await writeDemoFiles({ directory, ports, certificates, upstream });
  const redirectUris = [`${main}/callback/${DEMO_PROVIDER}`];
  const identityProvider = await startIdentityProvider({
    port: ports.idp,
    users: USERS,
    client: { clientId: DEMO_CLIENT_ID, clientSecret: files.clientSecret, redirectUris },
  });
  const loaded = await loadConfig({ file: files.config, env: {} });
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.reason));
  const { config } = loaded.value;
  const { certFile, keyFile } = config.listen.api;
  const server = await startServer({
    ...config,
    publicUrl: main,
    listen: { ...config.listen, web: { ...config.listen.web, tls: { certFile, keyFile } } },
    clusters: config.clusters.map((cluster) => ({ ...cluster, hosts: ['localhost', `pods.${DOMAIN}`] })),
    consoles: [{ name: 'hostile', host: `hostile.${DOMAIN}`, cluster: 'demo', server: hostile }],
    access: { ...config.access, roles: [ACCESS_ROLE] },
    limits: { ...config.limits, signInsPerMinute: 1000 },
    // Each try is looked for, and they are many.
    audit: { ...config.audit, rejectionsPerMinute: 10_000 },
  });
  await server.ready;
  const close = async (): Promise<void> => {
    await server.stop();
    await identityProvider.close();
    await rm(directory, { recursive: true, force: true });
  };
  return { server, main, certificates, files, close };
}

export async function openHostileStage(): Promise<HostileStage> {
  const ports = demoPorts(await freePortBase());
  const [pods, hostile] = await Promise.all([startUpstream(), startConsole()]);
  hostile.answer = page(EMPTY);
  const instance = await startInstance(ports, hostile.server, pods);
  const { server, main, certificates } = instance;
  const site = await startHostileSite(certificates);
  const alice = new OAuthClient(
    { web: main, api: `https://localhost:${ports.api}`, ca: certificates.ca },
    await newClientKey(),
  );
  const browser = await openChromium([`--host-resolver-rules=MAP *.test 127.0.0.1`, '--ignore-certificate-errors']);
  const origins = {
    'another site': `https://evil.test:${site.port}`,
    'a sibling host': `https://sibling.${DOMAIN}:${site.port}`,
    'the host of a console': `https://hostile.${DOMAIN}:${ports.web}`,
  };
  return {
    server,
    browser,
    main,
    issuer: demoUrls(ports).issuer,
    api: `https://pods.${DOMAIN}:${ports.api}`,
    pods,
    origins,
    alice,
    context: () => signInAsRoot(browser, main, origins['the host of a console']),
    state: () => stateOf(server),
    async recorded() {
      return auditEvents({ server, files: instance.files });
    },
    async close() {
      await browser.close();
      await alice.close();
      await instance.close();
      await Promise.all([pods.close(), hostile.close(), site.close()]);
    },
  };
}

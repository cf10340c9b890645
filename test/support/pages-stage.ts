/** A server with something on every page: users at browsers and at terminals, a revocation, a lock, and names that are hard to lay out. */
import { randomBytes } from 'node:crypto';
import type { Browser, BrowserContext } from 'playwright-core';
import { expect, vi } from 'vitest';
import { ADMIN_AUDIENCE, clusterAudience, SELF_AUDIENCE } from '../../src/core/core.ts';
import type { RunningDemo } from '../../demo/launch.ts';
import type { SessionRecord } from '../../src/store/store.ts';
import { startTestInstance, type TestInstance } from './instance.ts';
import { newClientKey, OAuthClient } from './oauth-client.ts';
import { ACCESS_ROLES, openAccess, type PagesAccess } from './pages-access.ts';
import { openAgents, openDelegated } from './pages-delegated.ts';
import { openChromium, signedInContext } from './pages-browser.ts';

export type TestUser = 'alice' | 'root' | 'vera';
/** Who looks at a page. */
export type Who = TestUser | 'anonymous';

type Cookies = Awaited<ReturnType<BrowserContext['cookies']>>;

export interface PagesStage {
  readonly instance: RunningDemo;
  readonly browser: Browser;
  /** alice's session at a terminal, with requests of hers. */
  readonly session: string;
  readonly access: PagesAccess;
  /** A revocation that is complete. */
  readonly revocation: string;
  /** A separate context for each call, in which this user is signed in. */
  context(who: Who, options?: { readonly javaScriptEnabled?: boolean }): Promise<BrowserContext>;
  /** A code that a device waits with. */
  userCode(): Promise<string>;
  /** The page to which a program of alice's leads for a step-up. */
  stepUp(): Promise<string>;
  stop(): Promise<void>;
}

/** In addition to the demo's, so that there is a choice; no server listens at their addresses. */
const FURTHER = ['keycloak', 'okta', 'oidc'].map((type) => ({
  type,
  name: `by-${type}`,
  issuer: 'https://localhost:1',
}));

/** Two clusters, one of them away; several providers; and as many sign-ins as a test needs from one address. */
const startInstance = (): Promise<TestInstance> =>
  startTestInstance({
    file: (settings, { urls }) => {
      const [demo] = settings['providers'] as readonly object[];
      const [cluster] = settings['clusters'] as readonly object[];
      const publicUrl = `${urls.api}/clusters/away`;
      const away = { ...cluster, name: 'away', hosts: ['away.localhost'], publicUrl, server: 'https://localhost:1' };
      const providers = FURTHER.map((further) => ({ ...demo, ...further, usernamePrefix: `${further.name}:` }));
      return {
        ...settings,
        providers: [demo, ...providers],
        clusters: [cluster, away],
        access: { roles: ACCESS_ROLES },
      };
    },
    loaded: (config) => ({ ...config, limits: { ...config.limits, signInsPerMinute: 1000 } }),
  });

const PODS = '/api/v1/namespaces/default/pods';

/** As long as a name may be, without a place to break it; and one that is written from right to left. */
const HARD_NAMES = [`demo:${'w'.repeat(240)}`, 'demo:أليس@شركة.example', 'demo:Übermüdung–Zoë 東京'];
const HARD_DEVICES = ['w'.repeat(64), 'حاسوب أليس', '東京のノートパソコン'];

type Opened = Pick<SessionRecord, 'id' | 'subject' | 'identity' | 'userAgent'> & { readonly deviceName: string };

async function open({ guard, store }: RunningDemo['server'], session: Opened): Promise<void> {
  const { position } = guard;
  if (position === undefined) throw new Error('the server has no lease');
  const now = Math.floor(Date.now() / 1000);
  const opened = await store.sessions.open(
    {
      ...session,
      account: `demo/${session.subject}`,
      provider: 'demo',
      client: 'portcullis-cli',
      createdAt: now,
      expiresAt: now + 3600,
      idleSeconds: 3600,
      address: '2001:db8:1234:5678:9abc:def0:1234:5678',
      startedAt: position,
    },
    {},
  );
  if (!opened.ok) throw new Error(`the session was refused: ${opened.reason}`);
}

const hardSession = (username: string, index: number): Opened => ({
  id: `hard-${index}`,
  subject: `hard-${index}`,
  identity: { username, uid: `demo/hard-${index}`, groups: [`demo:${'g'.repeat(120)}`], extra: {} },
  userAgent: `portcullis/0.1.0-${'x'.repeat(200)}`,
  deviceName: HARD_DEVICES[index] ?? '',
});

/** One user with more sessions than a page shows. */
const oneOfMany = (_: unknown, index: number): Opened => ({
  id: randomBytes(16).toString('base64url'),
  subject: 'many',
  identity: { username: 'demo:many@demo.example', uid: 'demo/many', groups: ['demo:developers'], extra: {} },
  userAgent: `Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/${100 + index}.0.0.0 Safari/537.36`,
  deviceName: `many-laptop-${index}`,
});

/** Where there are several providers, the program names one, or the user chooses. */
async function signIn(client: OAuthClient, user: string, resource: Readonly<Record<string, string>> = {}) {
  const extra = { provider: 'demo', device_name: 'w'.repeat(64) };
  const { callback, verifier } = await client.authorize(user, { extra });
  const { body } = await client.redeem(callback.searchParams.get('code') ?? '', verifier, resource);
  const { session } = body['portcullis'] as { readonly session: { readonly id: string } };
  return { accessToken: String(body['access_token']), session: session.id };
}

/** As many requests of alice's at a terminal as are kept, some of them rejected by the cluster. @returns her session */
async function workAs(client: OAuthClient, { store }: RunningDemo['server']): Promise<string> {
  const { accessToken, session } = await signIn(client, 'alice', { resource: clusterAudience('demo') });
  const paths = [PODS, `${PODS}/web-1`, `${PODS}/web-1/log?tailLines=1`, '/api/v1/namespaces/payments/secrets'];
  for (let round = 0; round < 15; round += 1) for (const path of paths) await client.get(path, accessToken);
  // They are written off the request path.
  await vi.waitFor(async () => expect(await store.recent.read(session)).toHaveLength(50), 10_000);
  return session;
}

async function revokeBob(root: OAuthClient): Promise<string> {
  const { accessToken } = await signIn(root, 'root', { resource: ADMIN_AUDIENCE });
  const { status, body } = await root.postJson('/-/admin/api/v1/revocations', accessToken, {
    account: 'demo/bob',
    lock: true,
    reason: 'INC-4711: laptop left in a train',
  });
  if (status !== 200) throw new Error(`the revocation failed: ${JSON.stringify(body)}`);
  return String(body['id']);
}

export async function startPagesStage(): Promise<PagesStage> {
  const instance = await startInstance();
  const browser = await openChromium();
  const endpoints = instance;
  const client = async (): Promise<OAuthClient> => new OAuthClient(endpoints, await newClientKey());
  const [alice, bob, root] = await Promise.all([client(), client(), client()]);
  const session = await workAs(alice, instance.server);
  const ofBob = await signIn(bob, 'bob', { resource: clusterAudience('demo') });
  await openDelegated(instance.server, { id: 'delegated-bob', parent: ofBob.session, actor: { name: 'nightly' } });
  const revocation = await revokeBob(root);
  for (const one of [...Array.from({ length: 55 }, oneOfMany), ...HARD_NAMES.map(hardSession)])
    await open(instance.server, one);
  await openAgents(instance.server, session);
  const self = async (user: string) => {
    const own = await client();
    const { accessToken } = await signIn(own, user, { resource: SELF_AUDIENCE });
    return { client: own, accessToken };
  };
  const [aliceSelf, rootSelf] = await Promise.all([self('alice'), self('root')]);
  const access = await openAccess(aliceSelf, rootSelf);
  const cookies = new Map<Who, Cookies>();
  for (const user of ['alice', 'root', 'vera'] as const) {
    const context = await signedInContext(browser, instance.urls.web, user);
    cookies.set(user, await context.cookies());
    await context.close();
  }
  return {
    instance,
    browser,
    session,
    access,
    revocation,
    async context(who, options = {}) {
      const context = await browser.newContext(options);
      await context.addCookies(cookies.get(who) ?? []);
      return context;
    },
    async userCode() {
      const { body } = await alice.post('/-/oauth/device', { client_id: 'portcullis-cli' });
      return String(body['user_code']);
    },
    async stepUp() {
      const { accessToken } = await signIn(alice, 'alice', { resource: SELF_AUDIENCE });
      const { body } = await alice.postJson('/-/step-up', accessToken, { redirect: 'http://127.0.0.1:9/callback' });
      return String(body['url']);
    },
    async stop() {
      await browser.close();
      await Promise.all([alice, bob, root, aliceSelf.client, rootSelf.client].map((one) => one.close()));
      await instance.stop();
    },
  };
}

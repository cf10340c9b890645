import { once } from 'node:events';
import { connect } from 'node:tls';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { USERS } from '../../demo/demo.ts';
import { Visitor } from '../../demo/visitor.ts';
import type { RunningDemo } from '../../demo/launch.ts';
import { startTestInstance } from '../support/instance.ts';
import { startHostileInstance, type HostileInstance } from '../support/hostile-instance.ts';
import type { Lies } from '../support/hostile-provider.ts';
import { CliContext } from '../support/kubectl.ts';
import type { ClientKey, SignedIn } from '../support/oauth-client.ts';

const LEFT = 'Users who have left may not use the clusters.';
const UNCONFIRMED = 'Your identity provider no longer confirms your sign-in (demo).';
const ENDED_BY_ADMIN = /ended by an administrator/;

const developer: NonNullable<Lies['idToken']> = (honest) => ({ ...honest, groups: ['developers'] });
/** How the provider or a rule rejects a user, the expected message, and whether the user has to authenticate again. */
const REJECTIONS: readonly (readonly [string, Lies, string, boolean])[] = [
  ['the provider', { token: () => ({ status: 400, body: '{"error":"invalid_grant"}' }) }, UNCONFIRMED, true],
  ['the provider in its own format', { token: () => ({ status: 400, body: '' }) }, UNCONFIRMED, true],
  [
    'a response for another user',
    { idToken: (honest) => developer({ ...honest, sub: '43' }) },
    'now returns another user',
    true,
  ],
  ['a rule', { idToken: (honest) => ({ ...honest, groups: ['left'] }) }, LEFT, false],
];

let instance: HostileInstance;
beforeAll(async () => {
  const rules = [{ expression: '!("left" in claims.groups)', message: LEFT }];
  instance = await startHostileInstance({ recheck: 1, recheckGrace: 60 }, { rules });
});
beforeEach(() => lie({}));
afterAll(() => instance.stop());

const lie = (lies: Lies): void => instance.provider.lie({ idToken: developer, ...lies });
const messageOf = (body: Record<string, unknown>): string => String(body['message'] ?? body['error_description']);

/** Keeps a watch open, so that the server re-checks its user. @returns everything that the watch received */
async function refusedWhileWatching({ accessToken, session }: SignedIn, lies: Lies): Promise<string> {
  const { cert, key } = instance.client.key as ClientKey;
  const port = Number(new URL(instance.client.endpoints.api).port);
  const socket = connect({ host: '127.0.0.1', port, servername: 'localhost', ca: instance.ca, cert, key });
  let heard = '';
  socket.setEncoding('utf8').on('data', (text: string) => (heard += text));
  socket.on('error', () => undefined);
  const closed = new Promise((resolve) => socket.once('close', resolve));
  await once(socket, 'secureConnect');
  const head = 'GET /api/v1/namespaces/default/pods?watch=1 HTTP/1.1\r\nHost: localhost\r\n';
  socket.write(`${head}Authorization: Bearer ${accessToken}\r\n\r\n`);
  await expect.poll(() => heard).toContain('200 OK');
  lie(lies);
  await closed;
  await expect.poll(() => instance.server.store.sessions.read(session)).toBeUndefined();
  return heard;
}

describe.each(REJECTIONS)('a user whom %s rejects', (_name, lies, message, isAsked) => {
  it('gets the reason at a refresh, at the token endpoint and at the cluster', async () => {
    const { refreshToken, accessToken } = await instance.client.signIn('alice');
    await instance.server.store.freshSignIns.lift('demo/42');
    lie(lies);
    const first = await instance.client.refresh(refreshToken);
    expect(first).toMatchObject({ status: 400, body: { error: 'invalid_grant' } });
    // A second command on the same laptop uses a refresh token that no longer exists.
    const second = await instance.client.refresh(refreshToken);
    const request = await instance.client.get('/version', accessToken);
    expect([second.status, request.status]).toEqual([400, 401]);
    for (const { body } of [first, second, request]) {
      expect(messageOf(body)).toContain(message);
      expect(messageOf(body)).not.toMatch(ENDED_BY_ADMIN);
    }
    expect(messageOf(request.body)).toContain('portcullis login --server');
    expect((await instance.server.store.freshSignIns.find('demo/42')) !== undefined).toBe(isAsked);
  });

  it('gets the reason in an open watch, at the next request and at the next refresh', async () => {
    const signedIn = await instance.client.signIn('alice');
    await instance.server.store.freshSignIns.lift('demo/42');
    const heard = await refusedWhileWatching(signedIn, lies);
    expect(heard).toContain('"type":"ERROR"');
    const request = await instance.client.get('/version', signedIn.accessToken);
    const refresh = await instance.client.refresh(signedIn.refreshToken);
    for (const said of [heard, messageOf(request.body), messageOf(refresh.body)]) {
      expect(said).toContain(message);
      expect(said).not.toMatch(ENDED_BY_ADMIN);
    }
    expect((await instance.server.store.freshSignIns.find('demo/42')) !== undefined).toBe(isAsked);
  });

  it('gets the reason at /me, in the browser through which the laptop was signed in', async () => {
    const alice = USERS.find(({ name }) => name === 'alice');
    if (alice === undefined) throw new Error('there is no user alice');
    const visitor = new Visitor(alice, { stopAt: 'http://127.0.0.1:9/callback' });
    const { web } = instance.client.endpoints;
    expect((await visitor.visit(`${web}/login?to=me`)).url).toBe(`${web}/me`);
    const { answer } = await instance.client.signIn('alice', {}, visitor);
    const { body } = answer;
    lie(lies);
    // A store that is slow for a moment rejects no user: 503.
    const refresh = async () => (await instance.client.refresh(String(body['refresh_token']))).status;
    await expect.poll(refresh).toBe(400);
    const page = await visitor.visit(`${web}/me`);
    expect(page.url).toBe(`${web}/login?to=me`);
    expect(page.html).toContain(message);
    // No other browser shows it.
    expect((await (await fetch(`${web}/login?to=me`)).text()).includes(message)).toBe(false);
    lie({});
    expect((await visitor.visit(`${web}/login/start?provider=demo&to=me`)).url).toBe(`${web}/me`);
  });
});

describe('a user whose session an administrator has ended', () => {
  it('gets the same message as before', async () => {
    const { session, accessToken } = await instance.client.signIn('alice');
    await instance.server.guard.revoke({ target: { kind: 'session', session } });
    const { status, body } = await instance.client.get('/version', accessToken);
    expect(status).toBe(401);
    expect(messageOf(body)).toMatch(ENDED_BY_ADMIN);
  });
});

describe('kubectl and the command line', () => {
  let laptop: CliContext;
  beforeEach(() => {
    laptop = new CliContext(instance, 'alice', { PORTCULLIS_NO_BROWSER: '' });
  });
  afterEach(() => laptop.close());

  it.each(REJECTIONS)('report why %s rejects the user, and offer a sign-in', async (_name, lies, message) => {
    const signedIn = await laptop.portcullis('login');
    expect(signedIn.code, signedIn.all).toBe(0);
    lie(lies);
    const unattended = new CliContext(instance, 'alice', { PORTCULLIS_NO_BROWSER: '1' });
    try {
      const whoami = await unattended.portcullis('whoami', '--verbose');
      expect(whoami.stderr).toContain(message);
      expect(whoami.stderr).toMatch(/Next: portcullis login --server/);
      expect(whoami.stderr).not.toMatch(/try again|you stay signed in/);
      // Every later command reports it too.
      const pods = await unattended.kubectl('get', 'pods');
      expect(pods.code).not.toBe(0);
      expect(pods.stderr).toContain(message);
      expect(pods.stderr).not.toMatch(ENDED_BY_ADMIN);
    } finally {
      unattended.close();
    }
  });
});

describe('a user whose account is locked', () => {
  let demo: RunningDemo;
  beforeAll(async () => {
    demo = await startTestInstance();
  });
  afterAll(() => demo.stop());

  it('is told whom to ask by kubectl and each command, and never to sign in', async () => {
    const [alice, root] = ['alice', 'root'].map((user) => new CliContext(demo, user));
    if (alice === undefined || root === undefined) throw new Error('there are two');
    try {
      expect((await alice.kubectl('get', 'namespaces')).code).toBe(0);
      expect((await root.portcullis('login')).code).toBe(0);
      const locked = await root.portcullis('lock', 'demo/alice', '--reason', 'INC-1');
      expect(locked.code, locked.all).toBe(0);
      const unattended = new CliContext(demo, 'alice', { PORTCULLIS_NO_BROWSER: '1' });
      for (const run of [() => unattended.portcullis('whoami'), () => unattended.kubectl('get', 'ns')]) {
        const { code, stderr } = await run();
        expect(code).not.toBe(0);
        expect(stderr).toContain('Your account was locked by an administrator, which has ended your session.');
        expect(stderr).toMatch(/ask your platform team to unlock it/i);
        expect(stderr).not.toContain('portcullis login');
      }
    } finally {
      alice.close();
      root.close();
    }
  });
});

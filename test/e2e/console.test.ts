/**
 * Consoles at a real browser, in the layout that favours an attacker most: every name is a sibling below one domain, so for `SameSite` a
 * hostile console and the admin pages are the same site. https, so that our cookies have their `__Host-` prefix.
 */
import { once } from 'node:events';
import { readFile, rm } from 'node:fs/promises';
import { request } from 'node:https';
import type { IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { decodeJwt } from 'jose';
import { chromium, type Browser, type BrowserContext, type Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { makeCertificates } from '../../demo/certificates.ts';
import { demoPorts, USERS } from '../../demo/demo.ts';
import { DEMO_CLIENT_ID, DEMO_PROVIDER, demoUrls, writeDemoFiles } from '../../demo/files.ts';
import { startIdentityProvider } from '../../demo/idp/provider.ts';
import { startDemoCluster } from '../../demo/upstream.ts';
import { startServer, type RunningServer } from '../../src/server/serve.ts';
import { page as answeredPage, startConsole, type TestConsole } from '../support/console.ts';
import { freePortBase, temporaryFolder } from '../support/instance.ts';
import { signInAtProvider } from '../support/pages-browser.ts';

const DOMAIN = 'portcullis.test';
/** Seconds; less than any configuration may say, and enough to read a Secret after a step-up. */
const MAX_AGE = 8;
const CHROMIUM = {
  executablePath: '/usr/bin/chromium-headless-shell',
  args: [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-background-networking',
    `--host-resolver-rules=MAP *.${DOMAIN} 127.0.0.1`,
    // The pages' certificate is signed by a CA of this test.
    '--ignore-certificate-errors',
  ],
};

interface Stage {
  readonly server: RunningServer;
  readonly headlamp: TestConsole;
  readonly hostile: TestConsole;
  readonly at: Readonly<Record<'main' | 'headlamp' | 'hostile' | 'api', string>>;
  readonly ca: string;
  readonly upstreamToken: string;
  readonly recorded: () => Promise<string>;
  readonly close: () => Promise<void>;
}

async function openStage(): Promise<Stage> {
  const directory = await temporaryFolder();
  const ports = demoPorts(await freePortBase());
  const urls = demoUrls(ports);
  const at = {
    main: `https://main.${DOMAIN}:${ports.web}`,
    headlamp: `https://headlamp.${DOMAIN}:${ports.web}`,
    hostile: `https://hostile.${DOMAIN}:${ports.web}`,
    api: urls.api,
  };
  const certificates = await makeCertificates(['localhost', '127.0.0.1', `*.${DOMAIN}`], Date.now());
  const cluster = await startDemoCluster({ port: ports.cluster, certificates });
  const files = await writeDemoFiles({ directory, ports, certificates, upstream: cluster.upstream });
  const identityProvider = await startIdentityProvider({
    port: ports.idp,
    users: USERS,
    client: {
      clientId: DEMO_CLIENT_ID,
      clientSecret: files.clientSecret,
      redirectUris: [`${at.main}/callback/${DEMO_PROVIDER}`],
    },
  });
  const apiServer = { url: urls.api, ca: certificates.ca };
  const [headlamp, hostile] = await Promise.all([startConsole({ apiServer }), startConsole()]);
  const loaded = await loadConfig({ file: files.config, env: {} });
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.reason));
  const { config } = loaded.value;
  const tls = { certFile: config.listen.api.certFile, keyFile: config.listen.api.keyFile };
  const server = await startServer({
    ...config,
    publicUrl: at.main,
    listen: { ...config.listen, web: { ...config.listen.web, tls } },
    consoles: [
      { name: 'headlamp', host: `headlamp.${DOMAIN}`, cluster: 'demo', server: headlamp.server },
      { name: 'hostile', host: `hostile.${DOMAIN}`, cluster: 'demo', server: hostile.server },
    ],
    clockSkew: 1,
    stepUp: [{ rules: [{ verbs: ['get'], apiGroups: [''], resources: ['secrets'] }], maxAge: MAX_AGE }],
  });
  await server.ready;
  return {
    server,
    headlamp,
    hostile,
    at,
    ca: certificates.ca,
    upstreamToken: cluster.upstream.token,
    recorded: async () => {
      const files = ['audit.log', 'audit.log.rejected'].map((file) => readFile(join(directory, file), 'utf8'));
      return (await Promise.all(files)).join('');
    },
    close: async () => {
      await server.stop();
      await Promise.all([headlamp.close(), hostile.close(), identityProvider.close(), cluster.close()]);
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** What Headlamp's page does, as far as Portcullis can tell: it lists pods by `fetch`, and opens a shell by WebSocket. */
const HEADLAMP_PAGE = `<!doctype html><title>Headlamp</title><h1>Headlamp</h1><pre id="pods"></pre><pre id="shell"></pre>
<script>
const api = '/clusters/main/api/v1/namespaces/default/pods';
fetch(api).then((answer) => answer.json()).then((list) => {
  document.getElementById('pods').textContent = list.items.map((pod) => pod.metadata.name).join(' ');
});
const shell = document.getElementById('shell');
const socket = new WebSocket('wss://' + location.host + api + '/web-1/exec?command=sh&stdin=true&stdout=true&stderr=true', ['v5.channel.k8s.io']);
socket.binaryType = 'arraybuffer';
socket.onmessage = ({ data }) => { shell.textContent += new TextDecoder().decode(data).slice(1); };
socket.onclose = ({ code }) => { shell.textContent += ' closed ' + code; };
socket.onopen = () => { socket.send('\\u0000echo from-the-pod\\n'); };
</script>`;

/** Everything that a page's script can try against its siblings, with what came of it. */
const hostilePage = (
  at: Stage['at'],
  session: string,
): string => `<!doctype html><title>Hostile</title><body><pre id="found"></pre>
<script>
const main = '${at.main}', console = '${at.headlamp}';
const tried = (work) => work.then(() => 'sent', () => 'blocked');
const cookies = { credentials: 'include' };
const plain = { ...cookies, method: 'POST', mode: 'no-cors' };
const json = { ...cookies, method: 'POST', headers: { 'content-type': 'application/json', 'x-csrf-token': 'guess' } };
const body = JSON.stringify({ session: '${session}', reason: 'hostile' });
const form = new URLSearchParams({ kind: 'all', value: '', reason: 'hostile', csrf: 'guess' });
const socket = new WebSocket(console.replace('https', 'wss') + '/wsMultiplexer');
const socketEnd = new Promise((resolve) => {
  socket.onopen = () => resolve('opened');
  socket.onerror = () => resolve('refused');
});
const frame = document.createElement('iframe');
frame.src = main + '/me';
const framed = new Promise((resolve) => { frame.onload = resolve; });
document.body.append(frame);
let opened;
const readable = () => { try { return frame.contentDocument === null ? 'blocked' : 'readable'; } catch { return 'blocked'; } };
const found = {};
const seen = (what, came) => {
  found[what] = came;
  document.getElementById('found').textContent = JSON.stringify(found);
};
(async () => {
  await framed;
  seen('cookies', document.cookie);
  seen('read', await tried(fetch(main + '/admin/api/v1/sessions', cookies)));
  seen('revoke', await tried(fetch(main + '/admin/api/v1/revocations', { ...plain, body })));
  seen('revokeAsJson', await tried(fetch(main + '/admin/api/v1/revocations', { ...json, body })));
  seen('form', await tried(fetch(main + '/admin/revoke', { ...plain, body: form })));
  seen('readConsole', await tried(fetch(console + '/clusters/main/api/v1/pods', cookies)));
  seen('changeConsole', await tried(fetch(console + '/clusters/main/api/v1/pods', { ...plain, body: '{}' })));
  seen('socket', await socketEnd);
  seen('framed', readable());
  // Last: behind the window that it has opened a page is hidden, and what it waits for comes late or not at all.
  opened = window.open(main + '/admin');
  seen('window', opened === null ? 'blocked' : 'asked for');
})();
</script>`;

describe('consoles at a real browser', () => {
  let stage: Stage;
  let browser: Browser;
  let context: BrowserContext;
  let page: Page;

  beforeAll(async () => {
    stage = await openStage();
    stage.headlamp.answer = answeredPage(HEADLAMP_PAGE);
    browser = await chromium.launch(CHROMIUM);
  });
  afterAll(async () => {
    await browser.close();
    await stage.close();
  });
  beforeEach(async () => {
    context = await browser.newContext();
    page = await context.newPage();
  });
  afterEach(() => context.close());

  async function signIn(user: string, address: string): Promise<void> {
    await page.goto(address);
    await page.getByLabel('Name').fill(user);
    await page.getByLabel('Password').fill(`${user}-demo`);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('button', { name: 'Share and go on' }).click();
    await page.waitForURL(`${new URL(address).origin}/**`);
  }

  const shell = (): Promise<string> => page.locator('#shell').innerText();

  it('shows a user their cluster through Headlamp, a shell by WebSocket included, as themselves; and cuts it immediately', async () => {
    await signIn('alice', `${stage.at.headlamp}/c/main/pods`);
    expect(page.url()).toBe(`${stage.at.headlamp}/c/main/pods`);
    await expect.poll(() => page.locator('#pods').innerText()).toContain('web-1');
    await expect.poll(shell, { timeout: 15_000 }).toContain('from-the-pod');
    const lines = (await stage.recorded()).split('\n').filter((line) => line.includes('"subresource":"exec"'));
    expect(lines.some((line) => line.includes('"username":"demo:alice"'))).toBe(true);

    const answer = await stage.server.guard.revoke({ target: { kind: 'all' } });
    // The WebSocket at the console, and the one that the console has at the api listener.
    expect(answer.streamsClosed).toBeGreaterThanOrEqual(2);
    await expect.poll(shell).toContain('closed 1006');
    await page.goto(`${stage.at.headlamp}/again`);
    // It is told why, and then goes to the one provider that there is.
    await page.getByText('Your session here was ended').waitFor();
    await page.getByRole('link', { name: 'Sign in with demo' }).click();
    await expect.poll(() => page.getByRole('button', { name: 'Share and go on' }).isVisible()).toBe(true);
  });

  it('tells a page in a console where its user steps up, and lets it read Secrets then', async () => {
    await signIn('root', `${stage.at.headlamp}/`);
    const read = (): Promise<unknown> =>
      page.evaluate(`fetch('/clusters/main/api/v1/namespaces/default/secrets').then(async (answer) =>
        answer.status + ' ' + (answer.ok ? '' : (await answer.json()).message))`);
    await expect.poll(read, { timeout: 30_000 }).toContain(`; open ${stage.at.main}/step-up/me, sign in there`);
    expect(await read()).toMatch(/^403 /);
    const proving = await context.newPage();
    await proving.goto(`${stage.at.main}/step-up/me`);
    await proving.getByRole('link', { name: 'Sign in again' }).click();
    await signInAtProvider(proving, 'root');
    await proving.waitForURL(`${stage.at.main}/step-up/done`);
    expect(await read()).toBe('200 ');
  });

  it('leaves a hostile console’s page nothing to do at the admin pages or at another console', async () => {
    await signIn('root', `${stage.at.main}/admin`);
    await page.goto(`${stage.at.headlamp}/`);
    await expect.poll(() => page.locator('#pods').innerText()).toContain('web-1');
    const session = (await stage.server.store.sessions.list({ limit: 1 })).sessions[0]?.id ?? '';
    stage.headlamp.seen.length = 0;
    stage.hostile.answer = answeredPage(hostilePage(stage.at, session));
    await page.goto(`${stage.at.hostile}/`);
    const found = async (): Promise<unknown> => JSON.parse((await page.locator('#found').innerText()) || '{}');
    await expect.poll(found).toEqual({
      cookies: '',
      read: 'blocked',
      revoke: 'blocked',
      revokeAsJson: 'blocked',
      form: 'blocked',
      readConsole: 'blocked',
      changeConsole: 'blocked',
      socket: 'refused',
      framed: 'blocked',
      window: 'asked for',
    });
    // A page with Cross-Origin-Opener-Policy leaves its opener with a window that counts as closed. Asked from here: the page is hidden.
    await expect.poll(() => page.evaluate('opened.closed')).toBe(true);
    // What reached the other console is nothing; what reached the admin pages was rejected for where it came from.
    expect(stage.headlamp.seen).toEqual([]);
    const lines = (await stage.recorded()).split('\n');
    const refused = lines.filter((line) => line.includes('"foreign_origin"'));
    expect(refused.some((line) => line.includes('"requestURI":"/admin/revoke"'))).toBe(true);
    // The browser did send the administrator's cookie along: siblings are one site.
    const asRoot = refused.filter((line) => line.includes('/admin/api/v1/revocations') && line.includes('demo:root'));
    expect(asRoot).toHaveLength(1);
    expect(lines.filter((line) => line.includes('"verb":"revocation"'))).toEqual([]);
    expect(await stage.server.store.sessions.read(session)).toBeDefined();
    // The user is still signed in everywhere.
    await page.goto(`${stage.at.main}/admin`);
    expect(await page.textContent('main')).toContain('demo:root');
  });

  it('gives a hostile console nothing but a token of minutes for one cluster', async () => {
    await signIn('root', `${stage.at.hostile}/`);
    const seen = JSON.stringify(stage.hostile.seen);
    expect(seen).not.toContain(stage.upstreamToken);
    const ours = (await context.cookies()).filter(({ name }) => name.startsWith('__Host-portcullis'));
    expect(ours.map(({ name }) => name).toSorted()).toEqual(
      expect.arrayContaining(['__Host-portcullis', '__Host-portcullis-console']),
    );
    // The name of the provider that was used last is no secret.
    const secrets = ours.filter(({ name }) => name !== '__Host-portcullis-provider');
    for (const { value } of secrets) expect(seen).not.toContain(value);
    const tokens = new Set(stage.hostile.seen.map(({ headers }) => headers.authorization?.replace('Bearer ', '')));
    expect(tokens.size).toBeGreaterThan(0);
    for (const token of tokens) {
      expect(decodeJwt(token ?? '')).toMatchObject({
        aud: 'urn:portcullis:cluster:demo',
        client_id: 'console:hostile',
      });
    }
    const token = stage.hostile.seen.at(-1)?.headers.authorization ?? '';
    expect(await asked(stage, '/api/v1/namespaces/default/pods', token)).toBe(200);
    // An administrator's token at the console opens nothing of Portcullis itself.
    expect(await asked(stage, '/-/admin/api/v1/sessions', token)).toBe(401);
    const recorded = await stage.recorded();
    expect(recorded).toContain('"portcullis.dev/event":"console-entered"');
    expect(recorded).not.toContain(token.slice(7));
  });
});

function asked(stage: Stage, path: string, authorization: string): Promise<number> {
  const outgoing = request(`${stage.at.api}${path}`, { ca: stage.ca, agent: false, headers: { authorization } });
  outgoing.end();
  return once(outgoing, 'response').then(([answer]: IncomingMessage[]) => {
    answer?.resume();
    return answer?.statusCode ?? 0;
  });
}

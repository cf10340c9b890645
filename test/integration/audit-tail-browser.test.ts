/** The live audit log as the browser of an admin page receives it: by cookie. */
import { once } from 'node:events';
import { createServer, get, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, onTestFinished, test } from 'vitest';
import { createLiveTails } from '../../src/audit/audit.ts';
import { createMemoryStore } from '../../src/store/memory/memory.ts';
import { cookiesOf } from '../unit/web/cookies.ts';
import {
  annotation,
  closeStages,
  openSession,
  PUBLIC_URL,
  signedInAs,
  type AdminAt,
  type StageOptions,
} from '../unit/web/harness.ts';

const PATH = '/admin/api/v1/audit';
const { live } = createMemoryStore({ clock: { nowMs: Date.now } });

/** @param pollMs the time between two polls for new events */
const withTails = (pollMs = 5): StageOptions => ({
  change: (deps) => {
    const tails = createLiveTails(live, { pollMs });
    onTestFinished(() => tails.stop());
    return { ...deps, tails };
  },
});

afterEach(closeStages);

interface Stream {
  readonly response: IncomingMessage;
  readonly text: () => string;
  /** True when the connection was reset, not just closed. */
  readonly cut: Promise<boolean>;
}

async function stream({ stage, browser }: AdminAt): Promise<Stream> {
  const server = createServer(stage.web.app).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  const { port } = server.address() as AddressInfo;
  const asked = get({ port, path: PATH, headers: { cookie: cookiesOf(browser) }, agent: false });
  const [response] = (await once(asked, 'response')) as [IncomingMessage];
  onTestFinished(() => void response.destroy());
  let text = '';
  response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  const cut = new Promise<boolean>((resolve) => {
    asked.on('error', ({ message }) => resolve(message === 'read ECONNRESET'));
    asked.on('close', () => resolve(false));
    response.on('error', () => undefined).on('end', () => resolve(false));
  });
  return { response, text: () => text, cut };
}

const line = (auditID: string): string => JSON.stringify({ kind: 'Event', auditID, user: {}, annotations: {} });

test.each(['root', 'auditor'])('%s may follow the audit log, and that is audited', async (who) => {
  const at = await signedInAs(who, withTails());
  const tailed = await stream(at);
  expect(tailed.response.statusCode).toBe(200);
  expect(tailed.response.headers).toMatchObject({
    'content-type': 'text/event-stream',
    'cache-control': 'no-store',
    'x-accel-buffering': 'no',
  });
  // The first message has the position to resume from.
  await expect.poll(tailed.text).toMatch(/^retry: 1000\n\n(?:: .*\n)?id: \d+-0\.[\w-]{22}\n\n/);
  await live.publish([line('event-1')]);
  await expect.poll(tailed.text).toMatch(/\nid: \d+-0\.[\w-]{22}\ndata: \{"kind":"Event","auditID":"event-1"/);
  const [read] = at.stage.named('admin-read');
  expect(read).toMatchObject({ requestURI: PATH, responseStatus: { code: 200 } });
  expect(annotation(read, 'reason')).toBe('audit');
});

test('any other user gets 403, and that is audited', async () => {
  const at = await signedInAs('alice', withTails());
  await at.browser.get(PATH).expect(403);
  expect(annotation(at.stage.named('admin-refused')[0], 'reason')).toBe('no_role');
});

test('HEAD gets the headers and no stream, and other methods get 405', async () => {
  const at = await signedInAs('root', withTails());
  expect((await at.browser.head(PATH)).status).toBe(200);
  const posted = await at.browser.post(PATH).set({ Origin: PUBLIC_URL, 'X-CSRF-Token': at.csrf });
  expect(posted.status).toBe(405);
});

test('the stream is cut when the session is revoked, and nothing more is sent', async () => {
  const at = await signedInAs('root', withTails());
  const tailed = await stream(at);
  await expect.poll(tailed.text).toContain('id: ');
  const { sessions } = await at.stage.store.sessions.list({ limit: 1 });
  const session = sessions[0]?.id ?? '';
  await at.stage.guard.revoke({ target: { kind: 'session', session } });
  await live.publish([line('too-late')]);
  expect(await tailed.cut).toBe(true);
  expect(tailed.text()).not.toContain('too-late');
});

test('the stream is cut the moment the account is revoked, without waiting for the next event', async () => {
  const at = await signedInAs('root', withTails(60_000));
  const tailed = await stream(at);
  await expect.poll(tailed.text).toContain('id: ');
  const { sessions } = await at.stage.store.sessions.list({ limit: 1 });
  await at.stage.guard.revoke({ target: { kind: 'account', account: sessions[0]?.account ?? 'corp/none' } });
  expect(await tailed.cut).toBe(true);
});

test('the stream is cut when the replica loses its lease', async () => {
  const at = await signedInAs('root', withTails());
  const tailed = await stream(at);
  await expect.poll(tailed.text).toContain('id: ');
  at.stage.lapse();
  expect(await tailed.cut).toBe(true);
});

test('the stream ends normally when the groups of the user change, so that access is checked again', async () => {
  const at = await signedInAs('root', withTails());
  await openSession(at.stage, 'alice-1', 'alice');
  const tailed = await stream(at);
  await expect.poll(tailed.text).toContain('id: ');
  const { sessions } = await at.stage.store.sessions.list({ limit: 10 });
  for (const { id, identity, client } of sessions) {
    const change = { ...identity, groups: ['corp:nothing'] };
    // A change of another user ends nothing.
    if (client === 'portcullis-cli') await at.stage.store.sessions.update(id, { identity: change, secret: {} });
  }
  await live.publish([line('still-here')]);
  await expect.poll(tailed.text).toContain('still-here');
  const own = sessions.find(({ client }) => client !== 'portcullis-cli');
  if (own === undefined) throw new Error('no session of the browser');
  const identity = { ...own.identity, groups: ['corp:nothing'] };
  await at.stage.store.sessions.update(own.id, { identity, secret: {} });
  expect(await tailed.cut).toBe(false);
  expect(tailed.text()).toContain('event: end\ndata: {"reason":"identity_changed"}');
  await at.browser.get(PATH).expect(403);
});

test('the stream ends when an access token would expire, so that access is checked again', async () => {
  const at = await signedInAs('root', {
    ...withTails(),
    change: (deps) => ({
      ...(withTails().change?.(deps) ?? deps),
      config: { ...deps.config, sessions: { ...deps.config.sessions, accessToken: 1 } },
    }),
  });
  const tailed = await stream(at);
  expect(await tailed.cut).toBe(false);
  expect(tailed.text()).toContain('event: end\ndata: {"reason":"credential_over"}');
});

/**
 * A right for a while, as users have it: asked for on a page and approved in another browser, in use with kubectl at two replicas, and ended with
 * everything that was opened by it. The same on a real API server is in test/cluster/access.test.ts.
 */
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  approveFreshly,
  askOnPage,
  atEach,
  BINDINGS,
  codesOf,
  each,
  GROUP,
  REASON,
  ROLE,
  startAccessReplicas,
  type AccessReplicas,
} from '../support/access-stage.ts';
import { auditedBy } from '../support/audit-log.ts';
import { startTestInstance, type TestInstance } from '../support/instance.ts';
import { CliContext, type Finished, type Open } from '../support/kubectl.ts';
import { openChromium, signedInContext } from '../support/pages-browser.ts';

/** W of docs/revocation-protocol.md#wait for the default lease, in milliseconds. */
const WAIT_MS = 2102;
/** For Chromium, kubectl and a busy machine. */
const PATIENCE_MS = 2000;
const SECRETS = ['get', 'secrets', '--namespace', 'payments', '--output', 'name'];

/** @throws Error where it fails: what a test stands on */
async function done(running: Promise<Finished>): Promise<void> {
  const { code, all } = await running;
  if (code !== 0) throw new Error(all);
}

describe('a right for a while', () => {
  let started: TestInstance;
  let replicas: AccessReplicas;
  let browser: Browser;
  let root: CliContext;
  let alice: CliContext;
  /** The same user at another machine: another session. */
  let elsewhere: CliContext;
  let asked: Page;
  let decided: Page;
  let exec: Open;

  const id = (): string => new URL(asked.url()).pathname.split('/').at(-1) ?? '';

  beforeAll(async () => {
    started = await startTestInstance({ redis: true });
    replicas = await startAccessReplicas(started, { names: ['one', 'two'] });
    const { instance } = replicas;
    browser = await openChromium();
    root = new CliContext(instance, 'root');
    alice = new CliContext(instance, 'alice');
    elsewhere = new CliContext(instance, 'alice', {
      PORTCULLIS_CACHE_DIR: `${instance.files.directory}/cache-elsewhere`,
    });
    await done(root.kubectlWith(BINDINGS, 'create', '--filename', '-'));
    await done(elsewhere.portcullis('login', '--device-name', 'desktop'));
    await done(alice.portcullis('login', '--device-name', 'laptop'));
  });
  afterAll(async () => {
    for (const user of [root, alice, elsewhere]) user?.close();
    await browser?.close();
    await started?.stop();
  });

  it('is named by the 403 without it', async () => {
    const refused = await alice.kubectl(...SECRETS);
    expect(refused.code, refused.all).toBe(1);
    expect(refused.stderr).toMatch(new RegExp(`Warning: .*${ROLE}`));
    expect(refused.stderr).toContain('secrets is forbidden: User "demo:alice" cannot list resource "secrets"');
  });

  it('is asked for on a page, and approved by a colleague who has just signed in and sees who asks for what, and why', async () => {
    const { web } = replicas.instance.urls;
    asked = await askOnPage(await signedInContext(browser, web, 'alice'), web, { device: 'laptop', seconds: '3600' });
    const { page, shown } = await approveFreshly(browser, asked.url(), 'root');
    decided = page;
    for (const fact of ['demo:alice', REASON, ROLE, GROUP, '1 h']) expect(shown).toContain(fact);
  });

  it('is there with the next request at each replica, for this session and no other', async () => {
    const got = await atEach(replicas, alice, ...SECRETS);
    expect(codesOf(got), JSON.stringify(got)).toEqual(each(replicas, 0));
    const who = await alice.kubectl('auth', 'whoami', '--output', 'json');
    const { status } = JSON.parse(who.stdout) as { status: { userInfo: object } };
    expect(status.userInfo).toMatchObject({
      username: 'demo:alice',
      groups: expect.arrayContaining(['demo:developers', GROUP]),
      extra: { 'portcullis.dev/grant-id': [id()] },
    });
    expect(codesOf(await atEach(replicas, elsewhere, ...SECRETS))).toEqual(each(replicas, 1));
  });

  it('lets a user act as another one, where the right to do so was granted', async () => {
    const got = await alice.kubectl(...SECRETS, '--as', 'demo:helper');
    expect(got.code, got.all).toBe(0);
  });

  it('is ended by an approver: an exec that was opened with it is cut, and the receipt says so, replica by replica', async () => {
    const two = replicas.apis.get('two') ?? '';
    exec = alice.openKubectl('--server', two, 'exec', '--namespace', 'payments', '-i', 'ledger', '--', 'cat');
    const watch = alice.openKubectl('--server', two, 'get', 'pods', '--watch');
    await watch.until(/web-1/);
    await expect
      .poll(async () => (await auditedBy(replicas.instance)).some(({ objectRef }) => objectRef?.subresource === 'exec'))
      .toBe(true);
    await decided.getByLabel('Why').fill('solved');
    const before = performance.now();
    await decided.getByRole('button', { name: 'End it now' }).click();
    await exec.finished;
    expect(performance.now() - before).toBeLessThan(WAIT_MS + PATIENCE_MS);
    await decided.getByRole('status').filter({ hasText: 'Complete.' }).waitFor();
    for (const name of replicas.apis.keys()) {
      await decided.getByRole('row', { name: new RegExp(`${name}.*applied`) }).waitFor();
    }
    watch.child.kill();
  });

  it('is gone at each replica, and the session goes on without it', async () => {
    expect(codesOf(await atEach(replicas, alice, ...SECRETS))).toEqual(each(replicas, 1));
    expect(codesOf(await atEach(replicas, alice, 'get', 'pods'))).toEqual(each(replicas, 0));
  });

  it('is in the audit log from the question to the end, and with each request that it was used for', async () => {
    const events = (await auditedBy(replicas.instance)).filter(
      ({ annotations }) => annotations['portcullis.dev/grant-id'] === id(),
    );
    const named = events.flatMap(({ annotations }) => annotations['portcullis.dev/event'] ?? []);
    expect(named).toEqual(['access-requested', 'access-approved', 'access-begun', 'access-ended']);
    const verbs = events.map(({ verb, objectRef }) => [verb, objectRef?.resource, objectRef?.subresource].join(' '));
    expect(verbs).toEqual(expect.arrayContaining(['list secrets ', 'get pods exec']));
  });
});

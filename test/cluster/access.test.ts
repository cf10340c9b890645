/**
 * A right for a while on a real API server with a node: two browsers, kubectl at three replicas on one Redis, and the end by the clock alone, with
 * an exec into a real pod that is cut at it. And step-up, on each replica.
 */
import type { Browser, Page } from 'playwright-core';
import { setTimeout as pause } from 'node:timers/promises';
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
import { CliContext, type Finished, type Open } from '../support/kubectl.ts';
import { notedBrowser } from '../support/noted-browser.ts';
import { openChromium, signedInContext, signInAtProvider } from '../support/pages-browser.ts';
import { expectJoinedAudit } from './audit-join.ts';
import { startNodeStage, type NodeStage } from './node-stage.ts';

/** W of docs/revocation-protocol.md#wait for the default lease, in milliseconds. */
const WAIT_MS = 2102;
/** The shortest grant. */
const MINUTE_MS = 60_000;
/** Of a proof, for requests that need a recent one. */
const MAX_AGE_SECONDS = 10;
const SECRETS = ['get', 'secrets', '--namespace', 'payments', '--output', 'name'];

let stage: NodeStage;
let replicas: AccessReplicas;
let browser: Browser;
let alice: CliContext;
/** The same user at another machine: another session. */
let elsewhere: CliContext;

interface ClusterSettings {
  readonly impersonate: { readonly groups: readonly string[] };
}

/** Lets the account of Portcullis stand in for the group of the role: in a cluster that it is given it may do so for no other. */
async function allowGroup(): Promise<void> {
  const role = JSON.parse(await stage.kubectl(['get', 'clusterrole', 'portcullis-demo', '--output', 'json'])) as {
    rules: { resources?: string[]; resourceNames?: string[] }[];
  };
  for (const rule of role.rules) if (rule.resources?.includes('groups') === true) rule.resourceNames?.push(GROUP);
  await stage.kubectl(['replace', '--filename', '-'], JSON.stringify(role));
}

beforeAll(async () => {
  stage = await startNodeStage({ namespace: 'payments', redis: true });
  await allowGroup();
  await stage.kubectl(['create', '--filename', '-'], BINDINGS);
  replicas = await startAccessReplicas(stage.instance, {
    names: ['one', 'two', 'three'],
    settings: ({ clusters }) => ({
      clusters: (clusters as ClusterSettings[]).map((cluster) => ({
        ...cluster,
        impersonate: { ...cluster.impersonate, groups: [...cluster.impersonate.groups, GROUP] },
      })),
      stepUp: [{ rules: [{ verbs: ['delete'], apiGroups: [''], resources: ['configmaps'] }], maxAge: '1m' }],
    }),
    // A minute and more of waiting less.
    change: (config) => ({
      clockSkew: 1,
      stepUp: config.stepUp.map((rule) => ({ ...rule, maxAge: MAX_AGE_SECONDS })),
    }),
  });
  browser = await openChromium();
  const { instance } = replicas;
  alice = new CliContext(instance, 'alice');
  elsewhere = new CliContext(instance, 'alice', {
    PORTCULLIS_CACHE_DIR: `${instance.files.directory}/cache-elsewhere`,
  });
  for (const [user, device] of [
    [elsewhere, 'desktop'],
    [alice, 'laptop'],
  ] as const) {
    const { code, all } = await user.portcullis('login', '--device-name', device);
    if (code !== 0) throw new Error(all);
  }
});
afterAll(async () => {
  for (const user of [alice, elsewhere]) user?.close();
  await browser?.close();
  await stage?.stop();
});

describe('a right for a while', () => {
  let asked: Page;
  let decided: Page;
  let execs: readonly (readonly [string, Open])[];
  /** Opened before it begins. */
  let watch: Open;
  /** Epoch milliseconds. */
  let endsAt: number;

  const id = (): string => new URL(asked.url()).pathname.split('/').at(-1) ?? '';

  it('is named by the 403 of each replica without it', async () => {
    for (const refused of Object.values(await atEach(replicas, alice, ...SECRETS))) {
      expect(refused.code, refused.all).toBe(1);
      expect(refused.stderr).toMatch(new RegExp(`Warning: .*${ROLE}`));
      expect(refused.stderr).toContain('secrets is forbidden: User "demo:alice" cannot list resource "secrets"');
    }
  });

  it('is asked for in one browser, and approved in another one by a colleague who sees who asks for what, and why', async () => {
    watch = alice.openKubectl('get', 'pods', '--watch');
    await watch.until(/web/);
    const { web } = replicas.instance.urls;
    const context = await signedInContext(browser, web, 'alice');
    asked = await askOnPage(context, web, { device: 'laptop', seconds: '300' });
    await asked.getByRole('button', { name: 'Withdraw the request' }).click();
    // The form has no minute, and the command line has.
    const request = alice.openPortcullis('access', 'request', ROLE, '--for', '1m', '--reason', REASON);
    await request.until(/\/access\/[\w-]{22}/);
    const [link = ''] = /http\S+\/access\/[\w-]{22}/.exec(request.output()) ?? [];
    await asked.goto(link);
    const { page, shown } = await approveFreshly(browser, link, 'root');
    endsAt = Date.now() + MINUTE_MS;
    decided = page;
    for (const fact of ['demo:alice', REASON, ROLE, GROUP, '1 min']) expect(shown).toContain(fact);
    const finished = await request.finished;
    expect(finished.code, finished.all).toBe(0);
  });

  it('is there with the next request at each replica, with nothing to sign in again, and for no other session', async () => {
    const got = await atEach(replicas, alice, ...SECRETS);
    expect(codesOf(got), JSON.stringify(got)).toEqual(each(replicas, 0));
    for (const { stdout } of Object.values(await atEach(replicas, alice, 'auth', 'whoami', '--output', 'json'))) {
      const { status } = JSON.parse(stdout) as { status: { userInfo: object } };
      expect(status.userInfo).toMatchObject({
        username: 'demo:alice',
        groups: expect.arrayContaining(['demo:developers', GROUP]),
        extra: { 'portcullis.dev/grant-id': [id()] },
      });
    }
    expect(codesOf(await atEach(replicas, elsewhere, ...SECRETS))).toEqual(each(replicas, 1));
    const helped = await atEach(replicas, alice, ...SECRETS, '--as', 'demo:helper');
    expect(codesOf(helped), JSON.stringify(helped)).toEqual(each(replicas, 0));
  });

  it('lets an exec into a pod through, at each replica', async () => {
    execs = [...replicas.apis].map(([name, api]) => {
      const command = ['exec', '--namespace', 'payments', 'ledger', '--', 'sh', '-c', 'echo started; exec sleep 4711'];
      return [name, alice.openKubectl('--server', api, ...command)] as const;
    });
    for (const [name, exec] of execs) await expect(exec.until(/started/), name).resolves.toBeUndefined();
  });

  it('is over at its time with no one’s doing: each exec is cut within W, and what was opened before goes on', async () => {
    const cut = async ([name, { finished }]: (typeof execs)[number]) => {
      const result: Finished | undefined = await Promise.race([
        finished,
        pause(MINUTE_MS + 20_000, undefined, { ref: false }),
      ]);
      return { name, result, lateMs: Date.now() - endsAt };
    };
    for (const { name, result, lateMs } of await Promise.all(execs.map(cut))) {
      expect(result?.all, name).toMatch(/exit 1/);
      expect(lateMs, name).toBeLessThan(WAIT_MS);
      expect(lateMs, name).toBeGreaterThan(-5000);
    }
    const refused = await atEach(replicas, alice, ...SECRETS);
    expect(codesOf(refused), JSON.stringify(refused)).toEqual(each(replicas, 1));
    expect(codesOf(await atEach(replicas, alice, 'get', 'pods'))).toEqual(each(replicas, 0));
    expect(watch.child.exitCode).toBeNull();
    watch.child.kill();
  });

  it('has a receipt of its end, replica by replica', async () => {
    await expect
      .poll(async () => {
        await decided.reload();
        return decided.textContent('main');
      })
      .toContain('Receipt of its end');
    await decided.getByRole('status').filter({ hasText: 'Complete.' }).waitFor();
    for (const name of replicas.apis.keys()) {
      await decided.getByRole('row', { name: new RegExp(`${name}.*applied`) }).waitFor();
    }
    const ended = (await auditedBy(stage.instance)).find(
      ({ annotations }) => annotations['portcullis.dev/event'] === 'access-ended',
    );
    expect(ended?.annotations).toMatchObject({
      'portcullis.dev/grant-id': id(),
      'portcullis.dev/ending': 'expired',
      'portcullis.dev/complete': 'true',
    });
  });
});

describe('step-up', () => {
  const remove = ['delete', 'configmap', 'stale', '--namespace', 'default', '--ignore-not-found'];

  it('is what each replica’s 403 says to run, where the last proof is too old, and nothing is signed out by it', async () => {
    await pause((MAX_AGE_SECONDS + 2) * 1000);
    for (const refused of Object.values(await atEach(replicas, alice, ...remove))) {
      expect(refused.code, refused.all).toBe(1);
      expect(refused.stderr).toContain('run: portcullis step-up');
    }
    expect(codesOf(await atEach(replicas, alice, 'get', 'pods'))).toEqual(each(replicas, 0));
  });

  it('lets the request through at each replica after one prompt, for this session and no other', async () => {
    const { files, urls } = replicas.instance;
    const opened = await notedBrowser(files.directory, 'opens', 'nothing');
    const proving = new CliContext(replicas.instance, 'alice', { BROWSER: opened.command }).portcullis('step-up');
    await expect.poll(() => opened.tabs()).toHaveLength(1);
    const [tab = ''] = await opened.tabs();
    const page = await (await browser.newContext()).newPage();
    await page.goto(tab);
    expect(await page.textContent('main')).toContain('demo:alice');
    await page.getByRole('link', { name: 'Sign in again with demo' }).click();
    await signInAtProvider(page, 'alice');
    await page.waitForURL(`${urls.web}/step-up/done`);
    const proven = await proving;
    expect(proven.code, proven.all).toBe(0);
    const done = await atEach(replicas, alice, ...remove);
    expect(codesOf(done), JSON.stringify(done)).toEqual(each(replicas, 0));
    expect(codesOf(await atEach(replicas, elsewhere, ...remove))).toEqual(each(replicas, 1));
  });
});

describe('the two records of all this', () => {
  it('join on the Audit-ID, and say the same: the groups and the grant of each request as well', async () => {
    expect(await expectJoinedAudit(stage)).toBeGreaterThan(15);
    const withGrant = (await stage.apiServerAudit()).flatMap(({ impersonatedUser }) =>
      impersonatedUser?.extra?.['portcullis.dev/grant-id'] === undefined ? [] : [impersonatedUser],
    );
    expect(withGrant.length).toBeGreaterThan(5);
    // Anyone who acts as another user does so by the right that was granted, and has no group of it there.
    for (const { username, groups } of withGrant) expect(groups?.includes(GROUP)).toBe(username === 'demo:alice');
  });
});

import { setTimeout as pause } from 'node:timers/promises';
import type { Browser } from 'playwright-core';
import { parse } from 'yaml';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Config } from '../../src/config/config.ts';
import { notedBrowser } from '../support/noted-browser.ts';
import { openChromium } from '../support/pages-browser.ts';
import { startSsoStage, type SsoStage } from '../support/sso-stage.ts';
import { fencedBlocks, readPage } from '../unit/docs/markdown.ts';
import { Machine } from '../integration/cli/machine.ts';

/** Seconds; less than any configuration may say, and enough for a command or two. */
const MAX_AGE = 10;

/** What docs/agents.md has against an agent that runs under its user's own uid and has found the user's session. */
function documented(): Config['stepUp'] {
  const block = fencedBlocks(readPage('docs/agents.md')).find(({ text }) => text.startsWith('stepUp:'));
  return (parse(block?.text ?? '') as Pick<Config, 'stepUp'>).stepUp;
}

let stage: SsoStage;
let browser: Browser;
const machine = new Machine();

beforeAll(async () => {
  stage = await startSsoStage({
    change: () => ({
      clockSkew: 1,
      stepUp: documented().map((rule) => ({ ...rule, maxAge: MAX_AGE })),
    }),
  });
  browser = await openChromium();
  // Signed in by single sign-on: by a password of an hour ago.
  const signsIn = await notedBrowser(machine.home, 'signs-in');
  machine.installCommand();
  const path = `${machine.home}:${process.env['PATH'] ?? ''}`;
  machine.env = { BROWSER: signsIn.command, PORTCULLIS_DEMO_USER: 'root', PATH: path };
  for (const command of [['login', '--server', stage.web], ['kubeconfig']]) {
    const { code, stderr } = await machine.run(...command);
    if (code !== 0) throw new Error(stderr);
  }
});
afterAll(async () => {
  machine.remove();
  await browser.close();
  await stage.stop();
});

const WRITES = [
  ['delete', 'pod', 'web-1'],
  ['exec', 'web-1', '--', 'true'],
  ['create', 'configmap', 'from-the-agent', '--from-literal', 'a=b'],
  ['get', 'pods', '--as', 'demo:limited'],
];

const secrets = () => machine.kubectl('get', 'secrets', '--namespace', 'default');

it('kubectl is told to step up, Chromium proves the user, and kubectl works until the proof is too old', async () => {
  const rejected = await secrets();
  expect(rejected.code, rejected.stdout).toBe(1);
  expect(rejected.stderr).toContain(`run: portcullis step-up --server ${stage.web}`);
  for (const write of WRITES) {
    const tried = await machine.kubectl(...write);
    expect(tried.stderr, write.join(' ')).toContain('run: portcullis step-up');
  }
  expect((await machine.kubectl('get', 'pods')).code).toBe(0);
  expect((await machine.kubectl('auth', 'can-i', 'delete', 'pods')).stdout).toContain('yes');

  const opened = await notedBrowser(machine.home, 'opens', 'nothing');
  machine.env = { ...machine.env, BROWSER: opened.command };
  const command = machine.run('step-up', '--server', stage.web);
  while ((await opened.tabs()).length === 0) await pause(50);
  const [tab = ''] = await opened.tabs();
  const page = await browser.newPage();
  await page.goto(tab);
  expect(await page.textContent('main')).toContain('demo:root');
  await page.getByRole('link', { name: 'Sign in again with demo' }).click();
  await page.waitForURL(`${stage.web}/step-up/done`);
  const done = await command;
  expect(done.code, done.stderr).toBe(0);
  expect(stage.sso.prompts.at(-1)).toContain('login');

  const allowed = await secrets();
  expect(allowed.code, allowed.stderr).toBe(0);
  // One proof for a while, and the session is the one that it was.
  expect(await stage.events('step-up')).toHaveLength(1);
  expect(await stage.events('sign-in')).toHaveLength(1);

  while ((await secrets()).code === 0) await pause(200);
  expect((await secrets()).stderr).toContain('in the last 10 seconds');
  expect((await machine.kubectl('get', 'pods')).code).toBe(0);
}, 120_000);

it('a web console’s user steps up in the browser that they are signed in with', async () => {
  const page = await browser.newPage();
  await page.goto(`${stage.web}/step-up/me`);
  // Signed in by single sign-on first, and back at the page.
  await page.waitForURL(`${stage.web}/step-up/me`);
  const before = (await stage.server.store.sessions.list({ limit: 1, account: 'demo/root' })).sessions[0];
  expect(before?.authTime).toBeLessThan(Date.now() / 1000 - 3000);
  await page.getByRole('link', { name: 'Sign in again with demo' }).click();
  await page.waitForURL(`${stage.web}/step-up/done`);
  const after = await stage.server.store.sessions.read(before?.id ?? '');
  expect(after?.authTime).toBeGreaterThan(Date.now() / 1000 - 60);
  // An admin who has just proven themselves need not sign in again to revoke.
  await page.goto(`${stage.web}/admin/revoke?kind=account&value=demo%2Falice&lock=on`);
  expect(page.url()).toContain('/admin/revoke');
  expect(stage.sso.prompts.filter((prompt) => prompt?.includes('login') === true)).toHaveLength(2);
}, 60_000);

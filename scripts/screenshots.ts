/**
 * Writes the pictures of docs/images: `npm run screenshots`. The demo runs on free ports with three replicas, users sign in and work, and
 * Chromium looks at the pages. Run it when the pages have changed.
 */
import { mkdir, stat } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { Page } from 'playwright-core';
import type { Running, Terminal } from '../demo/tour/terminal.ts';
import { ask } from './screenshots/access.ts';
import { delegate } from './screenshots/delegate.ts';
import { openStage, type Stage } from './screenshots/stage.ts';

const IMAGES = fileURLToPath(new URL('../docs/images/', import.meta.url));
/** A README that shows two of them is still quick. */
const MOST_BYTES = 180_000;

async function keep(page: Page, name: string): Promise<void> {
  const path = `${IMAGES}${name}.png`;
  await page.screenshot({ path });
  const { size } = await stat(path);
  console.log(`${name}.png  ${(size / 1000).toFixed(0)} kB`);
  if (size > MOST_BYTES) throw new Error(`${path} has ${size} bytes, and may have ${MOST_BYTES}`);
}

/** What a developer does in a morning; one of it the cluster refuses. */
async function work(terminal: Terminal): Promise<void> {
  await terminal.kubectl('get', 'pods');
  await terminal.kubectl('get', 'configmap', 'web-settings', '--output', 'name');
  await terminal.kubectl('get', 'secrets', '--namespace', 'payments');
  await terminal.kubectl('exec', 'web-1', '--', 'hostname');
  await terminal.kubectl('logs', 'web-2', '--tail', '1');
}

async function leaveOpen(terminal: Terminal, { replicas }: Stage): Promise<readonly Running[]> {
  const watch = terminal.openKubectl('--server', replicas.a.api, 'get', 'pods', '--watch');
  const logs = terminal.openKubectl('--server', replicas.b.api, 'logs', '--follow', 'web-1');
  const exec = terminal.openKubectl(
    '--server',
    replicas.b.api,
    'exec',
    'web-2',
    '--',
    'sh',
    '-c',
    'echo begun; sleep 600',
  );
  await Promise.all([watch.waitFor(/web-2/), logs.waitFor(/GET/), exec.waitFor(/begun/)]);
  return [watch, logs, exec];
}

async function pictureSignIn(stage: Stage): Promise<void> {
  const context = await stage.newBrowser('root');
  const page = await context.newPage();
  await page.goto(stage.demo.urls.web);
  await keep(page, 'sign-in');
  await context.close();
}

/** @returns a page where this user is signed in */
async function pictureOwnPage(stage: Stage): Promise<Page> {
  const page = await stage.signIn(await stage.newBrowser('alice'), 'alice');
  // Requests stand there some seconds after they were made.
  const refused = page.getByText('denied by the cluster');
  for (let look = 0; look < 30 && (await refused.count()) === 0; look += 1) {
    await page.waitForTimeout(500);
    await page.reload();
  }
  await keep(page, 'my-sessions');
  return page;
}

async function pictureRecord(stage: Stage, page: Page, terminals: readonly Terminal[]): Promise<void> {
  await page.goto(`${stage.demo.urls.web}/admin/audit`);
  await page.locator('[data-connection]').getByText('live').waitFor();
  await Promise.all(terminals.map(work));
  await page.locator('[data-lines] > li').nth(9).waitFor();
  await page.locator('[data-count]', { hasText: /^\d\d+ events since/ }).waitFor();
  await keep(page, 'live-record');
}

async function pictureReceipt({ demo, replicas }: Stage, page: Page): Promise<void> {
  await page.goto(`${demo.urls.web}/admin/revoke?kind=account&value=demo%2Falice`);
  await page.getByLabel(/Reason/).fill('INC-4711: laptop left in a train');
  replicas.c.stop();
  await page.getByRole('button', { name: 'Revoke now' }).click();
  await page.getByText('No replica accepts what you revoked any more').waitFor();
  await keep(page, 'receipt');
  replicas.c.wake();
}

await mkdir(IMAGES, { recursive: true });
await using stage = await openStage();
await pictureSignIn(stage);
const [alice, bob] = [await stage.terminal('alice'), await stage.terminal('bob')];
const open = await leaveOpen(alice, stage);
try {
  await work(alice);
  await (
    await delegate(alice, stage)
  )();
  const own = await pictureOwnPage(stage);
  await stage.signIn(await stage.newBrowser('vera'), 'vera');
  const root = await stage.signIn(await stage.newBrowser('root'), 'root');
  await root.goto(`${stage.demo.urls.web}/admin`);
  await keep(root, 'sessions');
  await root.goto(stage.demo.urls.web + (await ask(stage.demo.urls.web, own)));
  await keep(root, 'access-request');
  await root.goto(`${stage.demo.urls.web}/admin/accounts/demo%2Falice`);
  await keep(root, 'user');
  await pictureRecord(stage, root, [alice, bob]);
  await pictureReceipt(stage, root);
} finally {
  for (const running of open) running.kill();
}

/**
 * The commands of the documents for building and installing the command line: build, check, install, sign in, and
 * kubectl runs it.
 */
import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RunningDemo } from '../../demo/launch.ts';
import { startTestInstance, temporaryFolder } from '../support/instance.ts';
import { checkoutIn, linesOf, pageBlock, withValues } from '../support/page-blocks.ts';
import { PageShell } from '../support/page-shell.ts';
import { ROOT } from '../unit/docs/markdown.ts';

describe('the command line', { timeout: 300_000 }, () => {
  let folder: string;
  let instance: RunningDemo;
  let builder: PageShell;
  let laptop: PageShell;

  beforeAll(async () => {
    folder = await temporaryFolder();
    instance = await startTestInstance();
    builder = new PageShell(await checkoutIn(folder), {});
    const home = join(folder, 'home');
    await mkdir(home);
    laptop = new PageShell(join(folder, 'checkout/dist/cli'), {
      HOME: home,
      KUBECONFIG: join(home, 'kubeconfig'),
      npm_config_prefix: join(home, 'npm'),
      PATH: `${join(home, 'npm/bin')}:${process.env['PATH']}`,
      PORTCULLIS_CACHE_DIR: join(home, 'cache'),
      PORTCULLIS_DEMO_USER: 'alice',
      BROWSER: join(ROOT, 'demo/headless-browser.ts'),
    });
  });
  afterAll(async () => {
    builder.close();
    laptop.close();
    await instance.stop();
    await rm(folder, { recursive: true, force: true });
  });

  it('docs/install-cli.md: builds the packages, and each file has its checksum', async () => {
    const block = pageBlock('docs/install-cli.md', 'npm run build:cli');
    // Only for the architecture of this machine: Node for the other one would have to be downloaded.
    const here = { 'npm run build:cli ': `npm run build:cli -- --arch ${process.arch} --out "$PWD/dist/cli" ` };
    expect(await builder.run(withValues(block, here))).toMatch(/portcullis\.cjs: OK/);
  });

  it('docs/install-cli.md: installs from the archive, and by npm', async () => {
    const { version } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as { version: string };
    const block = pageBlock('docs/install-cli.md', 'mkdir -p ~/.local');
    const here = process.arch === 'x64' ? block : withValues(block, { 'linux-x64': `linux-${process.arch}` });
    await laptop.run(here);
    for (const program of ['~/.local/bin/portcullis', 'portcullis', 'kubectl portcullis']) {
      expect(await laptop.run(`${program} version`)).toBe(`portcullis ${version}\n`);
    }
  });

  it('README.md, step 6: installs it, signs in, and kubectl runs it', async () => {
    const block = pageBlock('README.md', 'npm install --global');
    const address = new URL(instance.urls.web);
    const here = withValues(block, {
      'https://portcullis.example.com': instance.urls.web,
      'prod@portcullis.example.com': `demo@${address.host}`,
    });
    expect(linesOf(here).at(-1)).toContain('get pods');
    expect(await laptop.run(`cd ../..\n${here}`)).toMatch(/web-1 +/); // typed in the checkout
  });

  it('docs/kubectl.md: a second account has a session and a kubeconfig of its own', async () => {
    const block = pageBlock('docs/kubectl.md', 'export PORTCULLIS_CACHE_DIR');
    const here = withValues(block, { 'https://portcullis.example.com': instance.urls.web });
    const whoami = 'portcullis whoami --output json';
    const second = await laptop.run(`export PORTCULLIS_DEMO_USER=root\n${here}\nkubectl get pods >&2\n${whoami}`);
    expect(second).toContain('demo:root');
    expect(await laptop.run(whoami)).toContain('demo:alice');
  });
});

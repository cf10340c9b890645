/**
 * The commands of the documents for building and installing the command line: build, check, install, sign in, and
 * kubectl runs it.
 */
import { execFile } from 'node:child_process';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RunningDemo } from '../../demo/launch.ts';
import { startTestInstance, temporaryFolder } from '../support/instance.ts';
import { checkoutIn, linesOf, pageBlock, programsIn, withValues } from '../support/page-blocks.ts';
import { PageShell } from '../support/page-shell.ts';
import { fencedBlocks, readPage, ROOT } from '../unit/docs/markdown.ts';

const run = promisify(execFile);

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
      expect(await laptop.run(`${program} --version`)).toBe(`portcullis ${version}\n`);
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

  describe('docs/agents.md', () => {
    const REJECTED = 'this session was delegated to "claude": read-only in default';
    let bin: string;
    let agents: PageShell;

    beforeAll(async () => {
      // An agent that reads, and then goes too far.
      const claude = 'kubectl get pods --output name && kubectl delete pod web-1';
      // Without the password, and with the environment of that user as sudo leaves it.
      const sudo = `[ "$1" = -u ] || exec "$@"
shift 2
exec setpriv --reuid 65534 --regid 65534 --clear-groups env -i HOME=/nonexistent PATH="$PATH" "$@"`;
      bin = await programsIn(folder, { claude, sudo });
      const home = join(folder, 'home');
      await run('chmod', ['711', folder, home]);
      agents = new PageShell(folder, {
        HOME: home,
        USER: 'root',
        KUBECONFIG: join(home, 'kubeconfig'),
        PATH: `${bin}:${join(home, '.local/bin')}:${process.env['PATH']}`,
        PORTCULLIS_CACHE_DIR: join(home, 'cache'),
      });
    });
    afterAll(() => agents.close());

    const HERE = { '--namespace shop': '--namespace default' };

    it('a coding agent runs with less than its user, and its session ends with it', async () => {
      const block = pageBlock('docs/agents.md', 'portcullis delegate --read-only --namespace shop --for 30m');
      const { code, stdout, all } = await agents.try(withValues(block, HERE));
      expect(code).toBe(1);
      expect(stdout).toContain('pod/web-1\n');
      expect(all).toContain(REJECTED);
      expect(JSON.parse(await agents.run('portcullis delegations --output json'))).toEqual({ delegations: [] });
    });

    it('a nightly job has a kubeconfig with the rules of the page, is listed, and ended', async () => {
      const [rules = ''] = fencedBlocks(readPage('docs/agents.md'))
        .filter(({ language, text }) => language === 'yaml' && text.startsWith('rules:'))
        .map(({ text }) => text);
      await writeFile(join(folder, 'rules.yaml'), rules.replaceAll('[shop]', '[default]'));
      const block = pageBlock('docs/agents.md', 'portcullis delegate --rules');
      await agents.run(withValues(block, { '--cluster prod': '--cluster demo' }));
      const get = (what: string) => agents.try(`kubectl --kubeconfig nightly.yaml --namespace default get ${what}`);
      expect((await get('pods')).code).toBe(0);
      expect((await get('configmaps')).all).toContain('this session was delegated to "nightly"');
      const { delegations } = JSON.parse(await agents.run('portcullis delegations --output json')) as {
        readonly delegations: readonly { readonly id: string }[];
      };
      const ending = pageBlock('docs/agents.md', 'portcullis delegations');
      const ended = await agents.run(withValues(ending, { '8dKj…': delegations[0]?.id ?? '' }));
      expect(ended).toMatch(/^\S+ +nightly [^]*^complete: 1 session ended/m);
      expect((await get('pods')).all).toContain('the session delegated to "nightly" has ended');
    });

    it.runIf(process.getuid?.() === 0)(
      'another Unix user has the session’s files, and none of the user’s',
      async () => {
        const block = pageBlock('docs/agents.md', 'sudo install');
        const here = { ...HERE, '/srv/claude': join(folder, 'srv'), agent: '65534' };
        const { code, stdout, all } = await agents.try(withValues(block, here));
        expect(code, all).toBe(1);
        expect(stdout).toContain('pod/web-1\n');
        expect(all).toContain(REJECTED);
        const cache = await agents.try(`sudo -u 65534 ls ${join(folder, 'home/cache')}`);
        expect(cache.all).toContain('Permission denied');
      },
    );
  });
});

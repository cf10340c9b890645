/**
 * The terminal sessions of the documents, run against a real server with Redis: the output is what the page shows,
 * as far as it is the same everywhere.
 */
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RunningDemo } from '../../demo/launch.ts';
import { startTestInstance, temporaryFolder } from '../support/instance.ts';
import { SOURCES } from '../support/built-program.ts';
import { pageBlock, withValues } from '../support/page-blocks.ts';
import { terminalOf } from '../support/page-terminal.ts';
import type { PageShell } from '../support/page-shell.ts';
import { fencedBlocks, readPage } from '../unit/docs/markdown.ts';

describe('a terminal as the pages show it', { timeout: 120_000 }, () => {
  let folder: string;
  let instance: RunningDemo;
  let root: PageShell;
  let alice: PageShell;
  let log: Readonly<Record<string, string>>;

  beforeAll(async () => {
    folder = await temporaryFolder();
    instance = await startTestInstance({ redis: true });
    [root, alice] = await Promise.all([terminalOf(folder, 'root', {}, SOURCES), terminalOf(folder, 'alice')]);
    for (const user of [root, alice])
      await user.run(`portcullis login --server ${instance.urls.web}\nportcullis kubeconfig`);
    await alice.try('kubectl get secrets');
    await instance.server.audit.flush();
    log = { '/var/log/portcullis/audit.log': instance.files.auditLog };
  });
  afterAll(async () => {
    for (const user of [root, alice]) user.close();
    await instance.stop();
    await rm(folder, { recursive: true, force: true });
  });

  it('docs/audit-query.md', async () => {
    const typed = withValues(pageBlock('docs/audit-query.md', 'portcullis audit query'), log);
    expect(await root.run(typed)).toMatch(
      /^TIME +WHO +DID WHAT +OUTCOME +FROM\n.*demo:alice +list secrets -n default @demo +403/,
    );
  });

  it('docs/audit-tail.md', async () => {
    const block = pageBlock('docs/audit-tail.md', 'portcullis audit tail --user');
    const typed = root.open(withValues(block, { 'corp:alice@example.com': 'demo:alice' }));
    await typed.until(/^portcullis: following the audit log; press Ctrl-C to stop/m);
    const seen = /^\d\d:\d\d:\d\d +demo:alice +list pods -n default @demo +200 +\S+$/m;
    await expect.poll(() => alice.run('kubectl get pods').then(() => typed.all())).toMatch(seen);
    expect((await typed.interrupt()).code).toBe(0);
  });

  it('docs/audit-verify.md', async () => {
    const block = pageBlock('docs/audit-verify.md', 'portcullis audit verify');
    const typed = withValues(block, { ...log, '/etc/portcullis/portcullis.yaml': instance.files.config });
    expect(await root.run(typed)).toMatch(/^PROVEN: \d+ lines in \d+ files?, 1 chains?/m);
  });

  it('docs/device-code.md', async () => {
    const block = pageBlock('docs/device-code.md', 'portcullis login --device');
    const typed = alice.open(withValues(block, { 'https://portcullis.example.com': instance.urls.web }));
    await typed.until(
      /open this page in a browser on any machine:\n +\S+\/device\nand type this code, within 10 minutes:\n +\w{4}-\w{4}\n/,
    );
    expect((await typed.interrupt()).code).not.toBe(0);
  });

  it('docs/revocation.md: from a script', async () => {
    const home = join(folder, 'home-of-root');
    await writeFile(join(home, 'accounts.txt'), 'demo/alice\nnot an account\n');
    await root.run(pageBlock('docs/revocation.md', 'while read -r account'));
    const receipt = JSON.parse(await readFile(join(home, 'receipts.json'), 'utf8')) as object;
    expect(receipt).toMatchObject({ complete: true, sessions: 1 });
    expect(await readFile(join(home, 'again.txt'), 'utf8')).toBe('not an account\n');
    await alice.run(`portcullis login --server ${instance.urls.web}`);
  });

  it('docs/posture.md: for a user, and for a script', async () => {
    const report = await root.try(
      withValues(pageBlock('docs/posture.md', 'portcullis posture --cluster prod\n'), { prod: 'demo' }),
    );
    expect(report.stdout).toMatch(
      /^demo: \d+ high, (?:at least )?\d+ medium, \d+ low; 0 waived; \d+ of \d+ rules evaluated/m,
    );
    const shown = fencedBlocks(readPage('docs/posture.md')).find(({ text }) => text.startsWith('waivers:'))?.text ?? '';
    await writeFile(join(folder, 'home-of-root/waivers.yaml'), shown);
    const block = pageBlock('docs/posture.md', 'portcullis posture --cluster prod --fail-on');
    const { code, all } = await root.try(withValues(block, { 'cluster prod': 'cluster demo' }));
    expect([0, 1], all).toContain(code);
    const json = JSON.parse(await readFile(join(folder, 'home-of-root/posture.json'), 'utf8')) as object;
    expect(Object.keys(json)).toEqual(expect.arrayContaining(['summary', 'findings', 'waived', 'unusedWaivers']));
  });

  it('docs/troubleshooting.md', async () => {
    const typed = pageBlock('docs/troubleshooting.md', 'kubectl get pods');
    await alice.run('portcullis logout');
    await instance.stop();
    const { all } = await alice.try(typed);
    expect(all).toContain(
      `${new URL(instance.urls.web).host} cannot be reached: no server listens there (ECONNREFUSED).\n  Next: `,
    );
  });
});

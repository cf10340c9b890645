/**
 * The commands that the documents tell operators to type before a server runs: keys, and how a configuration maps
 * the claims of a user.
 */
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import { parse, stringify } from 'yaml';
import { temporaryFolder } from '../support/instance.ts';
import { checkoutIn, linesOf, pageBlock, programsIn, withValues } from '../support/page-blocks.ts';
import { PageShell } from '../support/page-shell.ts';
import { probedIdp } from '../support/probe-stage.ts';
import { startRedis } from '../support/redis.ts';
import { CLIENT } from '../support/vendor-idp.ts';
import { FILES, settings } from '../unit/config/sandbox.ts';
import { fencedBlocks, readPage, ROOT } from '../unit/docs/markdown.ts';

let folder: string;
let checkout: string;
let shell: PageShell;
beforeAll(async () => {
  folder = await temporaryFolder();
  checkout = await checkoutIn(folder);
  const bin = await programsIn(folder, { portcullis: `exec '${process.execPath}' '${ROOT}src/main.ts' "$@"` });
  shell = new PageShell(checkout, { HOME: folder, PATH: `${bin}:${process.env['PATH']}` });
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const keysOf = (kind: string): Promise<readonly string[]> => readdir(join(checkout, 'keys', kind));

it('README.md, step 3: generates one key of each kind', async () => {
  await shell.run(pageBlock('README.md', 'npx portcullis keys generate'));
  for (const kind of ['signing', 'sealing', 'audit']) expect(await keysOf(kind)).toHaveLength(1);
});

it('docs/rotation.md: adds one key of each kind', async () => {
  const block = pageBlock('docs/rotation.md', 'portcullis keys rotate --dir');
  await shell.run(withValues(block, { '/etc/portcullis/keys': 'keys' }));
  for (const kind of ['signing', 'sealing', 'audit']) expect(await keysOf(kind)).toHaveLength(2);
});

/** Writes a configuration with the provider that docs/claims.md shows, and the cluster that its output names. */
async function writeConfiguration(): Promise<void> {
  const shown = fencedBlocks(readPage('docs/claims.md')).find(({ language }) => language === 'yaml')?.text ?? '';
  const { providers } = parse(shown) as { readonly providers: readonly object[] };
  const { clusters, ...rest } = settings();
  const config = {
    ...rest,
    providers: providers.map((provider) => ({ ...provider, clientSecretFile: 'client-secret' })),
    clusters: clusters.map((cluster) => ({ ...cluster, name: 'staging', hosts: ['staging.example.com'] })),
  };
  await mkdir(join(checkout, 'keys'), { recursive: true });
  const files = { ...FILES, 'portcullis.yaml': stringify(config) };
  for (const [name, text] of Object.entries(files)) {
    if (!name.startsWith('keys/')) await writeFile(join(checkout, name), text);
  }
}

const CLAIMS = {
  sub: '4711',
  email: 'alice@example.com',
  email_verified: true,
  groups: ['developers'],
  department: 'shop',
  hd: 'example.com',
};

const saidOf = (verdict: string): string =>
  fencedBlocks(readPage('docs/claims.md')).find(({ text }) => text.startsWith(`corp (oidc): ${verdict}`))?.text ?? '';

it(
  'docs/claims.md: prints for the claims what the page shows, and exits with its code',
  { timeout: 120_000 },
  async () => {
    await writeConfiguration();
    const block = pageBlock('docs/claims.md', 'portcullis config check');
    await writeFile(join(checkout, 'alice.json'), JSON.stringify(CLAIMS));
    expect(await shell.try(block)).toMatchObject({ code: 0, stdout: `${saidOf('allowed')}\n` });
    await writeFile(join(checkout, 'alice.json'), JSON.stringify({ ...CLAIMS, hd: 'example.org' }));
    expect(await shell.try(block)).toMatchObject({ code: 3, stdout: `${saidOf('rejected')}\n` });
  },
);

it('docs/providers/oidc.md: probes a provider before any sign-in, in the rows that the page shows', async () => {
  const idp = await probedIdp();
  await writeConfiguration();
  const provider = { name: 'corp', issuer: idp.issuer, clientId: CLIENT.id, clientSecretFile: 'client-secret' };
  await writeFile(join(checkout, 'client-secret'), CLIENT.secret);
  await writeFile(join(checkout, 'portcullis.yaml'), stringify({ ...settings(), providers: [provider] }));
  const { code, stdout } = await shell.try(pageBlock('docs/providers/oidc.md', 'portcullis config probe'));
  expect(code).toBe(0);
  const shown =
    fencedBlocks(readPage('docs/providers/oidc.md')).find(({ text }) => text.startsWith('CHECK'))?.text ?? '';
  const checks = (text: string): string[] => text.split('\n').flatMap((line) => line.split(/ {3,}/, 1));
  expect(checks(shown).length).toBeGreaterThan(5);
  expect(checks(stdout)).toEqual(expect.arrayContaining(checks(shown.trimEnd())));
});

it('docs/managed-stores.md: checks a store, in the rows that the page shows', async () => {
  const redis = await startRedis({ args: ['--requirepass', 'secret'] });
  onTestFinished(() => redis.stop());
  await writeFile(join(checkout, 'redis-password'), 'secret');
  const block = pageBlock('docs/managed-stores.md', 'portcullis store check');
  const values = { 'rediss://redis.example.com:6379': redis.url, '--username portcullis': '--username default' };
  const { code, stdout } = await shell.try(withValues(block, values));
  expect(code).toBe(0);
  const shown =
    fencedBlocks(readPage('docs/managed-stores.md')).find(({ text }) => text.startsWith('CHECK'))?.text ?? '';
  const checks = (text: string): string[] =>
    text
      .trimEnd()
      .split('\n')
      .flatMap((line) => line.split(/ {3,}/, 1));
  expect(checks(shown).length).toBeGreaterThan(15);
  expect(checks(stdout)).toEqual(expect.arrayContaining(checks(shown)));
});

it(
  'README.md, step 4: prints all validation errors together, and the identity of a user',
  { timeout: 120_000 },
  async () => {
    const block = pageBlock('README.md', 'npx portcullis config check');
    const [check = ''] = linesOf(block);
    await writeConfiguration();
    await writeFile(join(checkout, 'claims.json'), JSON.stringify(CLAIMS));
    expect(await shell.run(block)).toMatch(/^valid: 1 provider[^]*corp:alice@example\.com/);
    await writeFile(join(checkout, 'portcullis.yaml'), stringify({ ...settings(), publicUrl: 'nowhere', frob: 1 }));
    const { code, all } = await shell.try(check);
    expect(code).toBe(2);
    expect(all).toMatch(/publicUrl/);
    expect(all).toMatch(/frob/);
  },
);

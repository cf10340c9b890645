/**
 * What package managers and the install script get, held against archives that were really built: sums, names, contents,
 * and an installation from a server on loopback.
 */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFileSync,
  copyFileSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { parse } from 'yaml';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { sumOf } from '../../scripts/release/release-files.ts';
import { pageBlock, withValues } from '../support/page-blocks.ts';
import { fewTools } from './few-tools.ts';
import { ROOT } from '../unit/docs/markdown.ts';
import { createTestCertificates } from './cli/certificates.ts';

const run = promisify(execFile);
const { version: VERSION } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
const ARCHIVE = `portcullis-${VERSION}-linux-${process.arch}.tar.gz`;
const NPM_PACKAGE = `portcullis-${VERSION}.tgz`;
const IDENTITY = `https://github.com/example/portcullis/.github/workflows/release.yml@refs/tags/v${VERSION}`;

const dir = mkdtempSync(join(tmpdir(), 'portcullis-release-'));
const built = join(dir, 'built');
/** What the server has: each test may alter its copy. */
const served = join(dir, 'served');

let server: Server;
let address: string;
beforeAll(async () => {
  server = createServer((request, response) => {
    const file = join(served, basename(request.url ?? ''));
    if (existsSync(file)) response.end(readFileSync(file));
    else response.writeHead(404).end();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  address = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v${VERSION}`;
  await run(process.execPath, [join(ROOT, 'scripts/build-cli.ts'), '--out', built, '--arch', process.arch]);
  await manifests(built);
}, 300_000);
afterAll(() => {
  server.close();
  rmSync(dir, { recursive: true, force: true });
});

const manifests = (directory: string, repository = 'example/portcullis') =>
  run(process.execPath, [
    join(ROOT, 'scripts/release-manifests.ts'),
    `--repository=${repository}`,
    `--version=${VERSION}`,
    `--dir=${directory}`,
    `--download=${address}`,
  ]);

const fileOf = (name: string): string => readFileSync(join(built, name), 'utf8');

/** Asserts that an address is of a file of the release, with this sum. */
function expectFile(url: string, sha256: string): void {
  expect(dirname(url)).toBe(address);
  expect(sha256.toLowerCase()).toBe(sumOf(join(built, basename(url))));
}

/** A folder with some files of the release, or one that stands for it, and their sums. */
function folderOf(name: string, files: readonly string[]): string {
  const folder = join(dir, name);
  mkdirSync(folder);
  for (const file of files) {
    if (existsSync(join(built, file))) copyFileSync(join(built, file), join(folder, file));
    else writeFileSync(join(folder, file), 'MZ');
  }
  const sums = files.map((file) => `${sumOf(join(folder, file))}  ${file}\n`);
  writeFileSync(join(folder, 'SHA256SUMS'), sums.join(''));
  return folder;
}

describe('the manifests', { timeout: 60_000 }, () => {
  test('are listed in SHA256SUMS with every other file, also after a second run', async () => {
    await manifests(built);
    const { stdout } = await run('sha256sum', ['--check', '--strict', 'SHA256SUMS'], { cwd: built });
    const files = readdirSync(built, { withFileTypes: true }).filter((found) => found.isFile());
    expect(stdout.match(/: OK$/gm)).toHaveLength(files.length - 1);
    expect(stdout).toContain('install.sh: OK');
  });

  test('are not written for a file that is not the one that was built, or with a name that a shell would read', async () => {
    const altered = folderOf('altered', [ARCHIVE]);
    await expect(manifests(altered)).rejects.toMatchObject({ stderr: expect.stringContaining(`no ${NPM_PACKAGE}`) });
    appendFileSync(join(altered, ARCHIVE), 'x');
    await expect(manifests(altered)).rejects.toMatchObject({
      stderr: expect.stringContaining(`${ARCHIVE} is not the file that SHA256SUMS lists`),
    });
    await expect(manifests(built, "example/x'$(id)")).rejects.toMatchObject({
      stderr: expect.stringContaining('not OWNER/NAME'),
    });
  });

  test('for winget exist where there are executables for Windows, with their sums', async () => {
    expect(readdirSync(built).filter((name) => name.includes('Portcullis'))).toEqual([]);
    // The second stands for an executable: it is listed, and never run.
    const windows = folderOf('windows', [NPM_PACKAGE, 'portcullis-win32-x64.exe']);
    await manifests(windows);
    const read = (suffix: string): Record<string, unknown> =>
      parse(readFileSync(join(windows, `example.Portcullis${suffix}.yaml`), 'utf8')) as Record<string, unknown>;
    const common = { PackageIdentifier: 'example.Portcullis', PackageVersion: VERSION, ManifestVersion: '1.9.0' };
    expect(read('')).toEqual({ ...common, DefaultLocale: 'en-US', ManifestType: 'version' });
    expect(read('.installer')).toEqual({
      ...common,
      ManifestType: 'installer',
      InstallerType: 'portable',
      Commands: ['portcullis'],
      Installers: [
        {
          Architecture: 'x64',
          InstallerUrl: `${address}/portcullis-win32-x64.exe`,
          InstallerSha256: sumOf(join(windows, 'portcullis-win32-x64.exe')).toUpperCase(),
        },
      ],
    });
    // What the schema of winget-cli requires of the default locale.
    for (const key of ['PackageLocale', 'Publisher', 'PackageName', 'License', 'ShortDescription']) {
      expect(read('.locale.en-US')).toHaveProperty(key, expect.any(String));
    }
  });

  test('for Homebrew name files of the release, and both kinds of archives have the two folders that it installs', async () => {
    const formula = fileOf('portcullis.rb');
    const sources = [...formula.matchAll(/url "([^"]+)"\n\s+sha256 "([^"]+)"/g)];
    expect(sources.map(([, url]) => basename(url ?? ''))).toEqual([ARCHIVE, NPM_PACKAGE]);
    for (const [, url, sum] of sources) {
      expectFile(url ?? '', sum ?? '');
      const { stdout } = await run('tar', ['-tzf', join(built, basename(url ?? ''))]);
      // Homebrew enters the only folder of an archive: npm's archives have one.
      const inside = stdout.split('\n').map((path) => path.replace(/^package\//, ''));
      expect(inside).toEqual(expect.arrayContaining(['bin/portcullis', 'lib/portcullis/LICENSE']));
    }
    expect(formula).toMatch(/on_macos do\n[^]*depends_on "node"\n {2}end/);
  });
});

describe('krew', { timeout: 60_000 }, () => {
  interface Platform {
    readonly selector: { readonly matchLabels: { readonly os: string; readonly arch: string } };
    readonly uri: string;
    readonly sha256: string;
    readonly files: readonly { readonly from: string; readonly to: string }[];
    readonly bin: string;
  }
  const plugin = () =>
    parse(fileOf('portcullis.yaml')) as {
      apiVersion: string;
      kind: string;
      metadata: { name: string };
      spec: { version: string; shortDescription: string; platforms: readonly Platform[] };
    };

  // The rules of krew's own validation (internal/index/validation), and those of its naming guide.
  test('has a manifest that its validation accepts', () => {
    const { apiVersion, kind, metadata, spec } = plugin();
    expect({ apiVersion, kind }).toEqual({
      apiVersion: 'krew.googlecontainertools.github.com/v1alpha2',
      kind: 'Plugin',
    });
    expect(metadata.name).toBe('portcullis'); // as the file
    expect(metadata.name).toMatch(/^[a-z][a-z0-9-]*$/);
    expect(spec.version).toBe(`v${VERSION}`);
    expect(spec.shortDescription).toMatch(/^[^\r\n]{1,50}$/);
    const systems = spec.platforms.map(({ selector }) => `${selector.matchLabels.os}/${selector.matchLabels.arch}`);
    expect(systems).toEqual([`linux/${process.arch === 'x64' ? 'amd64' : 'arm64'}`, 'darwin/amd64', 'darwin/arm64']);
    for (const { uri, sha256 } of spec.platforms) expectFile(uri, sha256);
  });

  /** As krew does it: each operation moves what its pattern matches, and a link on the PATH leads to the program. */
  async function install({ uri, files, bin }: Platform, to: string): Promise<string> {
    const from = join(to, 'archive');
    const store = join(to, 'store');
    mkdirSync(from, { recursive: true });
    await run('tar', ['-xzf', join(built, basename(uri)), '-C', from]);
    for (const operation of files) {
      const found = globSync(operation.from, { cwd: from });
      expect(found, operation.from).not.toEqual([]);
      mkdirSync(join(store, operation.to), { recursive: true });
      for (const path of found) renameSync(join(from, path), join(store, operation.to, basename(path)));
    }
    symlinkSync(join(store, bin), join(to, 'kubectl-portcullis'));
    return join(to, 'kubectl-portcullis');
  }

  test.each([0, 1])('installs a program that starts through krew’s link: platform %d', async (index) => {
    const platform = plugin().spec.platforms[index];
    if (platform === undefined) throw new Error('no such platform');
    const program = await install(platform, join(dir, `krew-${index}`));
    // The executable needs nothing; the package for macOS needs Node.
    const path = index === 0 ? '/nonexistent' : dirname(process.execPath);
    const { stdout } = await run(program, ['--version'], { env: { PATH: path } });
    expect(stdout).toBe(`portcullis ${VERSION}\n`);
  });
});

describe('install.sh', { timeout: 60_000 }, () => {
  let prefix: string;
  beforeEach(() => {
    prefix = mkdtempSync(join(dir, 'prefix-'));
    rmSync(served, { recursive: true, force: true });
    mkdirSync(served);
    for (const name of readdirSync(built)) if (name !== 'npm') copyFileSync(join(built, name), join(served, name));
    writeFileSync(join(served, 'SHA256SUMS.sigstore.json'), '{}');
  });

  const pathWith = (tools: readonly string[], cosign?: string): string =>
    fewTools(dir, tools, cosign === undefined ? {} : { cosign });

  const install = (path: string, environment: NodeJS.ProcessEnv = {}, script = join(served, 'install.sh')) =>
    run('/bin/sh', [script], { env: { PATH: path, PORTCULLIS_PREFIX: prefix, ...environment } });

  const versionHere = async (): Promise<string> =>
    (await run(join(prefix, 'bin/portcullis'), ['--version'], { env: { PATH: '/nonexistent' } })).stdout;

  const installed = (): readonly string[] => readdirSync(prefix);

  test('installs, says that the signature was not checked, and what to add to PATH', async () => {
    const { stdout, stderr } = await install(pathWith(['curl']));
    expect(await versionHere()).toBe(`portcullis ${VERSION}\n`);
    expect(stderr).toMatch(/cosign is not here, so the signature is not checked/);
    expect(stdout).toContain(`export PATH="${prefix}/bin:$PATH"`);
    expect(installed().toSorted()).toEqual(['bin', 'lib']); // nothing temporary is left
  });

  test('leaves no folder or file that another user of the group can write to', async () => {
    const env = { PATH: pathWith(['curl']), PORTCULLIS_PREFIX: prefix };
    await run('/bin/sh', ['-c', 'umask 000 && . "$0"', join(served, 'install.sh')], { env });
    expect((await run('find', [prefix, '-perm', '/022'])).stdout).toBe('');
  });

  test('follows no server from https to plain http', async () => {
    const { ca, certificate, privateKey } = await createTestCertificates();
    const moved = createTlsServer({ cert: certificate, key: privateKey }, (request, response) =>
      response.writeHead(302, { location: `${address}/${basename(request.url ?? '')}` }).end(),
    ).listen(0, '127.0.0.1');
    await once(moved, 'listening');
    writeFileSync(join(dir, 'ca.pem'), ca);
    const download = `https://127.0.0.1:${(moved.address() as AddressInfo).port}`;
    const ended = install(pathWith(['curl']), { PORTCULLIS_DOWNLOAD: download, CURL_CA_BUNDLE: join(dir, 'ca.pem') });
    await expect(ended).rejects.toMatchObject({ code: 1, stderr: expect.stringMatching(/Protocol "http" /) });
    moved.close();
    expect(installed()).toEqual([]);
  });

  test('installs nothing where a folder is in the place of a file', async () => {
    mkdirSync(join(prefix, 'bin/kubectl-portcullis'), { recursive: true });
    const stderr: unknown = expect.stringContaining('kubectl-portcullis is a folder; nothing was installed');
    await expect(install(pathWith(['curl']))).rejects.toMatchObject({ code: 1, stderr });
    expect(readdirSync(join(prefix, 'lib/portcullis'))).toEqual([]);
  });

  test('asks cosign for the signature of the release workflow of this repository and version', async () => {
    const log = join(dir, 'cosign.log');
    const path = pathWith(['curl'], `printf '%s\\n' "$@" >'${log}'`);
    const { stdout } = await install(`${prefix}/bin:${path}`);
    const args = readFileSync(log, 'utf8').split('\n');
    expect(args[0]).toBe('verify-blob');
    expect(args).toEqual(expect.arrayContaining(['--certificate-identity', IDENTITY]));
    expect(args).toEqual(
      expect.arrayContaining(['--certificate-oidc-issuer', 'https://token.actions.githubusercontent.com']),
    );
    expect(stdout).not.toContain('export PATH');
  });

  test('replaces an earlier version of the other kind', async () => {
    mkdirSync(join(prefix, 'lib/portcullis'), { recursive: true });
    writeFileSync(join(prefix, 'lib/portcullis/portcullis'), '#!/bin/sh\necho portcullis 0.0.1\n', { mode: 0o755 });
    // As on a system without an archive of its own: only the package for npm is left.
    const sums = readFileSync(join(served, 'SHA256SUMS'), 'utf8').split('\n');
    writeFileSync(join(served, 'SHA256SUMS'), sums.filter((line) => !line.endsWith(ARCHIVE)).join('\n'));
    const without = install(pathWith(['curl']));
    await expect(without).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/Next: install Node 24 or newer/),
    });
    const path = pathWith(['curl']);
    symlinkSync(process.execPath, join(path, 'node'));
    await install(path);
    const { stdout } = await run(join(prefix, 'bin/portcullis'), ['--version'], { env: { PATH: path } });
    expect(stdout).toBe(`portcullis ${VERSION}\n`);
  });

  const appendTo = (name: string) => (): void => appendFileSync(join(served, name), 'x');
  const REJECTED = [
    [
      'an archive that was altered',
      appendTo(ARCHIVE),
      /is not the file of the release: its SHA-256 is [0-9a-f]{64}, not [0-9a-f]{64}; nothing was installed/,
    ],
    ['an archive that is not there', () => rmSync(join(served, ARCHIVE)), /cannot download http/],
    [
      'an archive with two sums',
      () => appendFileSync(join(served, 'SHA256SUMS'), `${'0'.repeat(64)}  ${ARCHIVE}\n`),
      /lists \S+ twice/,
    ],
  ] as const;
  test.each(REJECTED)('rejects %s', async (_, alter, message) => {
    alter();
    await expect(install(pathWith(['curl']))).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringMatching(message),
    });
    expect(installed()).toEqual([]);
  });

  test('rejects sums whose signature cosign rejects, and sums without one', async () => {
    const refusing = pathWith(['curl'], 'echo "none of the expected identities matched" >&2; exit 1');
    await expect(install(refusing)).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringMatching(
        /identities matched[^]*is not signed by the release workflow[^]*nothing was installed/,
      ),
    });
    rmSync(join(served, 'SHA256SUMS.sigstore.json'));
    await expect(install(pathWith(['curl'], 'exit 0'))).rejects.toMatchObject({ code: 1 });
    const strict = install(pathWith(['curl']), { PORTCULLIS_VERIFY: 'signature' });
    await expect(strict).rejects.toMatchObject({ code: 1, stderr: expect.stringContaining('Next: install cosign') });
    const misspelt = install(refusing, { PORTCULLIS_VERIFY: 'checksum' });
    await expect(misspelt).rejects.toMatchObject({ code: 1, stderr: expect.stringContaining('is neither') });
    expect(installed()).toEqual([]);
  });

  test('rejects plain http, a relative folder, a folder that cannot be made, and a machine without curl', async () => {
    const path = pathWith(['curl']);
    const said = (environment: NodeJS.ProcessEnv, on = path): Promise<string> =>
      install(on, environment).then(
        () => 'installed',
        ({ stderr }: { stderr: string }) => stderr,
      );
    expect(await said({ PORTCULLIS_DOWNLOAD: 'http://mirror.example.com/v1' })).toMatch(/not an https address/);
    expect(await said({ PORTCULLIS_DOWNLOAD: 'http://127.0.0.1:1@mirror.example.com/v1' })).toMatch(
      /not an https address/,
    );
    expect(await said({ PORTCULLIS_PREFIX: 'here' })).toMatch(/not an absolute path/);
    expect(await said({ PORTCULLIS_PREFIX: '/proc/nowhere' })).toMatch(
      /cannot write to \/proc\/nowhere\n {2}Next: .*do not use sudo/,
    );
    // wget would follow a server from https to http, so it is not used.
    expect(await said({}, fewTools(dir, [], { wget: 'exit 0' }))).toMatch(/curl is not here\n {2}Next: install it/);
  });

  test('docs/releases.md: is downloaded and run', async () => {
    const block = withValues(pageBlock('docs/releases.md', 'curl -fsSLO'), {
      'https://github.com/OWNER/NAME/releases/download/vVERSION': address,
    });
    const folder = mkdtempSync(join(dir, 'downloads-'));
    await run('/bin/sh', ['-euc', block], {
      cwd: folder,
      env: { PATH: pathWith(['curl']), PORTCULLIS_PREFIX: prefix },
    });
    expect(await versionHere()).toBe(`portcullis ${VERSION}\n`);
  });

  // cosign and gh are stand-ins here: there is no signature to verify yet.
  test('docs/releases.md: the files and the image are verified, as from the release workflow', async () => {
    const path = pathWith([], `printf '%s\\n' "$@" >>cosign.log`);
    writeFileSync(join(path, 'gh'), '#!/bin/sh\n', { mode: 0o755 });
    const values = { 'OWNER/NAME': 'example/portcullis', vVERSION: `v${VERSION}` };
    const blocks = [
      pageBlock('docs/releases.md', 'cosign verify-blob'),
      pageBlock('docs/releases.md', 'cosign verify ghcr'),
    ];
    const commands = blocks.map((block) => withValues(block, values)).join('\n');
    const { stdout } = await run('/bin/sh', ['-euc', commands], { cwd: served, env: { PATH: path } });
    const asked = readFileSync(join(served, 'cosign.log'), 'utf8').split('\n');
    expect(asked.filter((line) => line === IDENTITY)).toHaveLength(2);
    expect(stdout).toContain(`${ARCHIVE}: OK`);
  });

  test('does nothing where its download ended early', async () => {
    const text = readFileSync(join(served, 'install.sh'), 'utf8');
    for (const part of [0.3, 0.7, 0.99]) {
      const cut = join(dir, 'cut.sh');
      writeFileSync(cut, text.slice(0, Math.floor(text.length * part)));
      await install(pathWith(['curl']), {}, cut).catch(() => undefined);
      expect(installed()).toEqual([]);
    }
  });
});

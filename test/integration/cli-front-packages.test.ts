import { execFile } from 'node:child_process';
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { FrontStage, usual } from '../support/cli-front.ts';

const run = promisify(execFile);
const BUILD = fileURLToPath(new URL('../../scripts/build-cli.ts', import.meta.url));
const VERSION = /^portcullis \d+\.\d+\.\d+\n$/;

const dir = mkdtempSync(join(tmpdir(), 'portcullis-packages-'));
const out = join(dir, 'out');
const executable = join(out, `portcullis-linux-${process.arch}`);

const build = (to: string): Promise<unknown> =>
  run(process.execPath, [BUILD, '--out', to, '--arch', process.arch], { maxBuffer: 1e7 });

/** Returns the file whose name matches. */
function file(pattern: RegExp): string {
  const name = readdirSync(out).find((found) => pattern.test(found));
  if (name === undefined) throw new Error(`nothing built is called ${pattern}`);
  return join(out, name);
}

beforeAll(() => build(out), 300_000);
afterAll(() => rmSync(dir, { recursive: true, force: true }));

describe('the output of build:cli', { timeout: 300_000 }, () => {
  test('is one file that Node runs', async () => {
    const { stdout } = await run(process.execPath, [join(out, 'portcullis.cjs'), '--version']);
    expect(stdout).toMatch(VERSION);
  });

  test('is started on Windows with a Node of PATH, never with one of the current folder', () => {
    const script = readFileSync(join(out, 'portcullis.cmd'), 'utf8');
    expect(script).toContain('%%~$PATH:i');
    expect(script).not.toMatch(/^@?node/m);
  });

  test('has the commands for users, and none of the server', async () => {
    const { stdout } = await run(process.execPath, [join(out, 'portcullis.cjs'), '--help']);
    for (const command of ['login', 'get-token', 'kubeconfig', 'revoke', 'completion'])
      expect(stdout).toContain(command);
    expect(stdout).not.toMatch(/^ {2}(?:serve|demo|config|keys)\b/m);
    const locked = run(process.execPath, [join(out, 'portcullis.cjs'), 'unlock', '--all', '--config', 'x']);
    await expect(locked).rejects.toMatchObject({
      code: 2,
      stderr: expect.stringContaining('on the server’s own shell'),
    });
  });

  test('has the checksum of every file', async () => {
    const { stdout } = await run('sha256sum', ['--check', 'SHA256SUMS'], { cwd: out });
    const files = readdirSync(out, { withFileTypes: true }).filter((found) => found.isFile());
    expect(stdout.match(/: OK$/gm)).toHaveLength(files.length - 1);
  });

  test('is the same in a second build, byte for byte', async () => {
    const again = join(dir, 'again');
    await build(again);
    expect(readFileSync(join(again, 'SHA256SUMS'), 'utf8')).toBe(readFileSync(join(out, 'SHA256SUMS'), 'utf8'));
    rmSync(again, { recursive: true });
  });

  test('names the libraries inside with their licences', () => {
    const notices = readFileSync(join(out, 'THIRD-PARTY-NOTICES.txt'), 'utf8');
    expect(notices).toMatch(/^--- commander \S+ \(MIT\)$/m);
    expect(notices).not.toContain('undefined');
  });
});

describe('the executable', { timeout: 120_000 }, () => {
  test('runs on a machine without Node', async () => {
    const { stdout } = await run(executable, ['--version'], { env: { PATH: '/nonexistent' } });
    expect(stdout).toMatch(VERSION);
  });

  test.runIf(process.getuid?.() === 0)('runs in an empty root folder with only the C libraries', async () => {
    const root = join(dir, 'root');
    // This process is the same Node, so the executable loads the same libraries.
    const report = process.report.getReport() as { readonly sharedObjects: readonly string[] };
    const libraries = report.sharedObjects.filter((library) => /^\/(?:usr\/)?lib/.test(library));
    for (const library of libraries) {
      mkdirSync(join(root, dirname(library)), { recursive: true });
      copyFileSync(library, join(root, library));
    }
    copyFileSync(executable, join(root, 'portcullis'));
    const { stdout } = await run('/usr/sbin/chroot', [root, '/portcullis', '--version'], { env: { HOME: '/' } });
    expect(stdout).toMatch(VERSION);
    // An unexpected error prints a short message, not the script.
    const homeless = run('/usr/sbin/chroot', [root, '/portcullis', 'whoami'], { env: {} });
    await expect(homeless).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^portcullis: [^]{1,400}$/),
    });
  });

  test('runs no script that its arguments contain', async () => {
    const asked = run(executable, ['--eval', 'console.log("ran")'], { env: {} });
    await expect(asked).rejects.toMatchObject({ code: expect.any(Number), stdout: '' });
  });

  test('is in the archive with the front, which returns a token without starting it', async () => {
    const prefix = join(dir, 'prefix');
    mkdirSync(prefix);
    await run('tar', ['-xzf', file(/\.tar\.gz$/), '-C', prefix]);
    const { stdout } = await run(join(prefix, 'bin/kubectl-portcullis'), ['--version'], {
      env: { PATH: '/nonexistent' },
    });
    expect(stdout).toMatch(VERSION);
    const stage = new FrontStage('/nonexistent');
    stage.signIn();
    rmSync(join(prefix, 'lib'), { recursive: true });
    const cached = await run(join(prefix, 'bin/portcullis'), usual(), {
      env: { PORTCULLIS_CACHE_DIR: stage.cacheDir },
    });
    stage.remove();
    expect(JSON.parse(cached.stdout)).toMatchObject({ kind: 'ExecCredential' });
  });
});

describe('the npm package', { timeout: 120_000 }, () => {
  const prefix = join(dir, 'npm prefix');
  beforeAll(() => run('npm', ['install', '--global', '--offline', '--prefix', prefix, file(/\.tgz$/)]), 120_000);

  const path = (...before: readonly string[]): NodeJS.ProcessEnv => ({
    PATH: [join(prefix, 'bin'), ...before, '/usr/bin', '/bin'].join(':'),
  });

  test('is installed without a network, and runs through npm’s links', async () => {
    const { stdout } = await run(join(prefix, 'bin/portcullis'), ['--version'], {
      env: path(dirname(process.execPath)),
    });
    expect(stdout).toMatch(VERSION);
  });

  // The others are in the bundle: installed beside it, they would only weigh.
  test('asks npm for the keyring’s library alone', () => {
    const manifest = JSON.parse(readFileSync(join(out, 'npm/package.json'), 'utf8')) as Record<string, object>;
    expect(manifest).not.toHaveProperty('dependencies');
    expect(Object.keys(manifest['optionalDependencies'] ?? {})).toEqual(['@napi-rs/keyring']);
    expect(readFileSync(join(out, 'portcullis.cdx.json'), 'utf8')).toContain('"pkg:npm/%40napi-rs/keyring@');
  });

  test('is found by kubectl as a plugin', async () => {
    const { stdout } = await run('kubectl', ['portcullis', '--version'], { env: path(dirname(process.execPath)) });
    expect(stdout).toMatch(VERSION);
    const completed = await run('kubectl', ['__complete', 'portcullis', 'who'], {
      env: path(dirname(process.execPath)),
    });
    expect(completed.stdout).toContain('whoami');
  });

  test('names the missing program on a machine without Node', async () => {
    const bare = join(dir, 'bare');
    mkdirSync(bare);
    symlinkSync('/bin/sh', join(bare, 'sh'));
    const asked = run(join(prefix, 'bin/portcullis'), ['--version'], { env: { PATH: bare } });
    await expect(asked).rejects.toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining('Node 24') });
  });

  test('names the required version where Node is too old', async () => {
    const old = join(dir, 'old');
    mkdirSync(old);
    // A script recognizes an old Node by its version.
    const script = 'Object.defineProperty(process.versions, "node", { value: "20.1.0" })';
    writeFileSync(join(old, 'old.cjs'), script);
    const asked = run(join(prefix, 'bin/portcullis'), ['whoami'], {
      env: { ...path(dirname(process.execPath)), NODE_OPTIONS: `--require=${join(old, 'old.cjs')}` },
    });
    await expect(asked).rejects.toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining('Node 24') });
  });
});

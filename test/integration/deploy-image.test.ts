/** The image, built step by step by scripts/image.ts: what is in it, and a server that runs from it. */
import { execFile, execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { rm } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';
import { promisify } from 'node:util';
import { parse, stringify } from 'yaml';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildImage, type BuiltImage } from '../../scripts/image.ts';
import { demoPorts, USERS } from '../../demo/demo.ts';
import type { RunningDemo } from '../../demo/launch.ts';
import { freePortBase, startTestInstance, temporaryFolder } from '../support/instance.ts';

interface Packages {
  readonly packages: Readonly<Record<string, { readonly dev?: boolean; readonly version?: string }>>;
}

const IS_ROOT = process.getuid?.() === 0;
const USER = 65_532;

let folder: string;
let image: BuiltImage;
let app: string;
beforeAll(async () => {
  folder = await temporaryFolder();
  chmodSync(folder, 0o755);
  image = await buildImage(join(folder, 'image'));
  app = join(image.root, image.workingDirectory);
}, 300_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

/** The files of the program, relative to its folder. */
const sources = (): readonly string[] =>
  readdirSync(join(app, 'src'), { recursive: true, encoding: 'utf8' }).filter((path) => path.endsWith('.ts'));

/** Returns the imports of a file at run time (without types), each with the file or package folder that it needs. */
const IMPORT = /^(?:import|export) (?!type\b)(?:[^;']* from )?'([^']+)'|\bimport\('([^']+)'\)/gm;
const importsOf = (file: string) =>
  [...readFileSync(file, 'utf8').matchAll(IMPORT)].flatMap(([, fixed, onDemand]) => {
    const specifier = fixed ?? onDemand ?? '';
    if (specifier.startsWith('node:')) return [];
    const name = /^(?:@[^/]+\/)?[^/]+/.exec(specifier)?.[0] ?? '';
    const target = specifier.startsWith('.') ? resolve(dirname(file), specifier) : join(app, 'node_modules', name);
    return [{ from: relative(app, file), specifier, target }];
  });

const readJson = (path: string): unknown => JSON.parse(readFileSync(path, 'utf8'));

describe('the image', () => {
  it('holds the program, its licence and its packages, and nothing else', () => {
    expect(readdirSync(app).toSorted()).toEqual(['LICENSE', 'node_modules', 'package.json', 'sbom.cdx.json', 'src']);
    expect(readdirSync(image.root)).toEqual([image.workingDirectory.slice(1)]);
  });

  it('has no development dependency, and every other package of the lock file', () => {
    const lock = readJson(new URL('../../package-lock.json', import.meta.url).pathname) as Packages;
    const installed = readJson(join(app, 'node_modules/.package-lock.json')) as Packages;
    expect(Object.values(installed.packages).filter(({ dev }) => dev === true)).toEqual([]);
    for (const name of [
      'vitest',
      'typescript',
      'playwright-core',
      'oxlint',
      'knip',
      'node',
      '@kubernetes/client-node',
      'ws',
    ]) {
      expect(existsSync(join(app, 'node_modules', name)), name).toBe(false);
    }
    const wanted = Object.keys(lock.packages).filter((path) => path !== '' && lock.packages[path]?.dev !== true);
    expect(wanted.length).toBeGreaterThan(50);
    expect(Object.keys(installed.packages).toSorted()).toEqual(expect.arrayContaining(['node_modules/express']));
    expect(Object.keys(installed.packages).filter((path) => !wanted.includes(path))).toEqual([]);
  });

  // An attacker starts the demo's identity provider in the server's container and signs in with a printed password,
  // so the image does not contain the demo.
  it('has no file of the demo, and none of its passwords', () => {
    expect(sources().filter((path) => /(^|\/)demo(\/|\.ts$)/.test(path))).toEqual([]);
    const known = USERS.map(({ password }) => password);
    const texts = sources().map((path) => ({ path, text: readFileSync(join(app, 'src', path), 'utf8') }));
    expect(
      texts.filter(({ text }) => known.some((password) => text.includes(password))).map(({ path }) => path),
    ).toEqual([]);
  });

  it('has every module and package that its program imports, except the optional ones, which only users’ commands load', () => {
    const { optionalDependencies } = readJson(new URL('../../package.json', import.meta.url).pathname) as Record<
      string,
      Record<string, string>
    >;
    const optional = Object.keys(optionalDependencies ?? {});
    const imports = sources().flatMap((path) => importsOf(join(app, 'src', path)));
    expect(imports.length).toBeGreaterThan(1000);
    const missing = imports.filter(({ target }) => !existsSync(target));
    expect(optional).toContain('@peculiar/x509');
    expect(new Set(missing.map(({ specifier }) => specifier))).toEqual(new Set(optional));
    expect(missing.filter(({ from }) => !from.startsWith('src/cli/'))).toEqual([]);
  });

  it('says where a user’s command works whose libraries it does not have', async () => {
    const login = ['src/main.ts', 'login', '--server', 'https://127.0.0.1:1'];
    const done = promisify(execFile)(process.execPath, login, { cwd: app, env: { HOME: folder } });
    await expect(done).rejects.toMatchObject({
      code: 2,
      stderr: expect.stringMatching(
        /^portcullis: The libraries of this command are not in the server’s image\.\n {2}Next: /,
      ),
    });
  });

  // Node reads neither: types cannot be stripped below node_modules, and source maps are off.
  it('has no file in its packages that Node cannot load', () => {
    const files = readdirSync(join(app, 'node_modules'), { recursive: true, encoding: 'utf8' });
    expect(
      files.filter((path) => /\.(?:[cm]?ts|map)$/.test(path) && statSync(join(app, 'node_modules', path)).isFile()),
    ).toEqual([]);
  });

  it('lists its contents in CycloneDX', () => {
    const sbom = readJson(join(app, 'sbom.cdx.json')) as { bomFormat: string; components: { purl: string }[] };
    const installed = readJson(join(app, 'node_modules/.package-lock.json')) as Packages;
    expect(sbom.bomFormat).toBe('CycloneDX');
    const listed = new Set(sbom.components.map(({ purl }) => decodeURIComponent(purl)));
    const present = Object.entries(installed.packages).map(
      ([path, { version }]) => `pkg:npm/${path.slice(path.lastIndexOf('node_modules/') + 13)}@${version}`,
    );
    expect(present.filter((purl) => !listed.has(purl))).toEqual([]);
    expect([...listed].filter((purl) => /\/(vitest|typescript|knip|ws)@/.test(purl))).toEqual([]);
  });

  it('runs as a numeric user, starts without a shell, and reports its version', () => {
    const { version } = readJson(join(app, 'package.json')) as { version: string };
    expect(image.user).toBe(`${USER}:${USER}`);
    expect(image.entrypoint).toEqual(['node', 'src/main.ts']);
    expect(image.command).toEqual(['serve']);
    expect(image.healthcheck[0]).toBe('node');
    expect(image.labels).toMatchObject({
      'org.opencontainers.image.title': 'portcullis',
      'org.opencontainers.image.version': version,
      'org.opencontainers.image.licenses': 'Apache-2.0',
    });
  });

  it('is built from scratch: only Node and the libraries that it loads are copied from the base image', () => {
    expect(image.base).toBe('scratch');
    expect(image.left).toEqual([
      expect.stringMatching(/^RUN apt-get .* libjemalloc2$/),
      expect.stringMatching(/^RUN libraries=/),
      'COPY --from=system /image/ /',
    ]);
    expect(image.environment).toEqual({
      PATH: '/usr/local/bin',
      NODE_ENV: 'production',
      LD_PRELOAD: 'libjemalloc.so.2',
    });
  });

  it('can be written to by root only, and read by every user', () => {
    const files = readdirSync(app, { recursive: true, encoding: 'utf8' }).map((path) => join(app, path));
    const modes = files.filter((path) => existsSync(path)).map((path) => ({ path, mode: statSync(path).mode }));
    expect(modes.length).toBeGreaterThan(1000);
    expect(modes.filter(({ mode }) => (mode & 0o022) !== 0)).toEqual([]);
    expect(modes.filter(({ mode }) => (mode & 0o044) !== 0o044)).toEqual([]);
  });
});

describe('a server from the image', () => {
  let demo: RunningDemo;
  let child: ChildProcess | undefined;
  let stderr = '';
  let ops: number;
  beforeAll(async () => {
    demo = await startTestInstance();
    const ports = demoPorts(await freePortBase());
    ops = ports.ops;
    const config = configurationOf(demo, ports);
    // As in the base image: Node, where the entry point finds it, and nothing else on the path.
    const bin = join(image.root, 'usr/local/bin');
    mkdirSync(bin, { recursive: true });
    copyFileSync(process.execPath, join(bin, 'node'));
    const [program = '', ...args] = image.entrypoint;
    child = spawn(join(bin, program), [...args, ...image.command], {
      cwd: app,
      // As with a read-only root: Node itself rejects each attempt to write anywhere.
      env: {
        PATH: bin,
        NODE_ENV: 'production',
        PORTCULLIS_CONFIG: config,
        NODE_OPTIONS: '--permission --allow-fs-read=*',
      },
      stdio: ['ignore', 'ignore', 'pipe'],
      ...(IS_ROOT ? { uid: USER, gid: USER } : {}),
    });
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  });
  afterAll(async () => {
    child?.kill('SIGKILL');
    await demo.stop();
  });

  /**
   * Copies the certificates, keys and secrets of a demo server, with other listeners. Returns the configuration
   * file.
   */
  function configurationOf({ files }: RunningDemo, ports: ReturnType<typeof demoPorts>): string {
    const mounted = join(folder, 'etc');
    cpSync(files.directory, mounted, { recursive: true });
    const text = readFileSync(files.config, 'utf8').replaceAll(files.directory, mounted);
    const file = parse(text) as { listen: Record<string, { address: string }>; audit: object };
    for (const name of ['api', 'web', 'ops'] as const) {
      const listener = file.listen[name];
      if (listener !== undefined) listener.address = `127.0.0.1:${ports[name]}`;
    }
    file.audit = { sinks: [{ type: 'stdout' }] };
    const config = join(mounted, 'portcullis.yaml');
    writeFileSync(config, stringify(file));
    if (IS_ROOT) execFileSync('chown', ['-R', `${USER}:${USER}`, mounted]);
    return config;
  }

  it('becomes healthy as an unprivileged user who can write nowhere', async () => {
    const status = (): Promise<number> =>
      fetch(`http://127.0.0.1:${ops}/readyz`).then(
        (answer) => answer.status,
        () => 0,
      );
    await expect.poll(status, { timeout: 40_000, message: stderr }).toBe(200);
  });

  it('is healthy by the health check of the image, which also reports when it is not', async () => {
    const check = async (port: number): Promise<unknown> => {
      const [program = '', ...args] = image.healthcheck.map((word) => word.replace(':9090/', `:${port}/`));
      const [code] = await once(spawn(join(image.root, 'usr/local/bin', program), args, { env: {} }), 'close');
      return code;
    };
    expect(image.healthcheck.join(' ')).toContain('http://127.0.0.1:9090/readyz');
    expect(await check(ops)).toBe(0);
    expect(await check(await freePortBase())).toBe(1);
  });

  it('stops on SIGTERM', async () => {
    if (child === undefined) throw new Error('not started');
    const closed = once(child, 'close');
    child.kill('SIGTERM');
    expect(await closed, stderr).toEqual([0, null]);
  });
});

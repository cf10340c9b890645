/** The image, built by a real builder: its content, that scripts/image.ts does the same, and a server that runs from it as in a cluster. */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, cpSync, readFileSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { parse, stringify } from 'yaml';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildImage, type BuiltImage } from '../../scripts/image.ts';
import { demoPorts } from '../../demo/demo.ts';
import type { RunningDemo } from '../../demo/launch.ts';
import { freePortBase, startTestInstance, temporaryFolder } from '../support/instance.ts';
import { newClientKey, OAuthClient } from '../support/oauth-client.ts';
import { buildWithBuilder, MOUNTED, type BuiltByBuilder, type Entry, type Started } from './image-builder.ts';

const PODS = '/api/v1/namespaces/default/pods';

let folder: string;
let image: BuiltByBuilder;
beforeAll(async () => {
  folder = await temporaryFolder();
  image = await buildWithBuilder(folder);
}, 600_000);
afterAll(async () => {
  await image?.[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

const isFile = ({ mode }: Entry): boolean => mode.startsWith('-') || mode.startsWith('h');

describe('the image', () => {
  describe('compared with the image of scripts/image.ts', () => {
    let steps: BuiltImage;
    beforeAll(async () => {
      steps = await buildImage(join(folder, 'steps'));
    }, 300_000);

    it('has the same files, with the same rights', () => {
      const app = steps.workingDirectory.slice(1);
      const listing = execFileSync('find', [app, '-printf', '%M %p\n'], {
        cwd: steps.root,
        encoding: 'utf8',
        maxBuffer: 64 * 1024 * 1024,
      });
      const built = image.entries.filter(({ path }) => path === app || path.startsWith(`${app}/`));
      expect(built.length).toBeGreaterThan(1000);
      expect(built.map(({ mode, path }) => `${mode} ${path}`).toSorted()).toEqual(
        listing.trim().split('\n').toSorted(),
      );
    });

    it('starts the same way', () => {
      const { config } = image;
      expect(config).toMatchObject({
        User: steps.user,
        WorkingDir: steps.workingDirectory,
        Entrypoint: steps.entrypoint,
        Cmd: steps.command,
        StopSignal: 'SIGTERM',
        Labels: steps.labels,
      });
      expect(config.Healthcheck.Test).toEqual(['CMD', ...steps.healthcheck]);
      expect(config.Env.toSorted()).toEqual(
        Object.entries(steps.environment)
          .map(([name, value]) => `${name}=${value}`)
          .toSorted(),
      );
      expect(Object.keys(config.ExposedPorts).toSorted()).toEqual(['6443/tcp', '8443/tcp', '9090/tcp']);
    });
  });

  it('has one program, which is Node: no shell, no package manager', () => {
    const outside = image.entries.filter((entry) => isFile(entry) && !entry.path.startsWith('app/'));
    const programs = outside.filter(({ mode, path }) => mode.includes('x') && !/\.so(\.\d+)*$/.test(path));
    expect(programs.map(({ path }) => path)).toEqual(['usr/local/bin/node']);
  });

  it('belongs to root, can be written to by no other user, and gives no user another’s rights', () => {
    expect(image.entries.filter(({ owner }) => owner !== '0/0')).toEqual([]);
    const loose = ({ mode }: Entry): boolean => !mode.startsWith('l') && (mode[5] === 'w' || mode[8] === 'w');
    expect(image.entries.filter(loose)).toEqual([]);
    expect(image.entries.filter(({ mode }) => /s/i.test(mode))).toEqual([]);
  });

  it('tells a scanner which packages of its system it has', () => {
    const paths = image.entries.filter(isFile).map(({ path }) => path);
    const packages = paths.filter((path) => path.startsWith('var/lib/dpkg/status.d/')).map((path) => path.slice(22));
    expect(packages).toEqual(expect.arrayContaining(['libc6', 'libgcc-s1', 'libjemalloc2']));
    expect(paths).toEqual(
      expect.arrayContaining([
        'etc/os-release',
        'app/sbom.cdx.json',
        ...packages.map((name) => `usr/share/doc/${name}/copyright`),
      ]),
    );
  });
});

describe('a server from the image', () => {
  let demo: RunningDemo;
  let ports: ReturnType<typeof demoPorts>;
  let mounted: string;
  let instance: Started;
  let said = '';
  beforeAll(async () => {
    demo = await startTestInstance({ redis: true });
    ports = demoPorts(await freePortBase());
    mounted = configurationOf(demo);
    instance = image.start(mounted);
    for (const stream of [instance.stdout, instance.stderr]) {
      stream.setEncoding('utf8').on('data', (more: string) => (said += more));
    }
  });
  afterAll(async () => {
    instance?.kill('SIGKILL');
    await demo?.stop();
  });

  /** A replica next to the demo's server: the same keys, the same Redis, listeners of its own. */
  function configurationOf({ files }: RunningDemo): string {
    const etc = join(folder, 'etc');
    cpSync(files.directory, etc, { recursive: true });
    const file = parse(readFileSync(files.config, 'utf8').replaceAll(files.directory, MOUNTED)) as {
      listen: Record<string, { address: string }>;
      audit: object;
    };
    for (const name of ['api', 'web', 'ops'] as const) {
      const listener = file.listen[name];
      if (listener !== undefined) listener.address = `127.0.0.1:${ports[name]}`;
    }
    file.audit = { sinks: [{ type: 'stdout' }] };
    writeFileSync(join(etc, 'portcullis.yaml'), stringify(file));
    chmodSync(folder, 0o755);
    execFileSync('chmod', ['-R', 'a+rX', etc]);
    return etc;
  }

  /** @returns what a line of JavaScript prints in the image */
  async function inside(script: string): Promise<string> {
    const child = image.start(mounted, ['node', '--eval', script]);
    const [out, error] = await Promise.all([child.stdout, child.stderr].map((stream) => text(stream)));
    expect(out, error).not.toBe('');
    return (out ?? '').trim();
  }

  it('becomes ready', async () => {
    const state = async () => ({
      status: await fetch(`http://127.0.0.1:${ports.ops}/readyz`).then(
        (answer) => answer.status,
        () => 0,
      ),
      said,
    });
    await expect.poll(state, { timeout: 60_000 }).toMatchObject({ status: 200 });
  });

  it('lets a user who signed in at another replica through to the cluster, and audits it', async () => {
    const ca = readFileSync(join(demo.files.directory, 'ca.crt'), 'utf8');
    const key = await newClientKey();
    const elsewhere = new OAuthClient({ web: demo.urls.web, api: demo.urls.api, ca }, key);
    const here = new OAuthClient({ web: demo.urls.web, api: `https://localhost:${ports.api}`, ca }, key);
    const { accessToken } = await elsewhere.signIn('alice');
    const { status, body } = await here.get(PODS, accessToken);
    expect(status, said).toBe(200);
    expect(body).toMatchObject({ kind: 'PodList' });
    await expect.poll(() => said.split('\n').filter((line) => line.includes(`"requestURI":"${PODS}"`))).not.toEqual([]);
    await Promise.all([elsewhere.close(), here.close()]);
  });

  it('is healthy to the image’s own health check, which says so too when it is not', async () => {
    const check = async (port: number): Promise<unknown> => {
      const [, ...command] = image.config.Healthcheck.Test;
      const child = image.start(
        mounted,
        command.map((word) => word.replace(':9090/', `:${port}/`)),
      );
      child.stdout.resume();
      child.stderr.resume();
      return (await once(child, 'close'))[0];
    };
    expect(await check(ports.ops)).toBe(0);
    expect(await check(await freePortBase())).toBe(1);
  });

  it('runs with the allocator that gives memory back', async () => {
    const maps = await inside(`console.log(require('node:fs').readFileSync('/proc/self/maps', 'utf8'))`);
    expect(maps).toContain('libjemalloc.so.2');
  });

  it('is a user by number, without any right', async () => {
    const status = await inside(`console.log(require('node:fs').readFileSync('/proc/self/status', 'utf8'))`);
    expect(status).toMatch(/^Uid:\t65532\t65532\t65532\t65532$/m);
    expect(status).toMatch(/^Gid:\t65532\t65532\t65532\t65532$/m);
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapAmb'])
      expect(status).toMatch(new RegExp(`^${set}:\t0+$`, 'm'));
    expect(status).toMatch(/^NoNewPrivs:\t1$/m);
  });

  it('has no place to write to', async () => {
    const tries = `for (const path of ['/', '/app', '/app/src', '/etc', '/tmp', '/var', '${MOUNTED}']) {
      try { require('node:fs').writeFileSync(path + '/x', 'x'); console.log('wrote', path); } catch (error) { console.log(error.code); }
    }`;
    const answers = (await inside(tries)).split('\n');
    expect(answers).toHaveLength(7);
    expect(answers.filter((answer) => !['EROFS', 'ENOENT', 'EACCES'].includes(answer))).toEqual([]);
  });

  it('starts nothing else: there is no shell to start', async () => {
    const script = `console.log(require('node:child_process').spawnSync('true', { shell: true }).error.code)`;
    expect(await inside(script)).toBe('ENOENT');
  });

  it('stops when it gets the signal to stop', async () => {
    const closed = once(instance, 'close');
    instance.kill('SIGTERM');
    expect(await closed, said).toEqual([0, null]);
  });
});

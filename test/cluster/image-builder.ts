/**
 * Builds the Dockerfile with a real builder, the first that works of docker, podman and buildah, and starts the image as a cluster does: as its own user,
 * with a read-only root, without capabilities. Only loopback is shared with the host.
 */
import { execFile, spawn, type ChildProcessByStdio } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const execute = promisify(execFile);
const CONTEXT = fileURLToPath(new URL('../../', import.meta.url));
const BASE = process.env['PORTCULLIS_TEST_NODE_IMAGE'];

const NO_BUILDER = `test/cluster/image.test.ts builds the image, and none of docker, podman and buildah works here.
Install one of them (Debian: buildah, and run the test as root), or start docker's daemon.`;
const NO_BASE = `If the Dockerfile's base cannot be pulled here, set PORTCULLIS_TEST_NODE_IMAGE to an image of the same shape that the builder has.`;

/** Where a started image finds its configuration, and all that this names. */
export const MOUNTED = '/etc/portcullis';

/** As docker keeps it in an image. */
export interface ImageConfig {
  readonly User: string;
  readonly Env: readonly string[];
  readonly Entrypoint: readonly string[];
  readonly Cmd: readonly string[];
  readonly WorkingDir: string;
  readonly Labels: Readonly<Record<string, string>>;
  readonly ExposedPorts: Readonly<Record<string, object>>;
  readonly StopSignal: string;
  readonly Healthcheck: { readonly Test: readonly string[] };
}

/** A line of `tar --list --verbose`. */
export interface Entry {
  /** `-rwxr-xr-x` */
  readonly mode: string;
  /** `0/0` */
  readonly owner: string;
  /** `app/src/main.ts`, without a link's target. */
  readonly path: string;
}

export type Started = ChildProcessByStdio<null, Readable, Readable>;

export interface BuiltByBuilder extends AsyncDisposable {
  readonly config: ImageConfig;
  readonly entries: readonly Entry[];
  /**
   * @param folder what is mounted, read-only, at {@link MOUNTED}
   * @param program instead of the image's entry point and command
   */
  start(folder: string, program?: readonly string[]): Started;
}

/**
 * @param folder for the builder's files
 * @throws Error that says what to install or to set, with the builder's last output
 */
export async function buildWithBuilder(folder: string): Promise<BuiltByBuilder> {
  if (await works('docker', 'version')) return withDocker('docker', folder, []);
  const format = ['--format', 'docker', '--layers=false'];
  // docker mounts nothing over a read-only root, podman would put places to write to into it.
  if (await works('podman', 'info')) return withDocker('podman', folder, format, ['--read-only-tmpfs=false']);
  if (await works('buildah', 'info')) return withBuildah(folder, format);
  throw new Error(NO_BUILDER);
}

const works = (program: string, question: string): Promise<boolean> =>
  execute(program, [question]).then(
    () => true,
    () => false,
  );

async function run(program: string, ...args: readonly string[]): Promise<string> {
  const { stdout } = await execute(program, args, { maxBuffer: 64 * 1024 * 1024 });
  return stdout.trim();
}

/** @returns the image's ID */
async function build(program: string, folder: string, options: readonly string[]): Promise<string> {
  const idFile = join(folder, 'image-id');
  const base = BASE === undefined ? [] : ['--build-arg', `NODE_IMAGE=${BASE}`];
  await run(program, 'build', '--iidfile', idFile, ...base, ...options, CONTEXT).catch((error: unknown) => {
    const said = error instanceof Error && 'stderr' in error ? String(error.stderr) : String(error);
    throw new Error(`${program} did not build the Dockerfile:\n${said.slice(-2000)}\n${NO_BASE}`, { cause: error });
  });
  return (await readFile(idFile, 'utf8')).trim();
}

/** podman is told what docker is told. */
async function withDocker(
  program: 'docker' | 'podman',
  folder: string,
  options: readonly string[],
  more: readonly string[] = [],
): Promise<BuiltByBuilder> {
  const image = await build(program, folder, options);
  const [inspected] = JSON.parse(await run(program, 'image', 'inspect', image)) as [
    { Config: ImageConfig; Healthcheck?: ImageConfig['Healthcheck'] },
  ];
  const config = { ...inspected.Config, Healthcheck: inspected.Config.Healthcheck ?? inspected.Healthcheck };
  const created = await run(program, 'create', image);
  const archive = join(folder, 'image.tar');
  await run(program, 'export', '--output', archive, created);
  await run(program, 'rm', created);
  const containers: string[] = [];
  return {
    config,
    entries: await entriesOf(archive),
    start(mounted, command) {
      const name = `portcullis-test-${randomUUID()}`;
      containers.push(name);
      const [entrypoint, ...args] = command ?? [];
      const hardened = ['--read-only', '--cap-drop', 'ALL', '--security-opt', 'no-new-privileges', ...more];
      const mount = ['--volume', `${mounted}:${MOUNTED}:ro`, '--env', `PORTCULLIS_CONFIG=${MOUNTED}/portcullis.yaml`];
      const instead = entrypoint === undefined ? [] : ['--entrypoint', entrypoint];
      const where = ['--rm', '--name', name, '--network', 'host'];
      return started(program, ['run', ...where, ...hardened, ...mount, ...instead, image, ...args]);
    },
    async [Symbol.asyncDispose]() {
      for (const name of containers) await run(program, 'rm', '--force', name).catch(() => '');
      await run(program, 'rmi', '--force', image);
    },
  };
}

/**
 * What a container runtime does before it starts a program. The root's mount points are made first; then it is read-only. The last
 * program becomes the started one, so that a signal to the first is a signal to it.
 */
const AS_A_RUNTIME = `
root=$1 folder=$2; shift 2
mkdir -p "$root/proc" "$root/dev" "$root${MOUNTED}"
touch "$root/etc/hosts" "$root/etc/resolv.conf"
mount --bind "$root" "$root"
mount --rbind /proc "$root/proc"
mount --rbind /dev "$root/dev"
mount --bind /etc/hosts "$root/etc/hosts"
mount --bind /etc/resolv.conf "$root/etc/resolv.conf"
mount --bind "$folder" "$root${MOUNTED}"
mount -o remount,bind,ro "$root${MOUNTED}"
mount -o remount,bind,ro "$root"
exec setpriv --no-new-privs --bounding-set=-all,+sys_chroot,+setuid,+setgid env -i "$@"
`;

/** buildah builds but does not run with a read-only root: the programs of util-linux do, for root. */
async function withBuildah(folder: string, options: readonly string[]): Promise<BuiltByBuilder> {
  if (process.getuid?.() !== 0) throw new Error('what buildah built is started by root here: run the test as root');
  const image = await build('buildah', folder, options);
  const inspected = JSON.parse(await run('buildah', 'inspect', '--type', 'image', image)) as {
    Docker: { config: ImageConfig };
  };
  const { config } = inspected.Docker;
  const container = await run('buildah', 'from', '--pull=never', image);
  const root = await run('buildah', 'mount', container);
  const unshare = await run('sh', '-c', 'command -v unshare');
  const archive = join(folder, 'image.tar');
  await run('tar', '--create', '--file', archive, '--directory', root, '.');
  return {
    config,
    entries: await entriesOf(archive),
    start(mounted, program = [...config.Entrypoint, ...config.Cmd]) {
      const [user = '', group = ''] = config.User.split(':');
      const environment = [...config.Env, `PORTCULLIS_CONFIG=${MOUNTED}/portcullis.yaml`];
      const inside = [unshare, '--root', root, '--wd', config.WorkingDir, '--setgid', group, '--setuid', user];
      const script = ['sh', '-euc', AS_A_RUNTIME, 'sh', root, mounted];
      return started('unshare', ['--mount', ...script, ...environment, ...inside, ...program]);
    },
    async [Symbol.asyncDispose]() {
      await run('buildah', 'rm', container);
      await run('buildah', 'rmi', '--force', image);
    },
  };
}

const started = (program: string, args: readonly string[]): Started =>
  spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });

async function entriesOf(archive: string): Promise<readonly Entry[]> {
  const lines = (await run('tar', '--list', '--verbose', '--numeric-owner', '--file', archive)).split('\n');
  return lines.map((line) => {
    const [mode = '', owner = '', , , , ...rest] = line.split(/ +/);
    const path = rest.join(' ').replace(/ -> .*$| link to .*$/, '');
    return { mode, owner, path: path.replace(/^\.\//, '').replace(/\/$/, '') };
  });
}

/** Container images that need no registry: a folder as one layer, in an archive as the OCI Image Layout has it, for `ctr images import`. */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmod, copyFile, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** As the OCI Image Configuration has it. */
interface ContainerConfig {
  readonly User?: string;
  readonly Env?: readonly string[];
  readonly Entrypoint?: readonly string[];
  readonly Cmd?: readonly string[];
  readonly WorkingDir?: string;
}

export interface ContainerImage {
  /** `registry.example/busybox:1` */
  readonly name: string;
  /** Path of the archive. */
  readonly archive: string;
}

/**
 * @param folder of its own, which need not be there yet
 * @param root folder that becomes the image's `/`; its files keep their owners and modes
 */
async function writeImage(
  folder: string,
  name: string,
  root: string,
  config: ContainerConfig,
): Promise<ContainerImage> {
  const layout = join(folder, 'layout');
  const blobs = join(layout, 'blobs', 'sha256');
  await mkdir(blobs, { recursive: true });
  const blob = async (mediaType: string, bytes: Buffer | string) => {
    const hex = createHash('sha256').update(bytes).digest('hex');
    await writeFile(join(blobs, hex), bytes);
    return { mediaType, digest: `sha256:${hex}`, size: Buffer.byteLength(bytes) };
  };
  const json = (kind: string, value: object) =>
    blob(`application/vnd.oci.image.${kind}.v1+json`, JSON.stringify(value));
  const packed = join(folder, 'layer.tar');
  await run('tar', ['--create', '--numeric-owner', '--sort=name', '--file', packed, '--directory', root, '.']);
  const layer = await blob('application/vnd.oci.image.layer.v1.tar', await readFile(packed));
  const architecture = process.arch === 'x64' ? 'amd64' : process.arch;
  const configuration = await json('config', {
    architecture,
    os: 'linux',
    config,
    rootfs: { type: 'layers', diff_ids: [layer.digest] },
  });
  const mediaType = 'application/vnd.oci.image.manifest.v1+json';
  const manifest = await json('manifest', { schemaVersion: 2, mediaType, config: configuration, layers: [layer] });
  // The name of the whole: containerd takes one with a host, the OCI's own is the tag alone.
  const named = { ...manifest, annotations: { 'io.containerd.image.name': name } };
  await writeFile(join(layout, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }));
  await writeFile(join(layout, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [named] }));
  const archive = join(folder, 'image.tar');
  await run('tar', ['--create', '--file', archive, '--directory', layout, '.']);
  return { name, archive };
}

/** Debian's busybox-static with a link for each of its commands. By itself it sleeps, so it is the pause image too. */
export async function busyboxImage(folder: string, name: string): Promise<ContainerImage> {
  const root = join(folder, 'root');
  const bin = join(root, 'bin');
  for (const each of [bin, join(root, 'tmp'), join(root, 'etc')]) await mkdir(each, { recursive: true });
  await chmod(join(root, 'tmp'), 0o1777);
  const { stdout } = await run('sh', ['-c', 'command -v busybox && busybox --list']);
  const [program = '', ...commands] = stdout.trim().split('\n');
  await copyFile(program, join(bin, 'busybox'));
  for (const command of commands.filter((each) => each !== 'busybox')) await symlink('busybox', join(bin, command));
  return writeImage(folder, name, root, { Env: ['PATH=/bin'], Cmd: ['sleep', '2147483647'] });
}

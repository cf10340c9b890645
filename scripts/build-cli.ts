/**
 * Builds what users install on their machines: `npm run build:cli [-- --out DIR] [--arch x64,arm64]`.
 *
 *     portcullis.cjs                         one file for any Node from 24 on; portcullis.cmd starts it on Windows
 *     npm/, portcullis-VERSION.tgz           for npm i -g: the shell front and the program
 *     portcullis-linux-ARCH                  a single executable, Node included
 *     portcullis-VERSION-linux-ARCH.tar.gz   the same with the shell front before it: bin/ and lib/, to be unpacked below a prefix
 *     SHA256SUMS                             of all of them
 *
 * Two builds of one checkout give the same bytes.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { COMPLETION_SCRIPTS } from '../src/cli/completion/scripts.ts';
import { besideAsset, besideProgram, bundle, oneFile, type Bundles } from './build-cli/bundle.ts';
import { blobOf, withBlob } from './build-cli/executable.ts';
import { nodeBinary, type Architecture } from './build-cli/node-binary.ts';
import { tarball, type ArchivedFile } from './build-cli/tar.ts';

const root = resolve(import.meta.dirname, '..');
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Record<string, unknown>;
const version = String(manifest['version']);

const { values } = parseArgs({ options: { out: { type: 'string' }, arch: { type: 'string', default: 'x64,arm64' } } });
const out = resolve(values.out ?? join(root, 'dist/cli'));
const architectures = values.arch.split(',').filter((name): name is Architecture => name === 'x64' || name === 'arm64');

/** Beside the program in every package: the front under the names that kubectl looks for, and what the licences ask for. */
function common(bundles: Bundles): readonly ArchivedFile[] {
  const front = readFileSync(join(root, 'src/cli-package/portcullis.sh'));
  const complete = Buffer.from(COMPLETION_SCRIPTS.get('kubectl') ?? '');
  return [
    { path: 'bin/portcullis', mode: 0o755, content: front },
    { path: 'bin/kubectl-portcullis', mode: 0o755, content: front },
    { path: 'bin/kubectl_complete-portcullis', mode: 0o755, content: complete },
    { path: 'lib/portcullis/LICENSE', mode: 0o644, content: readFileSync(join(root, 'LICENSE')) },
    { path: 'lib/portcullis/THIRD-PARTY-NOTICES.txt', mode: 0o644, content: Buffer.from(bundles.notices) },
  ];
}

function write(path: string, content: string | Buffer, mode = 0o644): void {
  const file = join(out, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, content);
  chmodSync(file, mode); // whatever the umask is
}

function writeNpmPackage(bundles: Bundles): void {
  const { name, description, license, engines } = manifest;
  const bin = Object.fromEntries(
    ['portcullis', 'kubectl-portcullis', 'kubectl_complete-portcullis'].map((command) => [command, `bin/${command}`]),
  );
  // Not on Windows: what npm would make of a shell script there starts nothing.
  const own = { name, version, description, license, engines, os: ['!win32'], bin, files: ['bin', 'lib'] };
  for (const { path, mode, content } of common(bundles)) write(`npm/${path}`, content, mode);
  write('npm/package.json', `${JSON.stringify(own, null, 2)}\n`);
  write('npm/LICENSE', readFileSync(join(root, 'LICENSE')));
  write('npm/lib/portcullis/portcullis.cjs', besideProgram(bundles), 0o755);
  write('npm/lib/portcullis/program.cjs', bundles.program);
  execFileSync('npm', ['pack', './npm', '--silent'], { cwd: out, stdio: ['ignore', 'ignore', 'inherit'] });
}

function writeExecutables(bundles: Bundles): void {
  const blob = blobOf(besideAsset(bundles), bundles.program);
  for (const architecture of architectures) {
    const node = nodeBinary(architecture);
    if (node === undefined) {
      console.error(`portcullis: no Node for linux-${architecture} could be had, so there is no executable for it`);
      continue;
    }
    const content = withBlob(node, blob);
    write(`portcullis-linux-${architecture}`, content, 0o755);
    const files = [...common(bundles), { path: 'lib/portcullis/portcullis', mode: 0o755, content }];
    write(`portcullis-${version}-linux-${architecture}.tar.gz`, tarball(files));
  }
}

/** In the form that `sha256sum --check` reads. */
function writeSums(): void {
  const files = readdirSync(out, { withFileTypes: true }).filter((found) => found.isFile());
  const lines = files
    .map(({ name }) => name)
    .toSorted()
    .map(
      (name) =>
        `${createHash('sha256')
          .update(readFileSync(join(out, name)))
          .digest('hex')}  ${name}\n`,
    );
  write('SHA256SUMS', lines.join(''));
}

rmSync(out, { recursive: true, force: true });
const bundles = await bundle(root);
write('portcullis.cjs', oneFile(bundles), 0o755);
write('portcullis.cmd', '@node "%~dp0portcullis.cjs" %*\r\n');
write('THIRD-PARTY-NOTICES.txt', bundles.notices);
writeNpmPackage(bundles);
writeExecutables(bundles);
writeSums();
console.error(`portcullis: built in ${out}`);

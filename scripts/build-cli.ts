/**
 * Builds what users install on their machines: `npm run build:cli [-- --out DIR] [--arch x64,arm64]`.
 *
 *     portcullis.cjs                         one file for any Node from 24 on; portcullis.cmd starts it on Windows
 *     npm/, portcullis-VERSION.tgz           for npm i -g: the shell front and the program
 *     portcullis-linux-ARCH                  a single executable, Node included
 *     portcullis-VERSION-linux-ARCH.tar.gz   the same with the shell front before it: bin/ and lib/, to be unpacked below a prefix
 *     portcullis.cdx.json                    what is inside, in CycloneDX
 *     SHA256SUMS                             of all of them
 *
 * Two builds of one checkout give the same bytes.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { COMPLETION_SCRIPTS } from '../src/cli/completion/scripts.ts';
import { besideAsset, besideProgram, bundle, oneFile, type Bundles } from './build-cli/bundle.ts';
import { KEYRING, keyringLibrary, locked } from './build-cli/keyring-library.ts';
import { linuxExecutable } from './build-cli/linux.ts';
import type { Architecture } from './build-cli/node-binary.ts';
import { writeSums, writeTo } from './build-cli/output.ts';
import { sbomOf } from './build-cli/sbom.ts';
import { tarball, type ArchivedFile } from './build-cli/tar.ts';

const root = resolve(import.meta.dirname, '..');
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Record<string, unknown>;
const version = String(manifest['version']);

const { values } = parseArgs({ options: { out: { type: 'string' }, arch: { type: 'string', default: 'x64,arm64' } } });
const out = resolve(values.out ?? join(root, 'dist/cli'));
const architectures = values.arch.split(',').filter((name): name is Architecture => name === 'x64' || name === 'arm64');

/** Beside the program in every package: the front under the names that kubectl looks for, and what the licences ask for. */
function common(notices: string): readonly ArchivedFile[] {
  const front = readFileSync(join(root, 'src/cli-package/portcullis.sh'));
  const complete = Buffer.from(COMPLETION_SCRIPTS.get('kubectl') ?? '');
  return [
    { path: 'bin/portcullis', mode: 0o755, content: front },
    { path: 'bin/kubectl-portcullis', mode: 0o755, content: front },
    { path: 'bin/kubectl_complete-portcullis', mode: 0o755, content: complete },
    { path: 'lib/portcullis/LICENSE', mode: 0o644, content: readFileSync(join(root, 'LICENSE')) },
    { path: 'lib/portcullis/THIRD-PARTY-NOTICES.txt', mode: 0o644, content: Buffer.from(notices) },
  ];
}

const write = (path: string, content: string | Buffer, mode?: number): void => writeTo(out, path, content, mode);

function writeNpmPackage(bundles: Bundles): void {
  const { name, description, license, engines } = manifest;
  const bin = Object.fromEntries(
    ['portcullis', 'kubectl-portcullis', 'kubectl_complete-portcullis'].map((command) => [command, `bin/${command}`]),
  );
  // Not on Windows: what npm would make of a shell script there starts nothing.
  // The keyring's library is native code, one package for each system; npm leaves out what it cannot get.
  // The other optional dependencies are in the bundle.
  const optionalDependencies = { [KEYRING]: `^${locked(KEYRING).version}` };
  const own = {
    name,
    version,
    description,
    license,
    engines,
    os: ['!win32'],
    bin,
    files: ['bin', 'lib'],
    optionalDependencies,
  };
  for (const { path, mode, content } of common(bundles.notices)) write(`npm/${path}`, content, mode);
  write('npm/package.json', `${JSON.stringify(own, null, 2)}\n`);
  write('npm/LICENSE', readFileSync(join(root, 'LICENSE')));
  write('npm/lib/portcullis/portcullis.cjs', besideProgram(bundles), 0o755);
  write('npm/lib/portcullis/program.cjs', bundles.program);
  execFileSync('npm', ['pack', './npm', '--silent'], { cwd: out, stdio: ['ignore', 'ignore', 'inherit'] });
}

function writeExecutables(bundles: Bundles): void {
  for (const architecture of architectures) {
    const keyring = keyringLibrary(`linux-${architecture}`);
    if (keyring === undefined) {
      console.error(
        `portcullis: the keyring's library for linux-${architecture} could not be had: sessions are kept in files there`,
      );
    }
    const notices = [bundles.notices, ...(keyring === undefined ? [] : [keyring.notices])].join('\n');
    const { program } = bundles;
    const content = linuxExecutable(architecture, { main: besideAsset(bundles), program, keyring: keyring?.code });
    if (content === undefined) {
      console.error(`portcullis: no Node for linux-${architecture} could be had, so there is no executable for it`);
      continue;
    }
    write(`portcullis-linux-${architecture}`, content, 0o755);
    const files = [...common(notices), { path: 'lib/portcullis/portcullis', mode: 0o755, content }];
    write(`portcullis-${version}-linux-${architecture}.tar.gz`, tarball(files));
    write('THIRD-PARTY-NOTICES.txt', notices);
  }
}

rmSync(out, { recursive: true, force: true });
const bundles = await bundle(root);
write('portcullis.cjs', oneFile(bundles), 0o755);
// cmd looks for `node` in the current folder first, where an attacker may have put one, in a repository for example. `%~$PATH:` looks in
// the folders of PATH alone.
const FOR_WINDOWS = [
  '@setlocal & for %%i in (node.exe) do @set "PORTCULLIS_NODE=%%~$PATH:i"',
  '@if not defined PORTCULLIS_NODE (echo portcullis: Node is not on the PATH: install Node 24 or newer 1>&2& exit /b 1)',
  '@"%PORTCULLIS_NODE%" "%~dp0portcullis.cjs" %*',
];
write('portcullis.cmd', FOR_WINDOWS.map((line) => `${line}\r\n`).join(''));
write('THIRD-PARTY-NOTICES.txt', bundles.notices);
const keyringPackage = { name: KEYRING, version: locked(KEYRING).version, license: 'MIT' };
write('portcullis.cdx.json', sbomOf(version, [...bundles.packages, keyringPackage], process.versions.node));
writeNpmPackage(bundles);
writeExecutables(bundles);
writeSums(out);
console.error(`portcullis: built in ${out}`);

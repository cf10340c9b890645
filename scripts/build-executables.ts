/**
 * Builds single executables for all systems: `npm run build:executables [-- --out DIR] [--targets linux-x64,darwin-arm64]`.
 *
 *     portcullis-linux-x64, portcullis-linux-arm64      as `npm run build:cli` makes them
 *     portcullis-darwin-x64, portcullis-darwin-arm64    signed ad hoc where this runs on macOS, else not signed
 *     portcullis-win32-x64.exe
 *     THIRD-PARTY-NOTICES.txt, SHA256SUMS
 *
 * One that was built on another system than its own has not been run there: docs/install-cli.md says which have.
 */
import { mkdirSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { besideAsset, bundle } from './build-cli/bundle.ts';
import { keyringLibrary, TARGETS, type Target } from './build-cli/keyring-library.ts';
import { linuxExecutable } from './build-cli/linux.ts';
import { executableFor } from './build-cli/other-system.ts';
import { writeSums, writeTo } from './build-cli/output.ts';

const root = resolve(import.meta.dirname, '..');
const { values } = parseArgs({
  options: { out: { type: 'string' }, targets: { type: 'string', default: TARGETS.join(',') } },
});
const out = resolve(values.out ?? join(root, 'dist/executables'));

rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
const bundles = await bundle(root);
const notices = [bundles.notices];
for (const target of values.targets.split(',').map(targetOf)) {
  const keyring = keyringLibrary(target);
  if (keyring === undefined) throw new Error(`the keyring's library for ${target} could not be had`);
  const content = { main: besideAsset(bundles), program: bundles.program, keyring: keyring.code };
  const architecture = target.endsWith('-x64') ? 'x64' : 'arm64';
  const executable = target.startsWith('linux-')
    ? linuxExecutable(architecture, content)
    : executableFor(target, content);
  if (executable === undefined) throw new Error(`no Node for ${target} could be had`);
  writeTo(out, `portcullis-${target}${target.startsWith('win32') ? '.exe' : ''}`, executable, 0o755);
  notices.push(keyring.notices);
  console.error(`portcullis: built for ${target}`);
}
writeTo(out, 'THIRD-PARTY-NOTICES.txt', notices.join('\n'));
writeSums(out);

function targetOf(name: string): Target {
  const target = TARGETS.find((known) => known === name);
  if (target === undefined) throw new Error(`--targets knows ${TARGETS.join(', ')}, not ${name}`);
  return target;
}

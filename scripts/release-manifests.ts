/**
 * Writes what package managers need beside the files of a release, after `npm run build:cli`:
 *
 *     npm run release:manifests -- --repository OWNER/NAME --version 1.2.3 [--dir DIR] [--download ADDRESS]
 *
 *     install.sh                        for a user's own machine; checks what it downloads
 *     portcullis.yaml, portcullis.rb    for krew and for a Homebrew tap
 *     OWNER.Portcullis*.yaml            for winget, where the release has executables for Windows
 *
 * All addresses come from the arguments: no page of this repository knows where it is hosted. SHA256SUMS lists the new
 * files afterwards. Running it again replaces them.
 */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { homebrewFormula } from './release/homebrew.ts';
import { krewManifest } from './release/krew.ts';
import { readRelease, sumOf, type Release } from './release/release-files.ts';
import { wingetManifests } from './release/winget.ts';

const root = resolve(import.meta.dirname, '..');
const { description } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { description: string };

/** The script with this release in it. The values were checked: none has a character that a shell reads. */
function installScript({ repository, version, download }: Release): string {
  const template = readFileSync(join(root, 'scripts/release/install.sh'), 'utf8');
  return template
    .replace(/^repository=.*$/m, () => `repository='${repository}'`)
    .replace(/^version=.*$/m, () => `version='${version}'`)
    .replace(/^download=.*$/m, () => `download="\${PORTCULLIS_DOWNLOAD:-${download}}"`);
}

const { values } = parseArgs({
  options: {
    repository: { type: 'string' },
    version: { type: 'string' },
    dir: { type: 'string', default: join(root, 'dist/cli') },
    download: { type: 'string' },
  },
});
const { repository, version, download } = values;
if (repository === undefined || version === undefined) {
  console.error(
    'usage: npm run release:manifests -- --repository OWNER/NAME --version 1.2.3 [--dir DIR] [--download ADDRESS]',
  );
  process.exit(2);
}

const directory = resolve(values.dir);
const options = { directory, repository, version, description, ...(download && { download }) };
const found = readRelease(options);
const isOwn = (name: string): boolean =>
  /^(?:install\.sh|portcullis\.(?:yaml|rb)|[A-Za-z0-9-]+\.Portcullis\S*\.yaml)$/.test(name);
/** Without what an earlier run added. */
const release = { ...found, files: found.files.filter(({ name }) => !isOwn(name)) };
const written = new Map([
  ['install.sh', installScript(release)],
  ['portcullis.yaml', krewManifest(release)],
  ['portcullis.rb', homebrewFormula(release)],
  ...wingetManifests(release),
]);
for (const { name } of found.files) if (isOwn(name)) rmSync(join(directory, name));
for (const [name, text] of written)
  writeFileSync(join(directory, name), text, { mode: name.endsWith('.sh') ? 0o755 : 0o644 });
const listed = [...release.files.map(({ name }) => name), ...written.keys()].toSorted();
const sums = listed.map((name) => `${sumOf(join(directory, name))}  ${name}\n`);
writeFileSync(join(directory, 'SHA256SUMS'), sums.join(''));
console.error(`portcullis: wrote ${[...written.keys()].join(', ')} in ${directory}`);

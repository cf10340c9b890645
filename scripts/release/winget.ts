/**
 * Manifests for winget, in the three files that its repository of packages wants.
 * @see https://github.com/microsoft/winget-cli/tree/master/schemas/JSON/manifests
 */
import { stringify } from 'yaml';
import { type Release } from './release-files.ts';

const MANIFEST_VERSION = '1.9.0';
const EXECUTABLE = /^portcullis-(?:win|windows|win32)-(x64|arm64)\.exe$/;

/**
 * Returns the files by name. Winget installs executables alone, so there are none where the release has none for
 * Windows: `portcullis.cjs` with `portcullis.cmd` needs a Node that winget could not put beside it.
 */
export function wingetManifests({
  repository,
  homepage,
  version,
  description,
  files,
}: Release): ReadonlyMap<string, string> {
  const installers = files.flatMap(({ name, url, sha256 }) => {
    const [, architecture] = EXECUTABLE.exec(name) ?? [];
    if (architecture === undefined) return [];
    return [{ Architecture: architecture, InstallerUrl: url, InstallerSha256: sha256.toUpperCase() }];
  });
  if (installers.length === 0) return new Map();
  const [owner = ''] = repository.split('/');
  const identifier = `${owner.slice(0, 32)}.Portcullis`;
  const common = { PackageIdentifier: identifier, PackageVersion: version };
  const manifest = (kind: string, content: object): string =>
    `# yaml-language-server: $schema=https://aka.ms/winget-manifest.${kind}.${MANIFEST_VERSION}.schema.json\n${stringify({ ...common, ...content, ManifestType: kind, ManifestVersion: MANIFEST_VERSION })}`;
  return new Map([
    [`${identifier}.yaml`, manifest('version', { DefaultLocale: 'en-US' })],
    [
      `${identifier}.installer.yaml`,
      manifest('installer', {
        InstallerType: 'portable',
        Commands: ['portcullis'],
        Installers: installers,
      }),
    ],
    [
      `${identifier}.locale.en-US.yaml`,
      manifest('defaultLocale', {
        PackageLocale: 'en-US',
        Publisher: owner,
        PackageName: 'Portcullis',
        PackageUrl: homepage,
        License: 'Apache-2.0',
        ShortDescription: description,
      }),
    ],
  ]);
}

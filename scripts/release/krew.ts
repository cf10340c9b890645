/**
 * The manifest of a kubectl plugin.
 * @see https://krew.sigs.k8s.io/docs/developer-guide/plugin-manifest/
 */
import { stringify } from 'yaml';
import { archiveFor, npmPackageOf, type Release, type ReleaseFile } from './release-files.ts';

const CAVEATS = `Users' kubeconfigs name the command portcullis. Krew installs kubectl-portcullis, so write them with:
  kubectl portcullis kubeconfig --command kubectl-portcullis
On macOS the plugin needs Node 24 or newer on the PATH.
`;

/** Go's names of what npm and Node call otherwise. */
const ARCHITECTURES = [
  ['x64', 'amd64'],
  ['arm64', 'arm64'],
] as const;

/** Returns the text of `portcullis.yaml`: krew requires the plugin's name as the name of the file. */
export function krewManifest(release: Release): string {
  const platforms = ['linux', 'darwin'].flatMap((system) =>
    ARCHITECTURES.flatMap(([architecture, arch]) => {
      const archive = archiveFor(release, system, architecture);
      if (archive !== undefined) return [platform(system, arch, archive, '')];
      return system === 'darwin' ? [platform(system, arch, npmPackageOf(release), 'package/')] : [];
    }),
  );
  const manifest = {
    apiVersion: 'krew.googlecontainertools.github.com/v1alpha2',
    kind: 'Plugin',
    metadata: { name: 'portcullis' },
    spec: {
      version: `v${release.version}`,
      homepage: release.homepage,
      shortDescription: 'Sign in with your identity provider',
      description: `${release.description}\n`,
      caveats: CAVEATS,
      platforms,
    },
  };
  return stringify(manifest, { lineWidth: 0, blockQuote: 'literal' });
}

/** Both folders, next to each other: the front finds the program relative to itself, following krew's link. */
const platform = (os: string, arch: string, { url, sha256 }: ReleaseFile, folder: string) => ({
  selector: { matchLabels: { os, arch } },
  uri: url,
  sha256,
  files: [
    { from: `${folder}bin/*`, to: 'bin' },
    { from: `${folder}lib/portcullis/*`, to: 'lib/portcullis' },
  ],
  bin: 'bin/kubectl-portcullis',
});

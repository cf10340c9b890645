/**
 * A formula for a tap.
 * @see https://docs.brew.sh/Formula-Cookbook
 */
import { archiveFor, npmPackageOf, type Release, type ReleaseFile } from './release-files.ts';

/**
 * Returns the text of `portcullis.rb`. Linux gets the archives, which have Node inside; macOS the package for npm on
 * Homebrew's own Node, until the release has archives for it.
 */
export function homebrewFormula(release: Release): string {
  const { version, homepage, description } = release;
  const [arm, intel] = [archiveFor(release, 'darwin', 'arm64'), archiveFor(release, 'darwin', 'x64')];
  return `class Portcullis < Formula
  desc "${summary(description)}"
  homepage "${homepage}"
  version "${version}"
  license "Apache-2.0"

  on_linux do
${perProcessor(archiveFor(release, 'linux', 'arm64'), archiveFor(release, 'linux', 'x64'))}
  end

  on_macos do
${arm && intel ? perProcessor(arm, intel) : `${source(npmPackageOf(release), '    ')}\n    depends_on "node"`}
  end

  # Programs with a signature or a script inside are not to be rewritten.
  skip_clean "lib/portcullis"

  def install
    bin.install Dir["bin/*"]
    (lib/"portcullis").install Dir["lib/portcullis/*"]
  end

  test do
    assert_equal "portcullis #{version}", shell_output("#{bin}/portcullis --version").strip
  end
end
`;
}

function perProcessor(arm: ReleaseFile | undefined, intel: ReleaseFile | undefined): string {
  const blocks = [
    ['arm', arm],
    ['intel', intel],
  ] as const;
  return blocks
    .flatMap(([name, file]) => (file ? [`    on_${name} do\n${source(file, '      ')}\n    end`] : []))
    .join('\n');
}

const source = ({ url, sha256 }: ReleaseFile, indent: string): string =>
  `${indent}url "${url}"\n${indent}sha256 "${sha256}"`;

/** Homebrew's own check wants no article at the beginning and no full stop at the end. */
const summary = (description: string): string =>
  description
    .replace(/^An? /, '')
    .replace(/:.*$/, '')
    .replaceAll(/["\\#]/g, '')
    .replace(/^./, (first) => first.toUpperCase());

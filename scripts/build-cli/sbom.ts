/**
 * What is in the packages of the command line, for scanners. `npm sbom` lists what is installed, and most of that is not
 * bundled; here is what the bundler took. Without a time or a serial number: the same build makes the same list.
 * @see https://cyclonedx.org/docs/1.6/json/
 */
import type { BundledPackage } from './bundle.ts';

type ListedPackage = Pick<BundledPackage, 'name' | 'version' | 'license'>;

/**
 * Returns a CycloneDX document.
 * @param version of Portcullis
 * @param packages what is bundled or beside it
 * @param node version of the Node that the executables contain
 */
export function sbomOf(version: string, packages: readonly ListedPackage[], node: string): string {
  const component = (type: string, name: string, of: string, license: string, purl: string) => ({
    'bom-ref': purl,
    type,
    name,
    version: of,
    licenses: [{ expression: license }],
    purl,
  });
  const own = component('application', 'portcullis', version, 'Apache-2.0', `pkg:generic/portcullis@${version}`);
  const bundled = packages.map(({ name, version: of, license }) =>
    component('library', name, of, license, `pkg:npm/${name.replace('@', '%40')}@${of}`),
  );
  const platform = component('platform', 'node', node, 'MIT', `pkg:generic/node@${node}`);
  const document = {
    $schema: 'http://cyclonedx.org/schema/bom-1.6.schema.json',
    bomFormat: 'CycloneDX',
    specVersion: '1.6',
    version: 1,
    metadata: { lifecycles: [{ phase: 'build' }], component: own },
    components: [...bundled, platform],
    dependencies: [{ ref: own['bom-ref'], dependsOn: [...bundled, platform].map((one) => one['bom-ref']) }],
  };
  return `${JSON.stringify(document, null, 2)}\n`;
}

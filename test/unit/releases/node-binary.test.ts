/** The Node inside the executables: the very one that this checkout names, whatever a registry says. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterAll, expect, test, vi } from 'vitest';
import { locked } from '../../../scripts/build-cli/keyring-library.ts';
import { nodeBinary, RELEASED_NODE } from '../../../scripts/build-cli/node-binary.ts';

const dir = mkdtempSync(join(tmpdir(), 'portcullis-node-'));
afterAll(() => rmSync(dir, { recursive: true }));

test('is in the version of package-lock.json', () => {
  expect(RELEASED_NODE.version).toBe(locked('node').version);
});

const ofCheckout = process.versions.node === RELEASED_NODE.version;

test.skipIf(!ofCheckout)(
  'is rejected where an attacker who controls the registry puts another file into the package',
  () => {
    // `npm pack NAME --silent --pack-destination DIR`
    const npm = [
      '#!/bin/sh',
      `mkdir -p '${dir}/package/bin' && echo evil >'${dir}/package/bin/node'`,
      `exec tar -czf "$5/node.tgz" -C '${dir}' package`,
    ];
    writeFileSync(join(dir, 'npm'), `${npm.join('\n')}\n`, { mode: 0o755 });
    vi.stubEnv('PATH', [dir, process.env['PATH']].join(delimiter));
    const other = process.arch === 'x64' ? 'arm64' : 'x64';
    expect(() => nodeBinary(other)).toThrow(/is not the one/);
    vi.unstubAllEnvs();
  },
);

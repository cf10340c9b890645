/** Node's own executable for a processor: the one that runs this, or from npm. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { packageFiles } from './registry-package.ts';

export type Architecture = 'x64' | 'arm64';

/**
 * The Node of package-lock.json, and the SHA-256 of its `bin/node` for each processor. The package `node` downloads that file when it is
 * installed, so the lock file says nothing about it: an attacker who controls the registry, or the way to it, would otherwise be in
 * every executable of a release.
 */
export const RELEASED_NODE = {
  version: '24.21.0',
  sums: {
    x64: '7fde7b8afa198da66257f42ee2001d874c7355631e6d1579a5fb5ef1f246df4c',
    arm64: '0f8949d1028f6d61506b2d5bc57e7e6fe893d7b1997509b7847294fc9c616584',
  },
} as const;

/**
 * @returns undefined where it cannot be had: another processor's comes from the registry, which may be out of reach, and only in the
 *   version whose sum is known
 * @throws Error where it is another one
 */
export function nodeBinary(architecture: Architecture): Buffer | undefined {
  const { version, sums } = RELEASED_NODE;
  const own = process.platform === 'linux' && process.arch === architecture;
  // A developer's own Node: for this machine alone.
  if (process.versions.node !== version) return own ? readFileSync(process.execPath) : undefined;
  // The packages that the devDependency `node` itself consists of; the blob needs the very version that made it.
  const code = own
    ? readFileSync(process.execPath)
    : packageFiles(`node-linux-${architecture}@${version}`, ['bin/node'])?.[0];
  if (code !== undefined && createHash('sha256').update(code).digest('hex') !== sums[architecture])
    throw new Error(`Node ${version} for ${architecture} is not the one that scripts/build-cli/node-binary.ts names`);
  return code;
}

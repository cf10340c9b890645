/** Node's own executable for a processor: the one that runs this, or from npm. */
import { readFileSync } from 'node:fs';
import { packageFiles } from './registry-package.ts';

export type Architecture = 'x64' | 'arm64';

/**
 * @returns undefined where it cannot be had: another processor's comes from the registry, which may be out of reach
 */
export function nodeBinary(architecture: Architecture): Buffer | undefined {
  if (process.platform === 'linux' && process.arch === architecture) return readFileSync(process.execPath);
  // The packages that the devDependency `node` itself consists of; the blob needs the very version that made it.
  return packageFiles(`node-linux-${architecture}@${process.versions.node}`, ['bin/node'])?.[0];
}

/** Node's own executable for a processor: the one that runs this, or from npm. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export type Architecture = 'x64' | 'arm64';

/**
 * @returns undefined where it cannot be had: another processor's comes from the registry, which may be out of reach
 */
export function nodeBinary(architecture: Architecture): Buffer | undefined {
  if (process.platform === 'linux' && process.arch === architecture) return readFileSync(process.execPath);
  const dir = mkdtempSync(join(tmpdir(), 'portcullis-node-'));
  try {
    // The packages that the devDependency `node` itself consists of; the blob needs the very version that made it.
    const name = `node-linux-${architecture}@${process.versions.node}`;
    execFileSync('npm', ['pack', name, '--silent', '--pack-destination', dir], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    const [packed] = readdirSync(dir);
    if (packed === undefined) return undefined;
    execFileSync('tar', ['-xzf', packed, 'package/bin/node'], { cwd: dir });
    return readFileSync(join(dir, 'package/bin/node'));
  } catch {
    return undefined;
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

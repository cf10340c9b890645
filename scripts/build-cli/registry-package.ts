/** One file of a package, by npm's own means and from whatever registry it is set up for. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * @param spec name and version
 * @param paths inside the package
 * @param integrity of its archive, as a lock file has it; absent: the caller checks what is inside
 * @returns undefined where the package cannot be had, because the registry may be out of reach
 * @throws Error where the archive is another one
 */
export function packageFiles(
  spec: string,
  paths: readonly string[],
  integrity?: string,
): readonly Buffer[] | undefined {
  const dir = mkdtempSync(join(tmpdir(), 'portcullis-package-'));
  try {
    try {
      execFileSync('npm', ['pack', spec, '--silent', '--pack-destination', dir], {
        stdio: ['ignore', 'ignore', 'inherit'],
        // On Windows npm is a script for cmd. All arguments are ours.
        shell: process.platform === 'win32',
      });
    } catch {
      return undefined;
    }
    const [packed] = readdirSync(dir);
    if (packed === undefined) return undefined;
    const sum = createHash('sha512')
      .update(readFileSync(join(dir, packed)))
      .digest('base64');
    // An attacker who controls the registry, or the way to it, would otherwise run code on every laptop.
    if (integrity !== undefined && integrity !== `sha512-${sum}`) throw new Error(`${spec} is not what it was: ${sum}`);
    execFileSync('tar', ['-xzf', packed, ...paths.map((path) => `package/${path}`)], { cwd: dir });
    return paths.map((path) => readFileSync(join(dir, 'package', path)));
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

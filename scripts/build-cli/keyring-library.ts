/** The keyring's native library for a system, with its licences: out of node_modules, or from npm in the very archive that the lock file names. */
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { packageFiles } from './registry-package.ts';

const ROOT = resolve(import.meta.dirname, '../..');

/** As Node names system and processor; glibc on Linux, as Node's own executables. */
export const TARGETS = ['linux-x64', 'linux-arm64', 'darwin-x64', 'darwin-arm64', 'win32-x64'] as const;
export type Target = (typeof TARGETS)[number];

/** The packages add how the library was compiled. */
const COMPILED: Readonly<Record<Target, string>> = {
  'linux-x64': 'linux-x64-gnu',
  'linux-arm64': 'linux-arm64-gnu',
  'darwin-x64': 'darwin-x64',
  'darwin-arm64': 'darwin-arm64',
  'win32-x64': 'win32-x64-msvc',
};

/** The package that finds the library of the system that it runs on. */
export const KEYRING = '@napi-rs/keyring';

export interface KeyringLibrary {
  readonly code: Buffer;
  /** Text of the licences of what is compiled into it. */
  readonly notices: string;
}

/** @returns undefined where it cannot be had; then sessions are kept in files */
export function keyringLibrary(target: Target): KeyringLibrary | undefined {
  const name = `${KEYRING}-${COMPILED[target]}`;
  const paths = [`keyring.${COMPILED[target]}.node`, 'LICENSE.third-party.md'];
  const installed = join(ROOT, 'node_modules', name);
  const { version, integrity } = locked(name);
  const [code, notices] = existsSync(installed)
    ? paths.map((path) => readFileSync(join(installed, path)))
    : (packageFiles(`${name}@${version}`, paths, integrity) ?? []);
  if (code === undefined || notices === undefined) return undefined;
  return {
    code,
    notices: `--- ${name} ${version} (MIT), and what is compiled into it\n\n${notices.toString('utf8')}\n`,
  };
}

/** Returns what package-lock.json says of a package. */
export function locked(name: string): { readonly version: string; readonly integrity: string } {
  const lock = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as {
    readonly packages: Readonly<Record<string, { readonly version: string; readonly integrity: string }>>;
  };
  const found = lock.packages[`node_modules/${name}`];
  if (found === undefined) throw new Error(`package-lock.json does not name ${name}`);
  return found;
}

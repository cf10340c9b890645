/**
 * The process that accesses the keyring (see `keyring.ts`): one request on standard input, one result on standard output.
 *
 * It gives away nothing that its user could not read from the keyring by other programs.
 */
import { createHash } from 'node:crypto';
import { constants as fileConstants, openSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { getAssetKeys, getRawAsset, isSea } from 'node:sea';
import { text } from 'node:stream/consumers';
import type { AsyncEntry } from '@napi-rs/keyring';
import { numberAt, parseRecord, stringAt } from '../http/json-shape.ts';
import { KEYRING_ASSET } from './credential-store.ts';
import { KEYRING_SERVICE, type KeyringResult } from './keyring.ts';
import { ensurePrivateDirectory, readPrivateBytes, writePrivateFile } from './private-files.ts';

interface Library {
  readonly AsyncEntry: typeof AsyncEntry;
}

/** Does what standard input says. */
export async function runKeyringProcess(print: (text: string) => void): Promise<void> {
  const request = parseRecord(await text(process.stdin));
  print('\n'); // It has started: the time limit is for the keyring.
  const limit = (request && numberAt(request, 'limit')) ?? 10_000;
  // The parent may have been killed. A call into the library may be waiting for a dialog then, and an orderly end would wait for it.
  setTimeout(() => process.kill(process.pid, 'SIGKILL'), limit + 1000).unref();
  const result = await access(request ?? {}).catch((error: unknown): KeyringResult => ({
    ok: false,
    why: error instanceof Error ? error.message : 'unknown error',
  }));
  print(JSON.stringify(result));
}

async function access(request: Record<string, unknown>): Promise<KeyringResult> {
  const account = stringAt(request, 'account');
  const secret = stringAt(request, 'secret');
  if (account === undefined) return { ok: false, why: 'no entry was named' };
  const library = await loadLibrary(stringAt(request, 'cacheDir') ?? '');
  // Pinned, because the library's own choice falls back to the kernel's keyring, which is empty after a restart: the
  // user would be signed out, and not know why.
  const entry = new library.AsyncEntry(KEYRING_SERVICE, account, { linux: { store: 'secret-service' } });
  switch (request['action']) {
    case 'read': {
      const found = await entry.getSecret();
      return { ok: true, ...(found === null ? {} : { secret: Buffer.from(found).toString('utf8') }) };
    }
    case 'write':
      await entry.setSecret(Buffer.from(secret ?? ''));
      return { ok: true };
    case 'delete':
      await entry.deleteCredential();
      return { ok: true };
    case 'try': {
      await entry.setSecret(Buffer.from('try'));
      const found = await entry.getSecret();
      await entry.deleteCredential();
      const same = found !== null && Buffer.from(found).toString('utf8') === 'try';
      return same ? { ok: true } : { ok: false, why: 'the keyring does not return what was written' };
    }
    default:
      return { ok: false, why: 'no action was named' };
  }
}

async function loadLibrary(cacheDir: string): Promise<Library> {
  if (isSea()) return loadAsset(cacheDir);
  try {
    return await import('@napi-rs/keyring');
  } catch {
    throw new Error('@napi-rs/keyring is not installed beside this program');
  }
}

/**
 * Loads the library from the executable. The system loads code from files only, so it is written to the cache first: a folder that only
 * this user can write to. An attacker who can write there too, from a container with the same cache for example, would replace the file
 * between the check of it and its start. So on Linux it has no name; elsewhere it is compared with what the executable holds each time.
 */
function loadAsset(cacheDir: string): Library {
  if (!getAssetKeys().includes(KEYRING_ASSET)) throw new Error('this program was built without a keyring');
  const code = Buffer.from(getRawAsset(KEYRING_ASSET));
  const name = `keyring-${createHash('sha256').update(code).digest('hex').slice(0, 16)}.node`;
  ensurePrivateDirectory(cacheDir);
  const unnamed = unnamedFile(cacheDir, code);
  const file = unnamed === undefined ? join(cacheDir, name) : `/proc/self/fd/${unnamed}`;
  if (unnamed === undefined && readPrivateBytes(file)?.equals(code) !== true) {
    writePrivateFile(file, code);
    removeOthers(cacheDir, name);
  }
  const module = { exports: {} };
  process.dlopen(module, file, constants.dlopen.RTLD_NOW);
  return module.exports as Library;
}

/** open(2), which Node does not name: a file in a folder, without a name. */
const O_TMPFILE = 0o20000000 | fileConstants.O_DIRECTORY;

/** @returns a descriptor; undefined where the system or the file system (NFS) has no such files */
function unnamedFile(dir: string, code: Buffer): number | undefined {
  if (process.platform !== 'linux') return undefined;
  let descriptor: number;
  try {
    descriptor = openSync(dir, O_TMPFILE | fileConstants.O_RDWR, 0o600);
  } catch {
    return undefined;
  }
  writeFileSync(descriptor, code);
  return descriptor;
}

/** Removes the libraries of earlier versions. Windows keeps one that is in use; the next version removes it. */
function removeOthers(cacheDir: string, name: string): void {
  for (const found of readdirSync(cacheDir)) {
    if (!/^keyring-[0-9a-f]{16}\.node$/.test(found) || found === name) continue;
    try {
      rmSync(join(cacheDir, found));
    } catch {
      // In use.
    }
  }
}

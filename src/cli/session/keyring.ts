/**
 * The system's keyring: Keychain on macOS, Credential Manager on Windows, the Secret Service of the desktop elsewhere.
 *
 * Each access runs in a process of its own (`keyring-process.ts`), for two reasons. A keyring that is locked asks the
 * user, and one whose D-Bus service hangs never responds: kubectl must not wait for either, and no thread can be
 * stopped in the middle of a system call, but a process can. And the library is native code of 3 MB, which a cached
 * credential must not load.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Environment } from '../environment.ts';
import { parseRecord, stringAt } from '../http/json-shape.ts';
import { plainText } from '../terminal/plain-text.ts';
import { commandOfThisProgram } from '../this-program.ts';
import { KEYRING_COMMAND } from './credential-store.ts';
import { defined } from '../../core/defined.ts';

/** What all entries are filed under; users see it in the keyring's own program. */
export const KEYRING_SERVICE = 'portcullis';

/**
 * Bytes of a secret that every system accepts: Windows allows 2560 (CRED_MAX_CREDENTIAL_BLOB_SIZE), the others more. One limit for all, so
 * that a session that fits is not a matter of the laptop.
 */
export const MAX_SECRET_BYTES = 2560;

/** Milliseconds until the process has started: a busy machine is no locked keyring. */
const START_MS = 20_000;
/** Milliseconds for an access under kubectl. A keyring that is open responds in less than 100. */
const UNATTENDED_MS = 10_000;
/** Milliseconds where a user is signing in at a terminal: enough to type the password that unlocks a keyring. */
const ATTENDED_MS = 30_000;

export type KeyringRequest =
  | { readonly action: 'read' | 'delete' | 'try'; readonly account: string }
  | { readonly action: 'write'; readonly account: string; readonly secret: string };

/** `secret` is absent where there is no such entry. */
export type KeyringResult =
  | { readonly ok: true; readonly secret?: string }
  | { readonly ok: false; readonly why: string };

/** What an access needs of the machine. */
export type KeyringPlace = Pick<Environment, 'platform' | 'bus' | 'cacheDir' | 'wsl'>;

/**
 * Returns why no keyring can be there at all, which costs no process; undefined where one has to be asked. Without a bus,
 * libdbus would start one where there is a display, and with it a keyring that no user ever unlocks.
 */
export function whyNoKeyring({ platform, bus, wsl }: KeyringPlace): string | undefined {
  if (platform === 'darwin' || platform === 'win32') return undefined;
  if (bus.address !== undefined) return undefined;
  if (bus.runtimeDir !== undefined && existsSync(join(bus.runtimeDir, 'bus'))) return undefined;
  return wsl ? 'WSL has no D-Bus session here' : 'there is no D-Bus session, which the Secret Service needs';
}

/**
 * Reads, writes or deletes one entry, or tries all three on one of its own. Never throws, and returns in time.
 * @param attended whether a user is at the terminal and may be unlocking the keyring
 */
export async function accessKeyring(
  place: KeyringPlace,
  request: KeyringRequest,
  attended: boolean,
): Promise<KeyringResult> {
  const absent = whyNoKeyring(place);
  if (absent !== undefined) return { ok: false, why: absent };
  const limit = attended ? ATTENDED_MS : UNATTENDED_MS;
  const text = JSON.stringify({ ...request, limit, cacheDir: place.cacheDir });
  const printed = await runChild(text, limit);
  if (printed === undefined) {
    const why = `the keyring has not responded within ${limit / 1000} seconds (it may be locked, and waiting for its password)`;
    return { ok: false, why };
  }
  const record = parseRecord(printed.trimStart());
  const secret = record && stringAt(record, 'secret');
  if (record?.['ok'] === true) return { ok: true, ...defined({ secret }) };
  return { ok: false, why: plainText((record && stringAt(record, 'why')) ?? '', 300) || 'the keyring cannot be used' };
}

/** @returns what the process printed, which begins with a sign that it has started; undefined where it had to be ended */
function runChild(request: string, limitMs: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const [file, args] = commandOfThisProgram([KEYRING_COMMAND]);
    // The secret goes through pipes: arguments and variables of a process can be read by others.
    const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'ignore'], windowsHide: true });
    let printed = '';
    const giveUp = (): void => {
      child.kill('SIGKILL');
      // A process in a system call that no signal ends, or one that it has started, keeps the pipe open: kubectl must not wait for that.
      child.stdout.destroy();
      child.unref();
      resolve(undefined);
    };
    let timer = setTimeout(giveUp, START_MS);
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      if (printed === '') {
        clearTimeout(timer);
        timer = setTimeout(giveUp, limitMs);
      }
      if (printed.length < 16_384) printed += chunk;
    });
    const end = (): void => {
      clearTimeout(timer);
      resolve(printed);
    };
    child.once('error', end);
    child.once('close', end);
    child.stdin.once('error', () => undefined); // It ended before it read; then `close` follows.
    child.stdin.end(request);
  });
}

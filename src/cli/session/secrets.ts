/**
 * The lasting secrets of a session, refresh token and private key, and where they are kept: in the system's keyring where
 * there is one, else in the session's file.
 *
 * With the keyring, a file still has the short-lived tokens and, next to them, the private key: kubectl needs both several times a minute,
 * within milliseconds and without a dialog. An attacker who reads the files can use a token until it expires, minutes later. The key alone
 * is worth nothing then, because new tokens need the refresh token.
 */
import { createHash } from 'node:crypto';
import { resolve } from 'node:path';
import { AppError } from '../../core/errors.ts';
import type { CliContext } from '../context.ts';
import { cliError } from '../errors.ts';
import { parseRecord, stringAt } from '../http/json-shape.ts';
import { hostOf } from '../http/server-url.ts';
import type { CacheEntry } from './cache.ts';
import { CREDENTIAL_STORES, type CredentialStore } from './credential-store.ts';
import { accessKeyring, MAX_SECRET_BYTES, type KeyringRequest, type KeyringResult } from './keyring.ts';
import { isTokenText, type CachedSession } from './session.ts';

/** A session with its secrets. */
export type OpenSession = CachedSession & { readonly refreshToken: string };

/**
 * Returns the store that was chosen.
 * @param given by an option
 * @throws AppError `bad_request` for a variable with another value
 */
export function chosenStore({ environment }: CliContext, entry: CacheEntry, given?: CredentialStore): CredentialStore {
  if (given !== undefined) return given;
  const named = environment.credentialStore;
  if (named === undefined) return entry.server.credentialStore ?? 'auto';
  const store = CREDENTIAL_STORES.find((known) => known === named);
  if (store !== undefined) return store;
  const next = `set it to ${CREDENTIAL_STORES.join(', ')}, or unset it`;
  throw cliError('bad_request', 'PORTCULLIS_CREDENTIAL_STORE has a value that is none of its choices.', next);
}

/**
 * Checks, before a browser opens, that the keyring can be used where it must be.
 * @throws AppError `bad_request`
 */
export async function checkStore(context: CliContext, entry: CacheEntry, store: CredentialStore): Promise<void> {
  if (store !== 'keyring') return;
  const tried = await access(context, { action: 'try', account: `${accountOf(entry)} (try)` });
  if (!tried.ok) throw required(tried.why);
}

/**
 * Stores the secrets.
 * @returns the session as its file gets it
 * @throws AppError `bad_request` where the keyring must be used and cannot be
 */
export async function storeSecrets(
  context: CliContext,
  entry: CacheEntry,
  session: OpenSession,
  store: CredentialStore,
): Promise<CachedSession> {
  const { notInKeyring: _earlier, ...plain } = session;
  if (store === 'file') return plain;
  const secret = formatSecret(session);
  const written =
    Buffer.byteLength(secret) > MAX_SECRET_BYTES
      ? { ok: false as const, why: `the session's secrets are larger than the ${MAX_SECRET_BYTES} bytes of a keyring` }
      : await access(context, { action: 'write', account: accountOf(entry), secret });
  if (written.ok) {
    const { refreshToken: _inKeyring, ...rest } = plain;
    return rest;
  }
  if (store === 'keyring') throw required(written.why);
  context.notify(
    `your session is kept in a file, because no keyring can be used: ${written.why}\n  Anyone who can read ${entry.dir} can act as you until the session ends. To choose this: --credential-store file`,
  );
  return { ...plain, notInKeyring: written.why };
}

/**
 * Returns the session with its secrets.
 * @throws AppError `upstream_unavailable` with reason `keyring_unavailable` where the keyring does not give them now;
 *   `unauthenticated` where it has none for this session
 */
export async function openSession(
  context: CliContext,
  entry: CacheEntry,
  session: CachedSession,
): Promise<OpenSession> {
  const { refreshToken } = session;
  if (refreshToken !== undefined) return { ...session, refreshToken };
  const found = await access(context, { action: 'read', account: accountOf(entry) });
  if (!found.ok) throw unavailable(entry, found.why);
  const secrets = found.secret === undefined ? undefined : parseSecret(found.secret, session);
  if (secrets === undefined) {
    const what = `The keyring has no credential for your session at ${hostOf(entry.server.url)}.`;
    throw cliError('unauthenticated', what, `portcullis login --server ${entry.server.url}`, {
      reason: 'keyring_entry_missing',
    });
  }
  const binding = { ...session.binding, privateKey: secrets.privateKey };
  return { ...session, refreshToken: secrets.refreshToken, binding };
}

/** Deletes the entry of the keyring, if there is one. @returns why it could not be deleted */
export async function forgetSecrets(context: CliContext, entry: CacheEntry): Promise<string | undefined> {
  const deleted = await access(context, { action: 'delete', account: accountOf(entry) });
  return deleted.ok ? undefined : deleted.why;
}

const access = ({ environment, attended }: CliContext, request: KeyringRequest): Promise<KeyringResult> =>
  accessKeyring(environment, request, attended);

/**
 * The name of the entry: for the user the host, for us the folder, because each cache has its own sessions. From the root,
 * because a relative `PORTCULLIS_CACHE_DIR` is another folder in each project.
 */
function accountOf({ server, dir }: CacheEntry): string {
  return `${hostOf(server.url)} ${createHash('sha256').update(resolve(dir)).digest('hex').slice(0, 16)}`;
}

/**
 * Returns a digest of what the secrets may be used for. An attacker who can write to the cache, but not read the keyring,
 * could otherwise name another token endpoint, and the next renewal would send the refresh token there.
 */
function purposeOf({ server, endpoints, binding }: CachedSession): string {
  const { token, revocation, adminApi, apiCa = '' } = endpoints;
  const parts = JSON.stringify([server, token, revocation, adminApi, apiCa, binding.certificate]);
  return createHash('sha256').update(parts).digest('base64url');
}

function formatSecret(session: OpenSession): string {
  const { refreshToken, binding } = session;
  return JSON.stringify({ version: 1, purpose: purposeOf(session), refreshToken, privateKey: binding.privateKey });
}

function parseSecret(
  text: string,
  session: CachedSession,
): { readonly refreshToken: string; readonly privateKey: string } | undefined {
  const record = parseRecord(text);
  if (record?.['version'] !== 1 || record['purpose'] !== purposeOf(session)) return undefined;
  const refreshToken = stringAt(record, 'refreshToken');
  const privateKey = stringAt(record, 'privateKey');
  if (refreshToken === undefined || privateKey === undefined || !isTokenText(refreshToken)) return undefined;
  return { refreshToken, privateKey };
}

const required = (why: string): AppError =>
  cliError(
    'bad_request',
    `The keyring must keep the session, and it cannot be used: ${why}.`,
    'unlock or start it, or keep the session in a file: --credential-store file',
    { reason: 'keyring_required' },
  );

export const isKeyringRequired = (error: unknown): boolean =>
  error instanceof AppError && error.reason === 'keyring_required';

export const isKeyringUnavailable = (error: unknown): boolean =>
  error instanceof AppError && error.reason === 'keyring_unavailable';

/** As for a server that does not respond: the present token serves for its last minute, and other commands do not wait again. */
const unavailable = (entry: CacheEntry, why: string): AppError =>
  cliError(
    'upstream_unavailable',
    `The keyring does not give your session: ${why}.`,
    `unlock the keyring and try again, or keep the next session in a file: portcullis login --server ${entry.server.url} --credential-store file`,
    { reason: 'keyring_unavailable' },
  );

/** `credential-store`: shows where the session is kept, and moves it. */
import type { CliContext } from '../context.ts';
import { cliError } from '../errors.ts';
import { hostOf } from '../http/server-url.ts';
import { locateEntry, readPins, readSession, writePins, writeSession, type CacheEntry } from '../session/cache.ts';
import { refuseDelegated } from '../session/delegated.ts';
import { withFileLock } from '../session/file-lock.ts';
import { whyNoKeyring } from '../session/keyring.ts';
import type { CredentialStore } from '../session/credential-store.ts';
import { chosenStore, forgetSecrets, openSession, storeSecrets } from '../session/secrets.ts';
import type { CachedSession } from '../session/session.ts';
import { whichServer, type ServerOptions } from '../session/which-server.ts';
import { factLines, printResult, type OutputOptions } from '../terminal/output.ts';
import { plainText } from '../terminal/plain-text.ts';
import { defined } from '../../core/defined.ts';

/** Where a session is kept, for scripts. */
export interface KeptIn {
  readonly credentialStore: 'keyring' | 'file';
  /** Why the keyring could not be used, where it should have been. */
  readonly notInKeyring?: string;
}

export function storeOf({ refreshToken, notInKeyring }: CachedSession): KeptIn {
  if (refreshToken === undefined) return { credentialStore: 'keyring' };
  return { credentialStore: 'file', ...defined({ notInKeyring }) };
}

export function storeFact({ credentialStore, notInKeyring }: KeptIn): string[] {
  const why = notInKeyring === undefined ? '' : `, because no keyring could be used: ${plainText(notInKeyring, 300)}`;
  return ['kept in', `${credentialStore}${why}`];
}

/** @param store where to keep the session now and from now on; absent: only shows where it is */
export async function credentialStore(
  context: CliContext,
  store: CredentialStore | undefined,
  options: ServerOptions & OutputOptions,
): Promise<void> {
  const given = defined({ credentialStore: store });
  const server = whichServer(context.environment, options, given);
  if (store !== undefined) refuseDelegated(context, server, 'be moved');
  const entry = locateEntry(context.environment.cacheDir, server);
  const before = signedIn(entry);
  const session = store === undefined ? before : await moved(context, entry, store);
  const choice = chosenStore(context, entry, store);
  const noKeyring = whyNoKeyring(context.environment);
  const facts = { server: server.url, choice, ...storeOf(session), ...defined({ noKeyring }) };
  await printResult(context, options, facts, () =>
    factLines([['server', server.url], ['choice', choice], storeFact(storeOf(session))]),
  );
}

function moved(context: CliContext, entry: CacheEntry, store: CredentialStore): Promise<CachedSession> {
  return withFileLock<CachedSession>({
    path: entry.lockPath,
    timeoutMs: 60_000,
    whileWaiting: () => undefined,
    work: async () => {
      const before = signedIn(entry);
      const open = await openSession(context, entry, before);
      const after = await storeSecrets(context, entry, open, store);
      const pins = readPins(entry);
      if (pins !== undefined) writePins(entry, pins);
      writeSession(entry, after);
      if (before.refreshToken === undefined && after.refreshToken !== undefined) {
        const left = await forgetSecrets(context, entry);
        if (left !== undefined) context.notify(`the keyring still has the session too: ${left}`);
      }
      return after;
    },
  });
}

/** @throws AppError `unauthenticated` */
function signedIn(entry: CacheEntry): CachedSession {
  const session = readSession(entry);
  if (session !== undefined) return session;
  const { url } = entry.server;
  throw cliError('unauthenticated', `You are not signed in to ${hostOf(url)}.`, `portcullis login --server ${url}`);
}

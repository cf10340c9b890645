/**
 * `login`, `logout` and `whoami`.
 */
import { X509Certificate } from 'node:crypto';
import { certificateThumbprint } from '../../core/credential/thumbprint.ts';
import { AppError } from '../../core/errors.ts';
import {
  dropEntry,
  locateEntry,
  readSession,
  readStoredSession,
  writeSession,
  type CacheEntry,
} from '../session/cache.ts';
import { cliError } from '../errors.ts';
import { markFacts, refuseDelegated, shownMark } from '../session/delegated.ts';
import { parseDeviceName } from '../session/device-name.ts';
import { withFileLock } from '../session/file-lock.ts';
import type { CliContext } from '../context.ts';
import { fromNow } from '../terminal/time.ts';
import { factLines, printResult, type OutputOptions } from '../terminal/output.ts';
import { plainText } from '../terminal/plain-text.ts';
import { KEYRING_SERVICE } from '../session/keyring.ts';
import { renew } from '../session/renewal.ts';
import type { CredentialStore } from '../session/credential-store.ts';
import { chosenStore, forgetSecrets, isKeyringUnavailable, openSession, type OpenSession } from '../session/secrets.ts';
import { storeFact, storeOf } from './credential-store-command.ts';
import { hostOf } from '../http/server-url.ts';
import type { CachedSession, SignedInUser } from '../session/session.ts';
import { signIn } from '../session/sign-in.ts';
import { revokeRefreshToken } from '../session/token-endpoint.ts';
import { whichServer, type ServerOptions } from '../session/which-server.ts';
import { defined } from '../../core/defined.ts';

export interface LoginOptions extends ServerOptions {
  readonly provider?: string;
  readonly device?: boolean;
  /** The name of this machine from now on; empty: none is sent. */
  readonly deviceName?: string;
  /** Where sessions are kept from now on. */
  readonly credentialStore?: CredentialStore;
}

/** Signs in, also where a user is already signed in: running commands keep the earlier session until it ends. */
export async function login(context: CliContext, options: LoginOptions): Promise<void> {
  const named = options.deviceName === undefined ? undefined : parseDeviceName(options.deviceName);
  const store = options.credentialStore;
  const given = defined({ deviceName: named, credentialStore: store });
  const server = whichServer(context.environment, options, given);
  refuseDelegated(context, server, 'sign a user in');
  if (context.environment.noBrowser && options.device !== true) {
    const next = `by a browser on another machine: portcullis login --device --server ${server.url}`;
    throw cliError('bad_request', 'A sign-in needs a browser, and PORTCULLIS_NO_BROWSER forbids one.', next);
  }
  const entry = locateEntry(context.environment.cacheDir, server);
  const previous = readSession(entry)?.user.sessionId;
  const { user } = await signIn(context, {
    entry,
    attended: true,
    ...defined({ previous, provider: options.provider, device: options.device, store }),
  });
  context.notify(`signed in to ${hostOf(server.url)}\n${factLines(userFacts(user, context.nowMs())).slice(0, -1)}`);
  context.notify(`to use kubectl: portcullis kubeconfig --server ${server.url}`);
}

/**
 * Ends the session at the server and deletes it here. Its tokens go in any case, because that is what the user asked
 * for; where the keyring is unavailable, what another `logout` needs to end it at the server stays.
 */
export async function logout(context: CliContext, options: ServerOptions): Promise<void> {
  const server = whichServer(context.environment, options);
  const entry = locateEntry(context.environment.cacheDir, server);
  const taken = await takeSession(context, entry);
  if (taken === undefined) return context.notify(`you were not signed in to ${hostOf(server.url)}`);
  if (taken.leftInKeyring !== undefined) {
    context.notify(`the keyring still has an entry of ${KEYRING_SERVICE} for this session: ${taken.leftInKeyring}`);
  }
  const { session } = taken;
  try {
    const open = await taken.open();
    await revokeRefreshToken(open, open.refreshToken);
  } catch (cause) {
    throw stillOpen(session, cause);
  }
  context.notify(`signed out of ${hostOf(server.url)}`);
}

interface Taken {
  readonly session: CachedSession;
  /** Returns it with its secrets, or throws why they could not be had. */
  readonly open: () => Promise<OpenSession>;
  /** Why the keyring still has them. */
  readonly leftInKeyring?: string;
}

async function takeSession(context: CliContext, entry: CacheEntry): Promise<Taken | undefined> {
  if (readStoredSession(entry) === undefined) {
    // Its file may be gone, and the keyring's entry not.
    if (chosenStore(context, entry) !== 'file') await forgetSecrets(context, entry);
    dropEntry(entry);
    return undefined;
  }
  const { taken } = await withFileLock<{ taken: Taken | undefined }>({
    path: entry.lockPath,
    timeoutMs: 60_000,
    whileWaiting: () => undefined,
    work: async () => {
      const session = readStoredSession(entry);
      if (session === undefined) return { taken: undefined };
      const [opened] = await Promise.allSettled([openSession(context, entry, session)]);
      const open = (): Promise<OpenSession> =>
        opened.status === 'fulfilled' ? Promise.resolve(opened.value) : Promise.reject(opened.reason as Error);
      if (opened.status === 'rejected' && isKeyringUnavailable(opened.reason)) {
        keepForAnotherLogout(entry, session);
        return { taken: { session, open } };
      }
      dropEntry(entry);
      const left = await forgetAll(context, entry, session);
      return { taken: { session, open, ...defined({ leftInKeyring: left }) } };
    },
  });
  return taken;
}

/** Without tokens, so that nothing on this machine is signed in. */
function keepForAnotherLogout(entry: CacheEntry, session: CachedSession): void {
  try {
    writeSession(entry, { ...session, tokens: {}, signedOut: true });
  } catch {
    dropEntry(entry); // On a full disk the tokens go all the same.
  }
}

/**
 * Deletes the keyring's entry, also where the file had the secrets: an earlier session may have been in the keyring, which
 * was unavailable since, or another version of this program has signed in.
 * @returns why this session is still in it
 */
async function forgetAll(context: CliContext, entry: CacheEntry, session: CachedSession): Promise<string | undefined> {
  const inKeyring = session.refreshToken === undefined;
  if (!inKeyring && entry.server.credentialStore === 'file') return undefined;
  const left = await forgetSecrets(context, entry);
  return inKeyring ? left : undefined;
}

function stillOpen(session: CachedSession, cause: unknown): AppError {
  const { sessionId, sessionExpiresAt } = session.user;
  const again = isKeyringUnavailable(cause)
    ? `unlock the keyring, then end it: portcullis logout --server ${session.server}; or `
    : '';
  const why = cause instanceof AppError ? cause.message.split('\n')[0] : 'It did not respond.';
  return cliError(
    'upstream_unavailable',
    `You are signed out here, but the session is still open at the server: ${why}`,
    `${again}the session ends by itself at ${plainText(sessionExpiresAt, 40)}; an admin can end it now: portcullis revoke --session ${plainText(sessionId, 80)} --reason logout`,
    { cause },
  );
}

/** Shows the user as the server knows them, which also proves that the session is still valid. */
export async function whoami(context: CliContext, options: ServerOptions & OutputOptions): Promise<void> {
  const server = whichServer(context.environment, options);
  const entry = locateEntry(context.environment.cacheDir, server);
  const { session } = await renew(context, entry, { accept: () => false });
  const { account, username, groups, sessionId, sessionExpiresAt, deviceName: named } = session.user;
  const clusters = session.user.clusters.map(({ name, server: address }) => ({ name, server: address }));
  const key = keyOf(session);
  const device = defined({ deviceName: named });
  // The renewed one has its secrets, wherever they are kept.
  const store = storeOf(readSession(entry) ?? session);
  const warned =
    session.user.warning === undefined ? {} : { warning: plainText(session.user.warning, LONGEST_WARNING) };
  const held = { id: sessionId, expiresAt: sessionExpiresAt, ...device, key, ...store, ...shownMark(server) };
  await printResult(
    context,
    options,
    { server: server.url, account, username, groups, session: held, clusters, ...warned },
    () =>
      factLines([
        ['server', server.url],
        ...userFacts(session.user, context.nowMs()),
        ['key', key],
        storeFact(store),
        ...markFacts(server),
      ]),
  );
}

/**
 * Returns the SHA-256 of the certificate that every token of the session is bound to (RFC 8705 §3.1), as the server
 * stores it.
 */
const keyOf = ({ binding }: CachedSession): string =>
  `SHA256:${certificateThumbprint(new X509Certificate(binding.certificate).raw)}`;

/** Characters of a server's warning. */
const LONGEST_WARNING = 1000;

function userFacts(user: SignedInUser, now: number): string[][] {
  const list = (names: readonly string[]): string => plainText(names.join(', ') || 'none', 2000);
  const until = `${plainText(user.sessionExpiresAt, 40)} (${plainText(fromNow(user.sessionExpiresAt, now), 40)})`;
  return [
    ['username', plainText(user.username)],
    ['groups', list(user.groups)],
    ['account', plainText(user.account)],
    ['session', `${plainText(user.sessionId, 80)}, until ${until}`],
    ...(user.deviceName === undefined ? [] : [['device', plainText(user.deviceName)]]),
    ['clusters', list(user.clusters.map((cluster) => cluster.name))],
    ...(user.warning === undefined ? [] : [['warning', plainText(user.warning, LONGEST_WARNING)]]),
  ];
}
